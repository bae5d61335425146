"""Make labelled sentences: copies from XQuAD, and the same copies with one thing changed.

Each edit leaves nearly every word in place and takes what it inserts from the same paragraph, so that overlap alone
cannot see it. Honest changes, a clause cut off or moved, test what the check must not block. Nothing is random: the
same files give the same sentences.

A name is a run of capitalised words that does not begin its sentence; Vietnamese words in lower case do not count.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from typing import Final

from load.evaluation.verdicts import COPY, LabelledSentence
from load.evaluation.xquad import Language, Paragraph, QuestionSet
from rag.text.language import sentence_spans, words
from rag.verification.numbers import find_figures

SOURCE: Final = "XQuAD, edited anew"
PER_KIND: Final = 200  # per language
_MIN_WORDS: Final = 8
_MAX_WORDS: Final = 45

CUT: Final = "first clause cut"
MOVED: Final = "first clause moved"
NEGATED: Final = "negation put in"
AFFIRMED: Final = "negation taken out"
OTHER_FIGURE: Final = "figure of the paragraph"
OTHER_NAME: Final = "name of the paragraph"
EXCHANGED: Final = "names exchanged"
# The least share of each kind that must be blocked.
BLOCKED_MIN: Final[Mapping[str, float]] = {NEGATED: 0.95, OTHER_FIGURE: 0.90, OTHER_NAME: 0.85, EXCHANGED: 0.80}

# One edit of a sentence of a paragraph; None if the sentence offers nothing to edit.
Edit = Callable[[str, str, Language], str | None]

_UPPER: Final = "A-ZÀ-ÖØ-ÞĂĐĨŨƠƯẠẢẤẦẨẪẬẮẰẲẴẶẸẺẼẾỀỂỄỆỈỊỌỎỐỒỔỖỘỚỜỞỠỢỤỦỨỪỬỮỰỲỴỶỸ"
_NAME = re.compile(rf"(?<=[\w,] )[{_UPPER}][\w'’]*(?: [{_UPPER}][\w'’]*)*")
_FIGURE = re.compile(r"(?<![\w.,$£€/–-])\d+(?:[.,]\d+)*(?![\w%/–-]|[.,]\d)")
_LISTED = re.compile(r"(?:[\s,]|\b(?:and|or|và|hoặc|với)\b)*")
_CLAUSE = re.compile(r"^([^,.;:()\"]{12,60}), ((?:the|a|he|she|it|they|các|những|một|ông|bà|họ|nó)\b[^.;()\"]*)([.])$")
_NEGATED = re.compile(
    r"\b(?:not|no|never|none|nor|neither|without|cannot|không|chưa|chẳng|chả|đừng|chớ)\b|n['’]t\b", re.IGNORECASE
)
_INSERTIONS: Final[Mapping[Language, tuple[re.Pattern[str], str]]] = {
    "en": (
        re.compile(r"(?<=\w )(?:is|are|was|were|has|have|had|can|could|will|would|may|must|should)\b"),
        r"\g<0> not",
    ),
    "vi": (re.compile(r"(?<=\w )(?:là|có|được|cho|bao gồm|sử dụng|trở thành)\b"), r"không \g<0>"),
}


def make_edits(questions: QuestionSet, *, per_kind: int = PER_KIND) -> list[LabelledSentence]:
    """Return at most `per_kind` sentences of each kind, from paragraphs all over the set."""
    made = []
    for kind, (edit, is_supported) in _EDITS.items():
        found = list(_edit_all(questions, edit))
        step = max(1, len(found) // per_kind)
        made += [
            LabelledSentence(SOURCE, questions.language, kind, is_supported, text, (paragraph.text,))
            for paragraph, text in found[::step][:per_kind]
        ]
    return made


def _edit_all(questions: QuestionSet, edit: Edit) -> Iterator[tuple[Paragraph, str]]:
    for paragraph in questions.paragraphs:
        for start, end in sentence_spans(paragraph.text):
            sentence = paragraph.text[start:end]
            if _MIN_WORDS <= len(words(sentence)) <= _MAX_WORDS and sentence.endswith("."):
                edited = edit(sentence, paragraph.text, questions.language)
                if edited is not None:
                    yield paragraph, edited


def _copy(sentence: str, paragraph: str, language: Language) -> str:
    return sentence


def _cut(sentence: str, paragraph: str, language: Language) -> str | None:
    """Cut off the first clause, which says when or where."""
    found = _CLAUSE.match(sentence)
    return found[2][0].upper() + found[2][1:] + found[3] if found else None


def _move(sentence: str, paragraph: str, language: Language) -> str | None:
    """Move the first clause to the end."""
    found = _CLAUSE.match(sentence)
    return f"{found[2][0].upper()}{found[2][1:]} {found[1][0].lower()}{found[1][1:]}{found[3]}" if found else None


def _negate(sentence: str, paragraph: str, language: Language) -> str | None:
    pattern, replacement = _INSERTIONS[language]
    if _NEGATED.search(sentence) or not pattern.search(sentence):
        return None
    return pattern.sub(replacement, sentence, count=1)


def _affirm(sentence: str, paragraph: str, language: Language) -> str | None:
    """Remove the only negation."""
    mark = "not" if language == "en" else "không"
    found = re.findall(rf"\b{mark} (?!only|gian|khí|quân|phận|chỉ)", sentence)
    if len(found) != 1 or len(_NEGATED.findall(sentence)) != 1:
        return None
    return sentence.replace(found[0], "", 1)


def _replace_figure(sentence: str, paragraph: str, language: Language) -> str | None:
    """Replace a figure by another one of the paragraph, with the same number of characters."""
    own = [each.group() for each in _FIGURE.finditer(sentence)]
    others = [each.group() for each in _FIGURE.finditer(paragraph) if each.group() not in own]
    for figure in own:
        for other in others:
            if len(other) == len(figure) and find_figures(other, ambiguous=False) != find_figures(
                figure, ambiguous=False
            ):
                return _put(sentence, figure, other)
    return None


def _replace_name(sentence: str, paragraph: str, language: Language) -> str | None:
    """Replace a name by one of the paragraph that shares no word with the sentence, if possible of equal length."""
    held = {word.casefold() for word in words(sentence)}
    others = [name for name in _names(paragraph) if held.isdisjoint(words(name))]
    for name in _names(sentence):
        if others:
            return _put(sentence, name, min(others, key=lambda other: abs(len(other.split()) - len(name.split()))))
    return None


def _exchange_names(sentence: str, paragraph: str, language: Language) -> str | None:
    """Exchange two names that are not merely listed side by side."""
    for first, second in combinations(_names(sentence), 2):
        between = sentence[sentence.index(first) + len(first) : sentence.index(second)]
        is_apart = set(words(first)).isdisjoint(words(second)) and not _LISTED.fullmatch(_NAME.sub("", between))
        if is_apart:
            return f"{sentence.partition(first)[0]}{second}{between}{first}{sentence.partition(second)[2]}"
    return None


def _names(text: str) -> list[str]:
    """Return the names in order, each once, without a possessive ending.

    Names that the text also has in lower case are left out. So are single syllables with diacritics, which are half of
    a Vietnamese word as often as a name.
    """
    found = dict.fromkeys(re.sub(r"['’]s?\Z", "", each.group()) for each in _NAME.finditer(text))
    lower = set(re.findall(r"\b[^\W\d_]+\b", text))
    return [
        name
        for name in found
        if (" " in name or (name.isascii() and len(name) > 3))
        and not any(part.lower() in lower for part in name.split())
    ]


def _put(sentence: str, old: str, new: str) -> str:
    return re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", new, sentence, count=1)


_EDITS: Final[Mapping[str, tuple[Edit, bool]]] = {
    COPY: (_copy, True),
    CUT: (_cut, True),
    MOVED: (_move, True),
    NEGATED: (_negate, False),
    AFFIRMED: (_affirm, False),
    OTHER_FIGURE: (_replace_figure, False),
    OTHER_NAME: (_replace_name, False),
    EXCHANGED: (_exchange_names, False),
}
