"""Whether a repair is what it must be: whole sentences of one cited chunk, character for character.

Checked from outside, on what was sent and what is stored, and not by the code that makes the quotations.
"""

import re
from collections.abc import Mapping
from typing import Final

from load.evaluation.citations import MARKER
from rag.language import sentence_spans, words
from rag.markers import strip_markers
from rag.types import Chunk
from rag.verification.support import LIST_MARK
from schemas.response import QueryResponse, TraceSentence

# As `rag.citations.render_sentence` writes them: after a space, before the final punctuation.
_RENDERED_MARKERS: Final = re.compile(rf" (?:{MARKER.pattern})+")
# What `rag.verification.quotation` takes for a heading that has no blank line after it.
_HEADING_CHARS: Final = 60


def find_misquotation(response: QueryResponse, chunks: Mapping[str, Chunk]) -> str | None:
    """What is wrong with the first repair that is no quotation; None where all are. `chunks` is by chunk id."""
    for sentence in sent_sentences(response):
        if sentence.verdict != "repaired":
            continue
        text = _without_markers(sentence)
        holding = [chunk for chunk in _cited(sentence, response, chunks) if text in chunk.text]
        if not holding:
            return "a repair that is not verbatim from one chunk"
        if not any(is_whole(text, chunk) for chunk in holding):
            return "a repair that is not whole sentences"
    return None


def count_verbatim(response: QueryResponse, chunks: Mapping[str, Chunk]) -> int:
    """How many of the sentences that were sent stand, character for character, in a chunk that they cite."""
    return sum(
        any(_without_markers(sentence) in chunk.text for chunk in _cited(sentence, response, chunks))
        for sentence in sent_sentences(response)
    )


def sent_sentences(response: QueryResponse) -> list[TraceSentence]:
    """The sentences of which something went out; none without a trace."""
    return [sentence for sentence in response.trace.sentences if sentence.sent] if response.trace else []


def is_whole(text: str, chunk: Chunk) -> bool:
    """Whether the text stands in the chunk from the start of a sentence to the end of that or a later one.

    What the product trims off may be missing: list marks and a heading at the start, markers at either side.
    """
    spans = sentence_spans(chunk.text)
    first = chunk.text.find(text)
    while first >= 0:
        last = first + len(text)
        begins = any(start <= first < end and _is_trimmed(chunk.text, start, first) for start, end in spans)
        ends = any(start < last <= end and not words(strip_markers(chunk.text[last:end])) for start, end in spans)
        if begins and ends:
            return True
        first = chunk.text.find(text, first + 1)
    return False


def _is_trimmed(text: str, start: int, first: int) -> bool:
    """Whether what stands between a sentence's start and `first` says nothing that a quotation must hold."""
    while mark := LIST_MARK.match(text, start, first):
        start = mark.end()
    heading, line_break, rest = text[start:first].partition("\n")
    begins_line = start == 0 or text[start - 1] == "\n"
    is_heading = line_break and begins_line and len(heading) <= _HEADING_CHARS and heading[-1:].isalnum()
    if is_heading and text[first - len(rest) :].lstrip()[:1].isupper():
        return not words(strip_markers(rest))
    return not words(strip_markers(text[start:first]))


def _without_markers(sentence: TraceSentence) -> str:
    return _RENDERED_MARKERS.sub("", sentence.sent)


def _cited(sentence: TraceSentence, response: QueryResponse, chunks: Mapping[str, Chunk]) -> list[Chunk]:
    wanted = set(MARKER.findall(sentence.sent))
    ids = [citation.chunk_id for citation in response.citations if citation.source_id in wanted]
    return [chunks[chunk_id] for chunk_id in ids if chunk_id in chunks]
