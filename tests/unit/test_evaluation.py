"""The measures of the evaluation, compared with values computed by hand."""

import json
from pathlib import Path
from typing import Final

import pytest

from load.evaluation import edits
from load.evaluation.answers import AnswerQuality, NoAnswersError, measure_answers
from load.evaluation.asking import Reply, draw_sample
from load.evaluation.judging import find_fault, judge
from load.evaluation.metrics import find_rank, holds_answer, measure_ranking, percentile
from load.evaluation.report import Bound, Report, render_tables
from load.evaluation.retrieval import RANKING_STAGES
from load.evaluation.verdicts import CheckTimes, VerdictGroup, VerdictQuality
from load.evaluation.xquad import DataError, Question, check_parallel, load_questions
from schemas.response import QueryResponse
from tests.unit.evaluation_replies import CHUNKS, NO_ANSWER, QUESTION, cite, judged, respond, trace_of

TIMES: Final = CheckTimes(check_p50_us=210.0, check_p99_us=480.0, reading_p50_us=1400.0, reading_p99_us=2000.0)


def write_set(folder: Path, language: str, *question_ids: str) -> None:
    questions = [{"id": each, "question": "?", "answers": [{"text": "a"}, {"text": "a"}]} for each in question_ids]
    articles = [{"title": "Super_Bowl", "paragraphs": [{"context": "a b", "qas": [each]} for each in questions]}]
    (folder / f"xquad.{language}.dev.json").write_text(json.dumps({"data": articles}), "utf-8")


def test_the_measures_of_a_ranking_are_means_over_all_questions() -> None:
    """Ranks 1, 2, 4, 11 and none: Recall counts ranks up to k, the other two what is within ten."""
    quality = measure_ranking([1, 2, 4, 11, None])

    assert quality.recall_at_1 == pytest.approx(1 / 5)
    assert quality.recall_at_3 == pytest.approx(2 / 5)
    assert quality.recall_at_6 == pytest.approx(3 / 5)
    assert quality.mrr_at_10 == pytest.approx((1 + 1 / 2 + 1 / 4) / 5)
    assert quality.ndcg_at_10 == pytest.approx((1 + 0.6309298 + 0.4306766) / 5)


def test_a_document_ranks_by_its_best_chunk() -> None:
    """Two chunks of one document take one rank, not two."""
    assert find_rank(["a", "a", "b", "a", "c"], "b") == 2
    assert find_rank(["a", "a", "b", "a", "c"], "c") == 3
    assert find_rank(["a"], "b") is None


def test_no_questions_have_no_quality() -> None:
    """A mean of nothing is a fault of the run, not a zero."""
    with pytest.raises(ValueError, match="no values"):
        measure_ranking([])


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("It was 12 Days, they say.", "12 days"),
        ("“Công-ty” TRẢ   lương.", "công ty trả"),
        ("made of ca\u0301", "c\u00e1"),
    ],
)
def test_an_answer_is_found_whatever_its_writing(text: str, answer: str) -> None:
    """Case, punctuation, white space and the form of Unicode say nothing."""
    assert holds_answer(text, [answer])


@pytest.mark.parametrize(("text", "answer"), [("in 14 days", "4"), ("ma", "má"), ("days 12", "12 days"), ("a", "…")])
def test_other_words_are_no_answer(text: str, answer: str) -> None:
    """Parts of words, other diacritics, another order, and answers without words do not count."""
    assert not holds_answer(text, [answer])


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (20, 1), (50, 3), (95, 5), (100, 5)])
def test_a_percentile_is_one_of_the_values(percent: float, value: float) -> None:
    """Nearest rank: at least that share of the values does not exceed it."""
    assert percentile([5, 1, 4, 2, 3], percent) == value


def test_a_response_within_the_contract_has_no_fault() -> None:
    """Both an answer whose markers all resolve, and an abstention without any."""
    assert find_fault(respond(), CHUNKS) is None
    assert find_fault(NO_ANSWER, CHUNKS) is None


@pytest.mark.parametrize(
    "response",
    [
        respond("It is 12 days [S2].", (cite("S2"),)),
        respond("It is 12 days [S1].", ()),
        respond("It is 12 days [S1].", (cite(), cite("S2"))),
        respond("It is 12 days [S1].", (cite(), cite())),
        respond("It is 12 days.", ()),
        respond("No idea [S1].", (cite(),), "no_answer"),
        respond(citations=(cite(chunk_id="demo:p0001:v1:00009"),)),
        respond(citations=(cite(quote="13 days"),)),
        respond(citations=(cite(quote=""),)),
    ],
)
def test_a_citation_that_does_not_resolve_is_a_fault(response: QueryResponse) -> None:
    """Markers are numbered without gaps and match the citations one to one; quotes stand in their chunks."""
    assert find_fault(response, CHUNKS) is not None


def test_markers_are_no_part_of_the_answer() -> None:
    """A marker between two words of the gold answer does not part them, nor does it count as a word."""
    judgement = judge(respond("12 [S1] days"), QUESTION, CHUNKS)

    assert judgement.answered
    assert judgement.words == 2


def test_a_citation_counts_by_its_chunk_and_not_by_its_quote() -> None:
    """The right source with another sentence quoted is still the right source."""
    judgement = judge(respond("It rains [S1].", (cite(quote="It rains."),)), QUESTION, CHUNKS)

    assert judgement.cited
    assert not judgement.answered


def measure_four() -> AnswerQuality:
    """An answer, a wrong one with a broken citation, an abstention, and an error."""
    kept = judged("kept", "It is 12 days [S1].")
    right = respond(trace=trace_of(judged("skipped", reason="states nothing"), kept, judged("dropped")))
    wrong = respond("It is 13 days [S1].", (cite(quote="13 days"),), total_ms=20)
    replies = [Reply(QUESTION, response) for response in (right, wrong, NO_ANSWER)]
    return measure_answers([*replies, Reply(QUESTION, None, "MODEL_TIMEOUT", ("NOT_READY",))], CHUNKS)


def test_answers_are_measured_over_all_questions_asked() -> None:
    """An error is a question without an answer; citations are judged where there is a response."""
    quality = measure_four()

    assert (quality.questions, quality.answered, quality.cited) == (4, 1 / 4, 2 / 4)
    assert (quality.in_context, quality.no_answer) == (1 / 4, 1 / 4)
    assert quality.faultless == pytest.approx(2 / 3)
    assert (quality.median_words, quality.words_p90) == (4, 5)
    assert quality.finish_reasons == {"stop": 2 / 3, "no_answer": 1 / 3}
    assert quality.verdicts == {"skipped": 1 / 3, "kept": 1 / 3, "dropped": 1 / 3}
    assert quality.reasons == {"skipped: states nothing": 1 / 3}
    assert (quality.latency_ms["total"].p50, quality.latency_ms["total"].p95) == (20, 30)
    assert quality.faults == {"a quote that is not in its chunk": 1}
    assert quality.errors == {"MODEL_TIMEOUT": 1}
    assert quality.retried == {"NOT_READY": 1}


def test_citations_are_measured_over_what_was_answered() -> None:
    """Both answers have one sentence that cites the right document; neither says it as the document does."""
    quality = measure_four()

    assert (quality.citation_recall, quality.citation_precision) == (1.0, 1.0)
    assert quality.sentences_per_answer == 1.0
    assert quality.verbatim == 0.0


def test_what_is_of_nothing_is_not_measured() -> None:
    """An abstention cites nothing and quotes nothing: it is neither perfect nor worthless."""
    quality = measure_answers([Reply(QUESTION, NO_ANSWER)], CHUNKS)
    table = render_tables(Report("2026-05-10", 1.0, {}, {}, {}, {}, {}, {"en": quality}))

    assert quality.citation_recall is quality.citation_precision is quality.verbatim is None
    assert quality.sentences_per_answer is None
    assert "| citation recall | – |" in table


def test_errors_alone_are_nothing_to_measure() -> None:
    """One line names them, instead of shares of nothing."""
    with pytest.raises(NoAnswersError, match="NOT_READY"):
        measure_answers([Reply(QUESTION, None, "NOT_READY")], CHUNKS)


def test_a_report_names_each_bound_that_is_missed() -> None:
    """And only those: what was not measured misses nothing."""
    retrieval = {"en": {stage: measure_ranking([1]) for stage in RANKING_STAGES}}
    report = Report("2026-05-10", 1.0, {}, {}, {}, {}, retrieval, {"vi": measure_four()})

    missed = report.missed_bounds()

    assert [line.partition(" is ")[0] for line in missed] == [
        "vi: share of answers that hold the gold answer",
        "vi: share of responses without a fault",
    ]
    assert report.as_json()["missed"] == missed
    assert "| en | reranked | 1.000 |" in render_tables(report)


def test_answers_that_are_too_long_miss_a_bound() -> None:
    """A quotation of a whole paragraph would hold every answer."""
    long = respond(f"It is 12 days {'and more ' * 50}[S1].")
    report = Report("2026-05-10", 1.0, {}, {}, {}, {}, {}, {"en": measure_answers([Reply(QUESTION, long)], CHUNKS)})

    assert report.missed_bounds() == ["en: median words of an answer is 104, must be at most 45"]


@pytest.mark.parametrize(
    ("bound", "miss"),
    [
        (Bound("it", 0.85, least=0.85), None),
        (Bound("it", 45, most=45), None),
        (Bound("it", 0.8449, least=0.85), "it is 0.8449, must be at least 0.85"),
        (Bound("it", 1, most=0), "it is 1, must be at most 0"),
    ],
)
def test_a_bound_may_be_reached_and_not_passed(bound: Bound, miss: str | None) -> None:
    """The least is enough, and the most is allowed."""
    assert bound.find_miss() == miss


def make_verdicts(*, copies: int, supported: int, unsupported: int) -> VerdictQuality:
    """How many of the 60 sentences of each sort became what they should."""
    groups = (
        VerdictGroup("HAGRID", "en", "attributable", True, 60, supported),
        VerdictGroup("HAGRID", "en", "not attributable", False, 60, unsupported),
        VerdictGroup("XQuAD-derived", "en", "copy", True, 30, copies - 30),
        VerdictGroup("XQuAD-derived", "vi", "copy", True, 30, 30),
        VerdictGroup("XQuAD-derived", "vi", "neg", False, 12, 0),
    )
    return VerdictQuality({"unsupported_below": 0.22}, groups, TIMES)


@pytest.mark.parametrize(
    ("copies", "supported", "unsupported", "missed"),
    [
        (60, 58, 40, []),
        (59, 58, 40, ["verbatim copies blocked is 1, must be at most 0"]),
        (60, 57, 40, ["supported HAGRID sentences blocked is 3, must be at most 2"]),
        (60, 58, 39, ["unsupported HAGRID sentences blocked is 39, must be at least 40"]),
    ],
)
def test_verdicts_on_labelled_sentences_have_bounds(
    copies: int, supported: int, unsupported: int, missed: list[str]
) -> None:
    """The edits of the first set, among which are some that are none, have no bound."""
    verdicts = make_verdicts(copies=copies, supported=supported, unsupported=unsupported)
    report = Report("2026-05-10", 1.0, {}, {}, {}, {}, {}, {}, verdicts)

    assert report.missed_bounds() == missed


def test_edits_made_anew_have_bounds_of_their_own() -> None:
    """By kind and language; without the sentences that people judged nothing is said of those."""
    groups = (
        VerdictGroup(edits.SOURCE, "en", edits.NEGATED, False, 100, 94),
        VerdictGroup(edits.SOURCE, "vi", edits.NEGATED, False, 100, 95),
        VerdictGroup(edits.SOURCE, "vi", edits.EXCHANGED, False, 100, 80),
        VerdictGroup(edits.SOURCE, "en", edits.AFFIRMED, False, 100, 0),
        VerdictGroup(edits.SOURCE, "en", "copy", True, 100, 100),
    )
    report = Report("2026-05-10", 1.0, {}, {}, {}, {}, {}, {}, VerdictQuality({}, groups, TIMES))

    assert report.missed_bounds() == ["en: negation put in, blocked is 0.94, must be at least 0.95"]


def test_verdicts_are_shown_by_kind_with_their_thresholds_and_times() -> None:
    """A share of 12 sentences says nothing without the 12."""
    verdicts = make_verdicts(copies=60, supported=57, unsupported=42)
    report = Report("2026-05-10", 1.0, {}, {}, {}, {}, {}, {}, verdicts)

    table = render_tables(report)

    assert "| HAGRID | en | attributable | kept 57 of 60 | 0.950 |" in table
    assert "| XQuAD-derived | vi | neg | blocked 0 of 12 | 0.000 |" in table
    assert "| unsupported_below | 0.22 |" in table
    assert "| check of a sentence | 210 | 480 |" in table
    assert report.as_json()["verdicts"]["groups"][0]["right"] == 57


def test_the_sample_is_the_same_in_every_language() -> None:
    """It depends on the ids alone, and keeps the order of the set."""
    english = [Question(f"q{number:02}", "?", "p0001", ("a",)) for number in range(50)]
    vietnamese = [Question(each.question_id, "gì?", "p0001", ("b",)) for each in reversed(english)]

    drawn = [each.question_id for each in draw_sample(english, 20)]

    assert len(drawn) == 20
    assert drawn == sorted(drawn)
    assert sorted(each.question_id for each in draw_sample(vietnamese, 20)) == drawn


def test_paragraphs_of_a_set_become_numbered_documents(tmp_path: Path) -> None:
    """In both languages alike, so that a question can be asked of the other language's documents."""
    write_set(tmp_path, "en", "q1", "q2")
    write_set(tmp_path, "vi", "q1", "q2")

    sets = [load_questions(tmp_path, "en"), load_questions(tmp_path, "vi")]
    check_parallel(sets)

    assert [(each.document_id, each.title) for each in sets[0].paragraphs] == [
        ("p0001", "Super Bowl"),
        ("p0002", "Super Bowl"),
    ]
    assert sets[1].questions[1] == Question("q2", "?", "p0002", ("a",))


def test_sets_that_are_not_parallel_are_refused(tmp_path: Path) -> None:
    """Their questions would be counted against the wrong documents."""
    write_set(tmp_path, "en", "q1", "q2")
    write_set(tmp_path, "vi", "q2", "q1")

    with pytest.raises(DataError, match="not parallel"):
        check_parallel([load_questions(tmp_path, "en"), load_questions(tmp_path, "vi")])


def test_a_missing_or_foreign_file_is_named(tmp_path: Path) -> None:
    """One line says what is wrong, instead of a stack trace."""
    with pytest.raises(DataError, match="holds 0 files"):
        load_questions(tmp_path, "en")

    (tmp_path / "xquad.en.json").write_text("[]", "utf-8")
    with pytest.raises(DataError, match="not in the format"):
        load_questions(tmp_path, "en")
