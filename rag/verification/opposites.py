"""List words that reverse a statement: negations, opposites, and different units; all as stems.

The lists are closed on purpose: they hold the usual words of handbooks, contracts and articles. Other words are not
judged.
"""

from typing import Final

from rag.text.stems import stem


def _lexicon(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


NEGATIONS: Final = _lexicon(
    "not no never none nor neither without cannot nobody nothing non", "không chưa chẳng chả đừng chớ"
)
# "not only … but also" and "không chỉ … mà còn" negate nothing.
NOT_ONLY: Final = _lexicon("only just merely chỉ những riêng")
# Vietnamese words of two syllables that contain a negation: `không gian`, `chẳng hạn`, `hàng không`.
_VI_AFTER: Final = _lexicon("hạn gian khí quân lực phận chiến vận tải lưu ảnh tặc")
_VI_BEFORE: Final = _lexicon("hàng phòng khoảng chân trên")
# Words that negate without a negation, so that they may replace one.
NEGATIVE: Final = frozenset(
    map(
        stem,
        _lexicon(
            "reject rejected refuse refused deny denied forbid forbidden prohibit prohibited lack lacks lacked",
            "fail failed",
            "fails exclude excluded except less fewer least hardly rarely scarcely barely few little only most",
            "maximum",
            "avoid prevent prevented instead rather impossible unable ban banned stop stopped cease ceased",
            "absent zero",
            "cấm thiếu vắng trừ miễn tránh ngăn chối hết ít hiếm khó thất vô phi",
        ),
    )
)
_OPPOSITES: Final = """
    increase/decrease increases/decreases increased/decreased increasing/decreasing increase/reduce
    increased/reduced
    rise/fall rose/fell risen/fallen rising/falling raise/lower raised/lowered grow/shrink grew/shrank more/less
    more/fewer most/least most/fewest higher/lower highest/lowest high/low larger/smaller largest/smallest
    large/small big/small
    bigger/smaller greater/lesser greater/smaller longer/shorter longest/shortest long/short older/younger
    oldest/youngest old/new old/young earlier/later earliest/latest early/late first/last before/after
    above/below over/under
    maximum/minimum full/part full/half open/closed opened/closed opens/closes allowed/forbidden allowed/prohibited
    permitted/prohibited permitted/forbidden include/exclude includes/excludes included/excluded including/excluding
    always/never all/none win/lose won/lost accept/reject accepted/rejected approve/reject approved/rejected
    north/south northern/southern east/west eastern/western left/right internal/external domestic/foreign
    public/private
    mandatory/optional required/optional compulsory/voluntary mandatory/voluntary positive/negative strong/weak
    stronger/weaker best/worst better/worse good/bad success/failure succeeded/failed start/end started/ended
    begin/end
    began/ended join/leave joined/left import/export imports/exports buy/sell bought/sold hot/cold warm/cold wet/dry
    light/dark heavy/light near/far inside/outside upper/lower male/female men/women man/woman born/died
    victory/defeat
    support/oppose supported/opposed supports/opposes with/without gain/loss gained/lost profit/loss weekly/monthly
    monthly/annual monthly/yearly daily/weekly daily/monthly annual/weekly single/double rich/poor safe/dangerous
    permanent/temporary ancient/modern majority/minority employer/employee employers/employees morning/afternoon
    morning/evening gross/net indoor/outdoor simple/complex rural/urban major/minor
    tăng/giảm trước/sau trên/dưới hơn/kém lớn/nhỏ cao/thấp nhiều/ít đa/thiểu toàn/bán đầu/cuối bắc/nam đông/tây
    mở/đóng nam/nữ thắng/thua thắng/bại mua/bán nhập/xuất nóng/lạnh mới/cũ già/trẻ dài/ngắn sớm/muộn trong/ngoài
    mạnh/yếu tốt/xấu giàu/nghèo phải/trái dương/âm công/tư
"""
ANTONYMS: Final = frozenset(frozenset(map(stem, pair.split("/"))) for pair in _OPPOSITES.split())
_UNITS: Final = """
    second/seconds/giây minute/minutes/phút hour/hours/giờ/tiếng day/days/ngày/hôm week/weeks/tuần
    month/months/tháng
    quarter/quarters/quý year/years/năm decade/decades century/centuries
    millimetre/millimetres/millimeter/millimeters/mm centimetre/centimetres/centimeter/centimeters/cm
    metre/metres/meter/meters kilometre/kilometres/kilometer/kilometers/km mile/miles/dặm foot/feet/ft inch/inches
    yard/yards gram/grams kilogram/kilograms/kg tonne/tonnes/ton/tons/tấn pound/pounds
    litre/litres/liter/liters/lít hectare/hectares/ha acre/acres dollar/dollars/usd euro/euros/eur đồng/vnd/vnđ yen
"""
UNITS: Final = {stem(name): names for names in _UNITS.split() for name in names.split("/")}


def is_compound(before: str, after: str) -> bool:
    """Return whether a Vietnamese negation between these two syllables is part of a compound word."""
    return after in _VI_AFTER or before in _VI_BEFORE
