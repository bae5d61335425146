"""Check that a repair is a quotation: assembled from one cited chunk, character for character.

After an introduction of a quotation in another language, a repair is one of three things: whole sentences, including a
list with its lead; a lead and one item of its list, as `lead: item`; or cells of one table row after the name in its
first cell, as `X2: Weight 3 kg, Noise 40 dB`. The quotes of its citations are checked with all others
(`load.evaluation.judging`).

The check uses what was sent and what is stored, and not the code that makes the quotations.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from load.evaluation.citations import MARKER
from rag.text.language import sentence_spans, words
from rag.text.markers import strip_markers
from rag.types import Chunk
from rag.verification.notices import INTRODUCTIONS
from rag.verification.support import LIST_MARK
from schemas.response import QueryResponse, TraceSentence

# As `rag.answer.sentences.render_sentence` writes them: after a space, before the final punctuation.
_RENDERED_MARKERS: Final = re.compile(rf" (?:{MARKER.pattern})+")
# The limit of `rag.verification.statements` for a heading without a blank line after it.
_HEADING_CHARS: Final = 60
_CELL_MARK: Final = " | "
_LABEL_MARK: Final = ": "


def find_misquotation(response: QueryResponse, chunks: Mapping[str, Chunk]) -> str | None:
    """Return what is wrong with the first repair that is no quotation; None if all are. `chunks` is by chunk id."""
    for sentence in sent_sentences(response):
        if sentence.verdict != "repaired":
            continue
        text, cited = _quoted(sentence), _cited(sentence, response, chunks)
        if any(is_whole(text, chunk) or is_led_item(text, chunk) or is_of_a_row(text, chunk) for chunk in cited):
            continue
        if any(text in chunk.text for chunk in cited):
            return "a repair that is not whole sentences"
        return "a repair that is not verbatim from one chunk"
    return None


def count_verbatim(response: QueryResponse, chunks: Mapping[str, Chunk]) -> int:
    """Count the sentences sent that a cited chunk holds, character for character; introductions are ignored."""
    return sum(
        any(_quoted(sentence) in chunk.text for chunk in _cited(sentence, response, chunks))
        for sentence in sent_sentences(response)
    )


def sent_sentences(response: QueryResponse) -> list[TraceSentence]:
    """Return the sentences of which something was sent; none without a trace."""
    return [sentence for sentence in response.trace.sentences if sentence.sent] if response.trace else []


def is_whole(text: str, chunk: Chunk) -> bool:
    """Return whether the text runs in the chunk from the start of a sentence to the end of that or a later one.

    What the product trims may be missing: list marks and a heading at the start, markers at either side.
    """
    return bool(_find_whole(text, chunk))


def is_led_item(text: str, chunk: Chunk) -> bool:
    """Return whether the text is a lead of the chunk and, after a colon, a whole item of a list below it."""
    for found in re.finditer(re.escape(_LABEL_MARK), text):
        lead, item = text[: found.start()], text[found.end() :]
        items = [place for place in _find_whole(item, chunk) if _is_after_list_mark(chunk.text, place)]
        if (
            lead
            and items
            and any(_ends_with_lead(chunk.text, lead, *span, items) for span in sentence_spans(chunk.text))
        ):
            return True
    return False


def is_of_a_row(text: str, chunk: Chunk) -> bool:
    """Return whether the text is the name of a table row and some of its cells, in order, each with its column."""
    rows = (chunk.text[start:end].split(_CELL_MARK) for start, end in sentence_spans(chunk.text))
    return any(_is_picked(text, [cell.partition(_LABEL_MARK) for cell in row]) for row in rows)


def _ends_with_lead(text: str, lead: str, start: int, end: int, items: Sequence[int]) -> bool:
    """Return whether the sentence, without what is trimmed, is the lead, and one of the items begins after it."""
    at = text.rfind(lead, start, end)
    if at < 0 or not _is_trimmed(text, start, at):
        return False
    return not words(strip_markers(text[at + len(lead) : end])) and max(items) >= end


def _is_after_list_mark(text: str, place: int) -> bool:
    return any(start <= place < end and LIST_MARK.match(text, start, place) for start, end in sentence_spans(text))


def _is_picked(text: str, cells: Sequence[tuple[str, str, str]]) -> bool:
    label, _, value = cells[0]
    name = f"{value or label}{_LABEL_MARK}"
    if len(cells) < 2 or not text.startswith(name):
        return False
    rest = text[len(name) :]
    for label, mark, value in cells[1:]:
        cell = f"{label} {value}"
        if mark and rest == cell:
            return True
        if mark and rest.startswith(f"{cell}, "):
            rest = rest[len(cell) + 2 :]
    return False


def _find_whole(text: str, chunk: Chunk) -> list[int]:
    """Return where the text begins in the chunk, for each place where it is whole."""
    if not text:
        return []
    spans = sentence_spans(chunk.text)
    found = []
    first = chunk.text.find(text)
    while first >= 0:
        last = first + len(text)
        begins = any(start <= first < end and _is_trimmed(chunk.text, start, first) for start, end in spans)
        ends = any(start < last <= end and not words(strip_markers(chunk.text[last:end])) for start, end in spans)
        if begins and ends:
            found.append(first)
        first = chunk.text.find(text, first + 1)
    return found


def _is_trimmed(text: str, start: int, first: int) -> bool:
    """Return whether the text between the start of a sentence and `first` may be missing in a quotation."""
    while mark := LIST_MARK.match(text, start, first):
        start = mark.end()
    heading, line_break, rest = text[start:first].partition("\n")
    begins_line = start == 0 or text[start - 1] == "\n"
    is_heading = line_break and begins_line and len(heading) <= _HEADING_CHARS and heading[-1:].isalnum()
    if is_heading and text[first - len(rest) :].lstrip()[:1].isupper():
        return not words(strip_markers(rest))
    return not words(strip_markers(text[start:first]))


def _quoted(sentence: TraceSentence) -> str:
    """Return what was sent, without its markers and its introduction."""
    text = _RENDERED_MARKERS.sub("", sentence.sent)
    introduction = next((each for each in INTRODUCTIONS.values() if text.startswith(each)), "")
    return text.removeprefix(introduction)


def _cited(sentence: TraceSentence, response: QueryResponse, chunks: Mapping[str, Chunk]) -> list[Chunk]:
    wanted = set(MARKER.findall(sentence.sent))
    ids = [citation.chunk_id for citation in response.citations if citation.source_id in wanted]
    return [chunks[chunk_id] for chunk_id in ids if chunk_id in chunks]
