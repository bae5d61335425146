"""Measure citation recall and precision in ALCE's sense; the document that a question was written for is the truth.

ALCE asks an NLI model of each sentence whether the passages that it cites entail it (recall), and of each citation
whether the sentence needs it (precision). A set with gold passages needs no model: a citation is right if its chunk is
of the gold document, or holds a gold answer wherever it is from. So three things differ. A sentence is judged by its
source, not by its content. A right source cited beside another right one costs no precision. Sentences and citations
are counted over all answers together, while ALCE takes the mean over answers.

Source: Gao, Yen, Yu, Chen, "Enabling Large Language Models to Generate Text with Citations", EMNLP 2023, citation
quality; for answers without citations: its `eval.py`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from load.evaluation.metrics import holds_answer, ratio
from load.evaluation.xquad import Question
from rag.text.language import sentence_spans, words
from rag.types import Chunk
from schemas.response import QueryResponse

MARKER: Final = re.compile(r"\[(S[1-9][0-9]*)\]")
# Markers and the punctuation that ends their sentence.
_MARKERS_END: Final = re.compile(rf"(?:{MARKER.pattern})+[^\w\s\[]*")


@dataclass(frozen=True, slots=True)
class CitationCounts:
    """The counts of one answer; `backed` counts sentences with a right citation, `right` the right citations."""

    sentences: int = 0
    backed: int = 0
    citations: int = 0
    right: int = 0


def count_citations(response: QueryResponse, question: Question, chunks: Mapping[str, Chunk]) -> CitationCounts:
    """Count the citations: each marker is one, however often its source is cited; an abstention has none.

    `chunks` is the whole index, by chunk id.
    """
    if response.finish_reason == "no_answer":
        return CitationCounts()
    cited = {citation.source_id: chunks.get(citation.chunk_id) for citation in response.citations}
    right_sources = {source_id for source_id, chunk in cited.items() if chunk and _is_right(chunk, question)}
    sentences = [MARKER.findall(sentence) for sentence in split_sentences(response.answer)]
    return CitationCounts(
        sentences=len(sentences),
        backed=sum(not right_sources.isdisjoint(markers) for markers in sentences),
        citations=sum(len(markers) for markers in sentences),
        right=sum(marker in right_sources for markers in sentences for marker in markers),
    )


def measure_recall(counts: Sequence[CitationCounts]) -> float | None:
    """Return the share of sentences with a right citation, among all sentences; None without sentences."""
    return ratio(sum(each.backed for each in counts), sum(each.sentences for each in counts))


def measure_precision(counts: Sequence[CitationCounts]) -> float | None:
    """Return the share of citations that are right; None without citations."""
    return ratio(sum(each.right for each in counts), sum(each.citations for each in counts))


def split_sentences(answer: str) -> list[str]:
    """Split an answer into sentences with their markers; a sentence ends as in the product, or after its markers.

    The service puts markers last, so the text after them is a new sentence even without a full stop. In a quotation of
    two sentences with one marker the first is uncited here, as it is for a reader.
    """
    pieces: list[str] = []
    for start, end in sentence_spans(answer):
        position = start
        for run in _MARKERS_END.finditer(answer, start, end):
            pieces.append(answer[position : run.end()])
            position = run.end()
        pieces.append(answer[position:end])
    return [piece.strip() for piece in pieces if words(MARKER.sub(" ", piece))]


def _is_right(chunk: Chunk, question: Question) -> bool:
    return chunk.document_id == question.document_id or holds_answer(chunk.text, question.answers)
