"""Citation recall and precision in ALCE's sense, with the document that the question was written for as the truth.

ALCE asks an NLI model of each sentence whether the passages that it cites entail it (recall), and of each citation
whether the sentence needs it (precision). A set of questions with gold passages needs no model: a citation is right if
its chunk is of the gold document, or holds a gold answer wherever it is from. So three things differ. A sentence is
judged by its source and not by what it says; a right source cited beside another right one costs no precision; and
sentences and citations are counted over all answers together, where ALCE takes the mean over answers.

Source: Gao, Yen, Yu, Chen, "Enabling Large Language Models to Generate Text with Citations", EMNLP 2023, citation
quality; what is counted where nothing is cited: its `eval.py`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from load.evaluation.metrics import holds_answer, ratio
from load.evaluation.xquad import Question
from rag.language import sentence_spans, words
from rag.types import Chunk
from schemas.response import QueryResponse

MARKER: Final = re.compile(r"\[(S[1-9][0-9]*)\]")
# Markers and the punctuation that closes their sentence.
_MARKERS_END: Final = re.compile(rf"(?:{MARKER.pattern})+[^\w\s\[]*")


@dataclass(frozen=True, slots=True)
class CitationCounts:
    """Of one answer; `backed` are the sentences with at least one right citation, `right` the right citations."""

    sentences: int = 0
    backed: int = 0
    citations: int = 0
    right: int = 0


def count_citations(response: QueryResponse, question: Question, chunks: Mapping[str, Chunk]) -> CitationCounts:
    """Each marker is one citation, however often its source is cited; an abstention counts nothing.

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
    """The share of sentences with a right citation, those without any citation included; None without sentences."""
    return ratio(sum(each.backed for each in counts), sum(each.sentences for each in counts))


def measure_precision(counts: Sequence[CitationCounts]) -> float | None:
    """The share of citations that are right; None without citations."""
    return ratio(sum(each.right for each in counts), sum(each.citations for each in counts))


def split_sentences(answer: str) -> list[str]:
    """The sentences of an answer, each with its markers: they end where the product ends a sentence, or with markers.

    The service puts the markers last, so what follows them is a sentence of its own even where no full stop says so.
    Of a quotation of two sentences with one marker, the first is uncited here, as it is to a reader.
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
