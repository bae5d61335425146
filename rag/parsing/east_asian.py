"""Know Chinese, Japanese and Korean text by its scripts and its most frequent characters."""

import re
from collections.abc import Callable, Mapping
from typing import Final

# The most frequent characters of each script: two fifths of any text of it.
_SIMPLIFIED: Final = frozenset(
    "的一是不了在有人我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方"
    "多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情"
    "明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给"
    "世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太"
    "量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象"
    "完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运"
)
_TRADITIONAL: Final = frozenset(
    "的一是不了在有人我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道行所然家種事成方"
    "多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實日軍者意無力它與長把機十民第公此已工使情"
    "明性知全三又關點正業外將兩高間由問很最重並物手應戰向頭文體政美相見被利什二等產或新己制身果加西斯月話合回特代內信表化老給"
    "世位次度門任常先海通教兒原東聲提立及比員解水名真論處走義各入幾口認條平系氣題活爾更別打女變四神總何電數安少報才結反受目太"
)
_HANGUL: Final = frozenset(
    "이다는의에을가고지하한로를은인사도기어서나아자그리시일수정대해있스전부라들해과원장무여년오구보제주상동성"
)
_HAN = re.compile("[\u3400-\u9fff]")
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa\u30fc]")
_HIRAGANA = re.compile("[\u3041-\u3096]")
_SYLLABLE = re.compile("[\uac00-\ud7a3]")
_EAST_ASIAN_CHAR = re.compile(
    "[\xa0-\xbf\xd7\u2010-\u203b\u2103\u2150-\u22ff\u2460-\u25ff\u3000-\u303f\u3041-\u3096\u30a1-\u30fc\u3400-\u9fff\uac00-\ud7a3\uff01-\uff60]"
)
_MIN_EAST_ASIAN: Final = 6  # characters
_MIN_FREQUENT_SHARE: Final = 0.3
_MIN_HIRAGANA_SHARE: Final = 0.2


def _is_east_asian(text: str) -> bool:
    """Return whether nearly all that is not ASCII is in the scripts of East Asia."""
    beyond = sum(not char.isascii() for char in text)
    return beyond >= _MIN_EAST_ASIAN and len(_EAST_ASIAN_CHAR.findall(text)) >= 0.98 * beyond


def _share_of(frequent: frozenset[str], found: list[str]) -> float:
    return sum(char in frequent for char in found) / max(1, len(found))


def _is_chinese(text: str, frequent: frozenset[str]) -> bool:
    han = _HAN.findall(text)
    return (
        _is_east_asian(text)
        and len(han) >= _MIN_EAST_ASIAN
        and not _SYLLABLE.search(text)
        and 20 * len(_KANA.findall(text)) <= len(han)
        and _share_of(frequent, han) >= _MIN_FREQUENT_SHARE
    )


def _is_simplified(text: str) -> bool:
    return _is_chinese(text, _SIMPLIFIED)


def _is_traditional(text: str) -> bool:
    return _is_chinese(text, _TRADITIONAL)


def _is_japanese(text: str) -> bool:
    script = len(_KANA.findall(text)) + len(_HAN.findall(text))
    return (
        _is_east_asian(text)
        and not _SYLLABLE.search(text)
        and len(_HIRAGANA.findall(text)) >= _MIN_HIRAGANA_SHARE * script
    )


def _is_korean(text: str) -> bool:
    hangul = _SYLLABLE.findall(text)
    return (
        _is_east_asian(text)
        and len(hangul) >= 4 * len(_HAN.findall(text))
        and not _KANA.search(text)
        and _share_of(_HANGUL, hangul) >= _MIN_FREQUENT_SHARE
    )


ENCODINGS: Final[Mapping[str, Callable[[str], bool]]] = {
    "gb18030": _is_simplified,
    "cp932": _is_japanese,
    "euc_jp": _is_japanese,
    "cp949": _is_korean,
    "big5hkscs": _is_traditional,
}
