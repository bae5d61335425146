"""What a reply is worth: whether it holds the answer, and whether its citations are what the contract says they are."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from load.evaluation.asking import Reply
from load.evaluation.metrics import holds_answer, percentile, share
from rag.language import words
from rag.types import Chunk
from schemas.response import Citation, Latency, QueryResponse

_MARKER: Final = re.compile(r"\[S[1-9][0-9]*\]")


@dataclass(frozen=True, slots=True)
class Judgement:
    """One response, judged; `fault` says where its citations break the contract."""

    answered: bool
    cited: bool
    in_context: bool
    words: int
    fault: str | None


@dataclass(frozen=True, slots=True)
class LatencyQuality:
    """Milliseconds."""

    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class AnswerQuality:
    """Shares are of all questions asked, those that failed included; `faults` and `errors` count replies by kind,
    `retried` the errors after which a question was asked again.

    `answered`: the answer holds the gold answer; `cited`: a cited chunk holds it; `in_context`: a chunk that the
    generator saw holds it; `resolved`: the share of responses whose citations all resolve as the contract says.
    """

    questions: int
    answered: float
    cited: float
    in_context: float
    no_answer: float
    resolved: float
    median_words: float
    finish_reasons: dict[str, float]
    verdicts: dict[str, float]
    latency_ms: dict[str, LatencyQuality]
    faults: dict[str, int]
    errors: dict[str, int]
    retried: dict[str, int]


class NoAnswersError(Exception):
    """There is nothing to measure."""


def judge(response: QueryResponse, answers: Sequence[str], chunks: Mapping[str, Chunk]) -> Judgement:
    """`chunks` is the whole index, by chunk id."""
    text = _MARKER.sub(" ", response.answer)
    seen = response.trace.passages if response.trace else []
    return Judgement(
        answered=holds_answer(text, answers),
        cited=_any_holds([citation.chunk_id for citation in response.citations], answers, chunks),
        in_context=_any_holds([passage.chunk_id for passage in seen], answers, chunks),
        words=len(words(text)),
        fault=find_fault(response, chunks),
    )


def find_fault(response: QueryResponse, chunks: Mapping[str, Chunk]) -> str | None:
    """The first rule of the contract that the citations of a response break; None where they keep all."""
    markers = [marker[1:-1] for marker in dict.fromkeys(_MARKER.findall(response.answer))]
    if markers != [f"S{number}" for number in range(1, len(markers) + 1)]:
        return "markers are not numbered in their order"
    if sorted(markers) != sorted(citation.source_id for citation in response.citations):
        return "markers and citations differ"
    if (response.finish_reason == "no_answer") != (not markers):
        return "an answer without citations, or citations without an answer"
    return _find_unresolved(response.citations, chunks)


def _find_unresolved(citations: Sequence[Citation], chunks: Mapping[str, Chunk]) -> str | None:
    for citation in citations:
        chunk = chunks.get(citation.chunk_id)
        if chunk is None:
            return "a chunk that does not exist"
        if not citation.quote or citation.quote not in chunk.text:
            return "a quote that is not in its chunk"
    return None


def measure_answers(replies: Sequence[Reply], chunks: Mapping[str, Chunk]) -> AnswerQuality:
    """Raises: NoAnswersError: not one reply is a response."""
    responses = [(reply, reply.response) for reply in replies if reply.response is not None]
    errors = Counter(reply.error for reply in replies if reply.error)
    if not responses:
        raise NoAnswersError(f"the server answered none of {len(replies)} questions: {dict(errors)}")
    judgements = [judge(response, reply.question.answers, chunks) for reply, response in responses]
    sentences = [each for _, response in responses if response.trace for each in response.trace.sentences]
    total = len(replies)
    return AnswerQuality(
        questions=total,
        answered=sum(each.answered for each in judgements) / total,
        cited=sum(each.cited for each in judgements) / total,
        in_context=sum(each.in_context for each in judgements) / total,
        no_answer=sum(response.finish_reason == "no_answer" for _, response in responses) / total,
        resolved=share(each.fault is None for each in judgements),
        median_words=median(each.words for each in judgements),
        finish_reasons=_shares([response.finish_reason for _, response in responses]),
        verdicts=_shares([sentence.verdict for sentence in sentences]),
        latency_ms=_measure_latency([response.latency_ms for _, response in responses]),
        faults=dict(Counter(each.fault for each in judgements if each.fault)),
        errors=dict(errors),
        retried=dict(Counter(code for reply in replies for code in reply.retried)),
    )


def _any_holds(chunk_ids: Sequence[str], answers: Sequence[str], chunks: Mapping[str, Chunk]) -> bool:
    found = (chunks[chunk_id] for chunk_id in chunk_ids if chunk_id in chunks)
    return any(holds_answer(chunk.text, answers) for chunk in found)


def _shares(kinds: Sequence[str]) -> dict[str, float]:
    return {kind: count / len(kinds) for kind, count in Counter(kinds).most_common()}


def _measure_latency(latencies: Sequence[Latency]) -> dict[str, LatencyQuality]:
    return {
        stage: LatencyQuality(p50=percentile(values, 50), p95=percentile(values, 95))
        for stage in Latency.model_fields
        if (values := [float(getattr(latency, stage)) for latency in latencies])
    }
