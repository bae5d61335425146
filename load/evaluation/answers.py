"""Aggregate the judgements of all replies in one language."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from load.evaluation.asking import Reply
from load.evaluation.citations import measure_precision, measure_recall
from load.evaluation.judging import judge
from load.evaluation.metrics import percentile, ratio, share
from rag.types import Chunk
from schemas.response import Latency, TraceSentence


@dataclass(frozen=True, slots=True)
class LatencyQuality:
    """Percentiles in milliseconds."""

    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class AnswerQuality:
    """The quality of all replies; shares are of all questions asked, including those that failed.

    `answered`: the answer holds the gold answer. `cited`: a cited chunk holds it. `in_context`: a passage of the trace
    holds it. `faultless`: share of responses whose citations all obey the contract and whose repairs are quotations.
    `verbatim`: share of sentences sent that stand so in a chunk that they cite. `sentences_per_answer`: mean over
    answers. These are None if there are no such sentences. `reasons`: share of all judged sentences by verdict and
    reason, for those with a reason. `faults` and `errors` count replies by kind; `retried` counts the errors after
    which a question was repeated.
    """

    questions: int
    answered: float
    cited: float
    in_context: float
    no_answer: float
    faultless: float
    citation_recall: float | None
    citation_precision: float | None
    verbatim: float | None
    sentences_per_answer: float | None
    median_words: float
    words_p90: float
    finish_reasons: dict[str, float]
    verdicts: dict[str, float]
    reasons: dict[str, float]
    latency_ms: dict[str, LatencyQuality]
    faults: dict[str, int]
    errors: dict[str, int]
    retried: dict[str, int]


class NoAnswersError(Exception):
    """There is nothing to measure."""


def measure_answers(replies: Sequence[Reply], chunks: Mapping[str, Chunk]) -> AnswerQuality:
    """Measure the replies; `chunks` is the whole index, by chunk id.

    Raises: NoAnswersError: none of the replies is a response.
    """
    responses = [(reply, reply.response) for reply in replies if reply.response is not None]
    errors = Counter(reply.error for reply in replies if reply.error)
    if not responses:
        raise NoAnswersError(f"the server answered none of {len(replies)} questions: {dict(errors)}")
    judgements = [judge(response, reply.question, chunks) for reply, response in responses]
    citing = [each.citing for each in judgements]
    sentences = [each for _, response in responses if response.trace for each in response.trace.sentences]
    total, abstained = len(replies), sum(response.finish_reason == "no_answer" for _, response in responses)
    return AnswerQuality(
        questions=total,
        answered=sum(each.answered for each in judgements) / total,
        cited=sum(each.cited for each in judgements) / total,
        in_context=sum(each.in_context for each in judgements) / total,
        no_answer=abstained / total,
        faultless=share(each.fault is None for each in judgements),
        citation_recall=measure_recall(citing),
        citation_precision=measure_precision(citing),
        verbatim=ratio(sum(each.verbatim for each in judgements), sum(each.sent for each in judgements)),
        sentences_per_answer=ratio(sum(each.sentences for each in citing), len(responses) - abstained),
        median_words=median(each.words for each in judgements),
        words_p90=percentile([each.words for each in judgements], 90),
        finish_reasons=_shares([response.finish_reason for _, response in responses]),
        verdicts=_shares([sentence.verdict for sentence in sentences]),
        reasons=_share_reasons(sentences),
        latency_ms=_measure_latency([response.latency_ms for _, response in responses]),
        faults=dict(Counter(each.fault for each in judgements if each.fault)),
        errors=dict(errors),
        retried=dict(Counter(code for reply in replies for code in reply.retried)),
    )


def _shares(kinds: Sequence[str]) -> dict[str, float]:
    return {kind: count / len(kinds) for kind, count in Counter(kinds).most_common()}


def _share_reasons(sentences: Sequence[TraceSentence]) -> dict[str, float]:
    counts = Counter(f"{each.verdict}: {each.reason}" for each in sentences if each.reason)
    return {kind: count / len(sentences) for kind, count in counts.most_common()}


def _measure_latency(latencies: Sequence[Latency]) -> dict[str, LatencyQuality]:
    return {
        stage: LatencyQuality(p50=percentile(values, 50), p95=percentile(values, 95))
        for stage in Latency.model_fields
        if (values := [float(getattr(latency, stage)) for latency in latencies])
    }
