"""Take a question apart into the words that a follow-up may leave out: names, what it is about, and what is asked.

These are word lists, not a grammar: neither language has a tagger that is small enough, and a wrong class costs a word
too many in the search, no more.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from rag.text.language import fold, sentence_spans
from rag.text.stems import is_function_word, stem

# `asking` is what the question wants to know, `attribute` the verb or noun that names it (`weigh`, `price`).
Kind = Literal["name", "content", "asking", "attribute", "preposition", "function"]

_WORD = re.compile(r"[$€£¥₫]?[^\W_]+(?:[-'’./,&]+[^\W_]+)*%?|&")
_VERSION = re.compile(r"\d{1,2}(?:\.\d{1,2}){1,3}")
_UNIT_EN: Final = r"(?:seconds|minutes|hours|days|weeks|months|years|times|percent|people|per cent|money|pages|miles)"
_UNIT_VI: Final = r"(?:giây|phút|giờ|tiếng|ngày|tuần|tháng|năm|lần|tiền|phần trăm|người|đồng|trang|hôm|buổi|cái)"
_ASKING = re.compile(
    rf"\bhow (?:many|much) (?:working |calendar |business )?{_UNIT_EN}\b(?: of\b)?"
    r"|\bhow (?:many|much|long|often|old|far|big|large|loud|heavy|high|wide|deep|fast|soon|late|early)\b|\bhow\b"
    r"|\b(?:what|which) (?:time|day|date|month|year|percentage)\b|\bwhat's\b"
    r"|\b(?:what|which|who|whom|whose|when|where|why)\b"
    rf"|\b(?:bao nhiêu|bao nhieu|mấy|may)(?: {_UNIT_VI})?(?: tiền)?(?!\w)|\b(?:bao lâu|bao lau|bao giờ|bao xa)\b"
    rf"|\b(?:khi|lúc|{_UNIT_VI}|thứ) (?:nào|mấy)\b|\b(?:có |)(?:được|phải|đúng) (?:không|chưa)\b"
    r"|\b(?:không|chưa)\b(?=\W*$)"
    r"|\b(?:như thế nào|thế nào|ra sao|làm sao|tại sao|vì sao|ở đâu|đâu|ai|gì|nào|mấy)\b",
    re.IGNORECASE,
)


def _lexicon(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


_ATTRIBUTE_VERBS: Final = _lexicon(
    "weigh weighs cost costs last lasts take takes get gets give gives have has had pay pays paid need needs mean",
    "means open opens close closes happen happens know tell find come say says want use used work works allowed",
    "go start end",
)
_ATTRIBUTES_EN: Final = _lexicon(
    "price cost fee charge weight noise warranty deadline phone telephone number address e-mail email limit size width",
    "height depth length duration period time hours date rules rule procedure procedures conditions requirements",
    "colour color speed capacity penalty fine reason name notice minimum maximum rate notes warranties opening contact",
    "hotline",
)
_ATTRIBUTES_VI: Final = _lexicon(
    "giá phí lương nặng cân hạn mức cước thuế thưởng phạt cọc địa số email giờ thủ hồ điều quy tiền bảo kích màu tốc",
    "thời thiết trọng công mã",
)
_GENERAL_VI: Final = _lexicon(
    "có được phải cần muốn mất tốn nặng giá kéo dài mở đóng cửa thể nên tôi mình bạn em anh chị"
)
_GENERAL_EN: Final = _lexicon(
    "please about exactly one ones thing things there here ok okay okey also else old new same other others",
    "another different khác khac à ư",
)
_NO_NAMES: Final = frozenset(("i", "i'm", "i’m", "i'd", "i've", "ok"))
_PREPOSITIONS: Final = _lexicon("for in at on from to with by of during under over within after before per as without")
_PREPOSITIONS_VI: Final = _lexicon("ở tại cho của với trong từ đối về o tai")
# Words that are mostly set against each other: one may take the place of another.
_CONTRASTS: Final = tuple(
    frozenset(each.split(","))
    for each in (
        "full-time,part-time,fulltime,parttime,full time,part time,toàn thời gian,bán thời gian",
        "adult,adults,child,children,student,students,junior,juniors,family,families,apprentices,pensioners,seniors",
        "người lớn,trẻ em,sinh viên,học sinh,gia đình,người già",
        "staff,employees,employee,worker,workers,contractors,interns,managers,trainees,freelancers",
        "nhân viên,công nhân,thực tập sinh,quản lý,người lao động,cộng tác viên",
        "car,cars,motorbike,motorbikes,motorcycle,bicycle,bicycles,bike,van,truck",
        "ô tô,xe máy,xe đạp,xe hơi,xe tải,xe điện,xe đạp điện,oto",
        "monday,tuesday,wednesday,thursday,friday,saturday,sunday,mondays,tuesdays,wednesdays,thursdays,fridays"
        ",saturdays,sundays,weekdays,weekends",
        "thứ hai,thứ ba,thứ tư,thứ năm,thứ sáu,thứ bảy,chủ nhật,ngày thường,cuối tuần",
        "upload,download,uploads,downloads",
        "tải lên,tải xuống",
        "lunch,dinner,breakfast",
        "bữa trưa,bữa tối,bữa sáng,ăn trưa,ăn tối,ăn sáng",
        "added,removed,changed,fixed,deprecated",
        "domestic,foreign,abroad,international",
        "trong nước,nước ngoài,quốc tế,nội địa",
        "monthly,yearly,annual,weekly,daily",
        "first,second,third,fourth",
        "black and white,black,white,colour,color",
        "đen trắng,màu",
    )
)


@dataclass(frozen=True, slots=True)
class Term:
    """One word of a text, at `text[start:end]`; `key` is what it is compared by: without case, ending, diacritics."""

    start: int
    end: int
    word: str
    kind: Kind

    @property
    def key(self) -> str:
        return fold(stem(self.word))


@dataclass(frozen=True, slots=True)
class Chunk:
    """Adjacent words of one kind, with nothing but white space between them."""

    terms: tuple[Term, ...]

    @property
    def start(self) -> int:
        return self.terms[0].start

    @property
    def end(self) -> int:
        return self.terms[-1].end

    @property
    def kind(self) -> Kind:
        return self.terms[0].kind

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(term.key for term in self.terms)

    def of(self, text: str) -> str:
        return text[self.start : self.end]


def read_terms(text: str, names: Collection[str] = ()) -> list[Term]:
    """Return the words in order; `names` are words and pairs, case-folded, that the documents write in capitals."""
    asking = [found.span() for found in _ASKING.finditer(text)]
    starts = {start for start, _ in sentence_spans(text)}
    terms: list[Term] = []
    for found in _WORD.finditer(text):
        start, end = found.span()
        word = found.group().casefold()
        is_first = start in starts
        kind = _classify(found.group(), word, is_first=is_first, names=names, before=terms[-1] if terms else None)
        if kind != "name" and any(low <= start < high for low, high in asking):
            kind = "asking"
        terms.append(Term(start, end, word, kind))
    return _name_beginnings(text, _name_pairs(terms, names), starts)


def read_chunks(text: str, terms: Sequence[Term]) -> list[Chunk]:
    """Return the runs of words of one kind."""
    return [Chunk(tuple(run)) for run in _runs(text, terms)]


def find_contrasts(text: str) -> list[tuple[int, int, frozenset[str]]]:
    """Return the words that have a usual opposite, as (start, end, the set that they belong to), longer ones first."""
    found = [
        (hit.start(), hit.end(), group)
        for group in _CONTRASTS
        for word in group
        for hit in re.finditer(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text, re.IGNORECASE)
    ]
    return sorted(found, key=lambda each: (each[0] - each[1], each[0]))


def is_attribute(term: Term) -> bool:
    """Return whether the word names a property that anything may have, such as a price."""
    return term.word in _ATTRIBUTES_EN or term.word in _ATTRIBUTES_VI


def _classify(text: str, word: str, *, is_first: bool, names: Collection[str], before: Term | None) -> Kind:
    after_name = before is not None and before.kind == "name"
    is_capital = text[0].isupper() and not is_first and word not in _NO_NAMES
    is_code = (term_has_figure(word) and any(char.isalpha() for char in text)) or _VERSION.fullmatch(word) is not None
    is_known = word in names and not is_function_word(word)
    if is_known or is_capital or is_code or (after_name and (text == "&" or text[0].isdigit())):
        return "name"
    if word in _PREPOSITIONS or word in _PREPOSITIONS_VI:
        return "preposition"
    if word in _ATTRIBUTE_VERBS or word in _GENERAL_VI:
        return "attribute"
    is_short = word.partition("'")[0] in ("what", "who", "where", "it", "that")  # `what's`
    return "function" if word == "&" or is_short or is_function_word(word) or word in _GENERAL_EN else "content"


def term_has_figure(word: str) -> bool:
    """Return whether the word holds a digit."""
    return any(char.isdigit() for char in word)


def _name_pairs(terms: list[Term], names: Collection[str]) -> list[Term]:
    """Let both words of a pair be a name that the documents write with two capital letters: `hà nội`."""
    for at in range(len(terms) - 1):
        pair = terms[at : at + 2]
        if f"{pair[0].word} {pair[1].word}" in names and not any(is_function_word(term.word) for term in pair):
            terms[at : at + 2] = [replace(term, kind="name") for term in terms[at : at + 2]]
    return terms


def _name_beginnings(text: str, terms: list[Term], starts: Collection[int]) -> list[Term]:
    """Let a name begin with the first word of a sentence if its next word belongs to a name: `Birk D8 Eco?`."""
    for at in range(len(terms) - 2, -1, -1):
        term, after = terms[at], terms[at + 1]
        if (
            term.start in starts
            and term.kind == "content"
            and text[term.start].isupper()
            and (after.kind == "name" or after.word[0].isdigit())
            and text[term.end : after.start].isspace()
        ):
            terms[at : at + 2] = [replace(each, kind="name") for each in (term, after)]
    return terms


def _runs(text: str, terms: Sequence[Term]) -> Iterator[list[Term]]:
    run: list[Term] = []
    for term in terms:
        if run and (term.kind != run[-1].kind or not text[run[-1].end : term.start].isspace()):
            yield run
            run = []
        run.append(term)
    if run:
        yield run
