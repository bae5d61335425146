"""Which verbatim parts of a passage may stand in an answer, and which of them carries a given sentence.

A quotation is whole sentences of the stored chunk, character for character. What could be taken for a marker is cut
off where it trails (a footnote) and bars the sentence where it does not. An order to the assistant, and what follows
it in its paragraph, is neither quoted nor counted as evidence; nor is a line that imitates the prompt, nor
anything after an imitated end of the sources.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rag.injection import gives_orders, imitates_fence, takes_over
from rag.language import sentence_spans, words
from rag.markers import has_marker, marker_spans
from rag.types import Chunk
from rag.verification.support import LIST_MARK, Claim, Evidence, coverage

_MAX_QUOTE_CHARS: Final = 500
_HEADING_CHARS: Final = 60  # a line this short before a capitalised one is a heading, not a wrapped line
_HEADING_WORDS: Final = 8
_SECOND_SENTENCE_GAIN: Final = 0.15  # of the claim's weight: less is not worth a longer quote

_ENDED = re.compile(r"[.!?…。！？][\"'”’»)\]*_]*\Z")
_PARAGRAPH_END = re.compile(r"\n[^\S\n]*\n")


@dataclass(frozen=True, slots=True)
class Statement:
    """What of a sentence is fit to be shown, `text == chunk.text[start:end]`; `is_quotable` if that stands alone.

    `key` is equal for statements that say the same words.
    """

    start: int
    end: int
    text: str
    key: str
    is_quotable: bool


def read_statements(chunk: Chunk) -> list[Statement]:
    """The chunk's sentences in order, those that order the assistant about left out."""
    statements = []
    silent_until = 0
    for start, end in sentence_spans(chunk.text):
        if start < silent_until:
            continue
        if takes_over(chunk.text[start:end]):
            paragraph_end = _PARAGRAPH_END.search(chunk.text, end)
            silent_until = paragraph_end.start() if paragraph_end else len(chunk.text)
            continue
        if imitates_fence(chunk.text[start:end]):
            break
        if gives_orders(chunk.text[start:end]):
            continue
        first, last, is_whole = _without_markers(chunk.text, _trim_start(chunk, start, end), end)
        if first < last:
            text = chunk.text[first:last]
            stands_alone = is_whole and _stands_alone(chunk, first, text)
            statements.append(Statement(first, last, text, sameness_key(text), stands_alone))
    return statements


def carrying_span(
    claim: Claim, evidence: Evidence, statements: Sequence[Statement], chunk: Chunk
) -> tuple[int, int] | None:
    """The smallest verbatim span that carries the claim: its best sentence, or two neighbours where both are needed.

    `evidence` was read from these statements. Returns the first and last of them; None if none has a word of the claim.
    """
    stems = [facts.stems for facts in evidence.sentences]
    if not stems:
        return None
    best = max(range(len(stems)), key=lambda at: (coverage(claim, [stems[at]]), -len(statements[at].text)))
    alone = coverage(claim, [stems[best]])
    if not alone:
        return None
    pairs = [(at, at + 1) for at in (best - 1, best) if 0 <= at < len(stems) - 1]
    together, first = max(
        ((coverage(claim, [stems[a], stems[b]]), a) for a, b in pairs if _are_neighbours(chunk, statements, a)),
        default=(0.0, best),
    )
    if together - alone >= _SECOND_SENTENCE_GAIN * sum(claim.content.values()):
        return first, first + 1
    return best, best


def sameness_key(text: str) -> str:
    """Equal for texts that say the same words."""
    return " ".join(words(text))


def _trim_start(chunk: Chunk, start: int, end: int) -> int:
    """Past list marks, and past a heading that has no blank line after it."""
    while mark := LIST_MARK.match(chunk.text, start, end):
        start = mark.end()
    line, newline, rest = chunk.text[start:end].partition("\n")
    begins_line = start == 0 or chunk.text[start - 1] == "\n"
    if newline and begins_line and len(line) <= _HEADING_CHARS and rest.lstrip()[:1].isupper() and line[-1:].isalnum():
        return end - len(rest.lstrip())
    return start


def _without_markers(text: str, start: int, end: int) -> tuple[int, int, bool]:
    """The longest stretch without a marker, and whether only markers at the end were lost."""
    spans = [(start + first, start + last) for first, last in marker_spans(text[start:end])]
    edges = [start, *(edge for span in spans for edge in span), end]
    stretches = [_trimmed(text, first, last) for first, last in zip(edges[::2], edges[1::2], strict=True)]
    first, last = max(stretches, key=lambda stretch: stretch[1] - stretch[0])
    if spans and has_marker(text[first:last]):
        return start, start, False
    others = [stretch for stretch in stretches if stretch != (first, last)]
    is_whole = not any(map(str.isalnum, "".join(text[begin:stop] for begin, stop in others)))
    return first, last, is_whole and (last == end or bool(_ENDED.search(text[first:last])))


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), max(start + len(piece.rstrip()), start)


def _stands_alone(chunk: Chunk, start: int, text: str) -> bool:
    """Whether a reader learns something from this sentence without the ones around it."""
    count = len(words(text))
    has_figure = any(map(str.isdigit, text))
    if count < (3 if has_figure else 4) or len(text) > _MAX_QUOTE_CHARS or text[-1] in "?？:：":
        return False
    if chunk.heading and sameness_key(text) == sameness_key(chunk.heading):
        return False
    if start == 0 and text[0].islower():
        return False  # the rest of a sentence that began in the chunk before
    return bool(_ENDED.search(text)) or has_figure or count > _HEADING_WORDS


def _are_neighbours(chunk: Chunk, statements: Sequence[Statement], first: int) -> bool:
    """Whether nothing but white space stands between this statement and the next."""
    return not chunk.text[statements[first].end : statements[first + 1].start].strip()
