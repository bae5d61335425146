"""Render the results of an evaluation as Markdown, ready for docs/benchmarks.md."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Final

from load.evaluation.answers import AnswerQuality
from load.evaluation.calibration import Calibrations
from load.evaluation.metrics import RankingQuality
from load.evaluation.retrieval import RankingQualities
from load.evaluation.situations import WHOLE
from load.evaluation.verdicts import VerdictQuality
from rag.verification import PassageSigns, SentenceSigns

RetrievalReport = Mapping[str, RankingQualities]
AnswersReport = Mapping[str, AnswerQuality]

_SHARES: Final[Mapping[str, str]] = {
    "answered": "answer holds the gold answer",
    "cited": "a cited chunk holds it",
    "in_context": "a passage of the trace holds it",
    "no_answer": "no_answer",
    "faultless": "all citations resolve, all repairs are quotations",
    "citation_recall": "citation recall",
    "citation_precision": "citation precision",
    "verbatim": "sentences verbatim from a cited chunk",
}
_COUNTS: Final[Mapping[str, str]] = {
    "finish_reasons": "finish reasons",
    "verdicts": "verdicts",
    "faults": "faults",
    "errors": "errors",
    "retried": "retried",
}


def render_retrieval(retrieval: RetrievalReport) -> str:
    """Render the quality of each ranking, by questions and stage."""
    names = [each.name for each in fields(RankingQuality)]
    rows = [
        [name, stage, *(f"{getattr(quality, measure):.3f}" for measure in names)]
        for name, stages in retrieval.items()
        for stage, quality in stages.items()
    ]
    return render_table(["questions", "stage", "Recall@1", "Recall@3", "Recall@6", "MRR@10", "nDCG@10"], rows)


def render_answers(answers: AnswersReport) -> str:
    """Render the quality of the answers, one column per setting."""
    qualities = list(answers.values())
    rows = [["questions", *(str(quality.questions) for quality in qualities)]]
    rows += [
        [title, *(_render_number(getattr(quality, name), 3) for quality in qualities)]
        for name, title in _SHARES.items()
    ]
    rows.append(["sentences, mean", *(_render_number(quality.sentences_per_answer, 2) for quality in qualities)])
    rows.append(["words, median", *(_render_number(quality.median_words, 0) for quality in qualities)])
    rows.append(["words, p90", *(_render_number(quality.words_p90, 0) for quality in qualities)])
    for name, title in _COUNTS.items():
        rows.append([title, *(_render_counts(getattr(quality, name)) for quality in qualities)])
    return render_table(["answers", *answers], rows)


def render_reasons(answers: AnswersReport) -> str:
    """Render the share of all judged sentences by verdict and reason."""
    kinds = dict.fromkeys(kind for quality in answers.values() for kind in quality.reasons)
    rows = [[kind, *(f"{quality.reasons.get(kind, 0.0):.3f}" for quality in answers.values())] for kind in kinds]
    return render_table(["verdict: reason", *answers], rows)


def render_latency(answers: AnswersReport) -> str:
    """Render the latencies of each stage."""
    rows = [
        [name, stage, f"{latency.p50:.0f}", f"{latency.p95:.0f}"]
        for name, quality in answers.items()
        for stage, latency in quality.latency_ms.items()
    ]
    return render_table(["answers", "stage", "p50, ms", "p95, ms"], rows)


def render_verdicts(verdicts: VerdictQuality) -> str:
    """Render each kind of labelled sentence with its required outcome; then the CPU times."""
    rows = [
        [
            *(group.source, group.language, group.kind),
            f"{'kept' if group.is_supported else 'blocked'} {group.right} of {group.sentences}",
            f"{group.right / group.sentences:.3f}",
        ]
        for group in verdicts.groups
    ]
    times = verdicts.times
    return "\n\n".join(
        (
            render_table(["labelled sentences", "language", "kind", "as they should be", "share"], rows),
            render_table(["threshold", "G"], [[name, f"{value:g}"] for name, value in verdicts.thresholds.items()]),
            render_table(
                ["CPU time", "p50, µs", "p99, µs"],
                [
                    ["check of a sentence", f"{times.check_p50_us:.0f}", f"{times.check_p99_us:.0f}"],
                    ["reading its passages", f"{times.reading_p50_us:.0f}", f"{times.reading_p99_us:.0f}"],
                ],
            ),
        )
    )


def render_calibrations(calibrations: Calibrations) -> str:
    """Render the effect of `answerable_from` and `quoted_enough`: product's weights / weights of other articles."""
    thresholds, lengths, parts, choices = [], [], [], []
    for name, each in calibrations.sets.items():
        for shipped, held_out in zip(each.shipped, each.held_out, strict=True):
            thresholds.append(
                [
                    *(name, f"{shipped.value:g}"),
                    f"{_render_number(shipped.refused, 3)} / {_render_number(held_out.refused, 3)}",
                    f"{_render_number(shipped.answered, 3)} / {_render_number(held_out.answered, 3)}",
                ]
            )
        for length in each.lengths:
            numbers = [f"{length.hits:.3f}", f"{length.median_words:.0f}", f"{length.sentences:.2f}"]
            lengths.append([name, f"{length.value:g}", *numbers])
        for collection, cut in [*each.parts.items(), (WHOLE, each.chosen)]:
            parts.append([name, collection, _render_number(cut.refused, 3), _render_number(cut.answered, 3)])
        choice = each.choice
        choices.append([name, str(choice.questions), f"{choice.shipped:.3f} / {choice.held_out:.3f}"])
    return "\n\n".join(
        (
            render_table(["questions", "answerable_from", "answerable refused", "unanswerable answered"], thresholds),
            render_table(["questions", "collection", "answerable refused", "unanswerable answered"], parts),
            render_table(["questions", "with a right sentence", "the likeliest one is right"], choices),
            render_table(
                ["answers by quotation", "quoted_enough", "hold the gold answer", "words, median", "sentences, mean"],
                lengths,
            ),
            _render_weights(calibrations),
        )
    )


def _render_weights(calibrations: Calibrations) -> str:
    """Render each sign with the product's weight and the weight fitted on all questions."""
    shipped, fitted = calibrations.shipped, calibrations.fitted
    rows = [["sentence", name, *_pair(shipped.sentence, fitted.sentence, name)] for name in SentenceSigns.__slots__]
    rows += [["passages", name, *_pair(shipped.passages, fitted.passages, name)] for name in PassageSigns.__slots__]
    rows.append(["passages", "bias", f"{shipped.bias:g}", f"{fitted.bias:.2f}"])
    return render_table(["weights", "sign", "shipped", "fitted on everything"], rows)


def _pair(shipped: object, fitted: object, name: str) -> list[str]:
    return [f"{getattr(shipped, name):g}", f"{getattr(fitted, name):.2f}"]


def render_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Render a table; line breaks and bars inside cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_escape, cells))} |" for cells in lines)


def _escape(cell: str) -> str:
    return " ".join(cell.split()).replace("|", r"\|")


def _render_number(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"


def _render_counts(counts: Mapping[str, float]) -> str:
    shown = (f"{kind} {count if isinstance(count, int) else format(count, '.3f')}" for kind, count in counts.items())
    return ", ".join(shown) or "none"
