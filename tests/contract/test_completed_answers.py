"""If a draft does not answer, quotations complete the answer, and all of it is counted."""

from collections import Counter
from typing import get_args

import pytest
from prometheus_client import REGISTRY

from rag.types import VerdictKind
from rag.verification import Mode, Reason
from tests.contract.asking import (
    ANSWER,
    DRAFTS,
    INVENTED,
    PART_TIME,
    ScriptedScorer,
    ask,
    sentences,
    verdicts,
)
from tests.contract.conftest import LogLines
from tests.fakes import ANNUAL_LEAVE, SICK_LEAVE

ALL_DRAFTS = pytest.mark.parametrize("draft", DRAFTS.values(), ids=DRAFTS.keys())
ALL_MODES = pytest.mark.parametrize("mode", ["repair", "drop", "mark"])
# One passage of four sentences, all as likely to answer as each other: none is enough.
EQUALS = "Red pens are in box 10. Blue pens are in box 20. Green pens are in box 30. Black pens are in box 40."


def count_sentences() -> Counter[tuple[str, str]]:
    """`rag_sentences_total` so far, by verdict and reason."""
    (metric,) = (each for each in REGISTRY.collect() if each.name == "rag_sentences")
    samples = (each for each in metric.samples if each.name == "rag_sentences_total")
    return Counter({(each.labels["verdict"], each.labels["reason"]): int(each.value) for each in samples})


class TestTheFirstSentence:
    """Without a marker it is either what answers best, or true words beside the question."""

    @pytest.mark.parametrize("draft", [ANNUAL_LEAVE, "Full-time staff have 12 days of annual leave."])
    async def test_what_the_best_quotation_carries_is_attributed(self, draft: str) -> None:
        """Its words may be the generator's own."""
        answer = await ask(draft)

        assert verdicts(answer) == [("attributed", None)]
        assert answer.answer == f"{draft[:-1]} [S1]."
        assert [citation.quote for citation in answer.citations] == [ANNUAL_LEAVE]

    @pytest.mark.parametrize("draft", [PART_TIME, SICK_LEAVE])
    async def test_what_stands_beside_the_question_is_repaired(self, draft: str) -> None:
        """A passage carries it, but not the one that answers."""
        answer = await ask(draft)

        assert verdicts(answer) == [("repaired", "no citation")]
        assert answer.answer == ANSWER

    async def test_an_echo_of_the_question_is_no_answer(self) -> None:
        """The passage carries every word of it, and so does the question."""
        answer = await ask("Full-time staff have days of annual leave.")

        assert verdicts(answer) == [("skipped", "states nothing"), ("repaired", "nothing of the draft answers")]

    async def test_it_is_attributed_where_no_quotation_can_take_its_place(self) -> None:
        """A supported sentence is not thrown away for a quotation that is not relevant enough to be sent."""
        handbook = (f"{ANNUAL_LEAVE} {PART_TIME}",)
        scorer = ScriptedScorer({handbook[0]: 0.9, ANNUAL_LEAVE: 0.2, PART_TIME: 0.1})

        answer = await ask(PART_TIME, handbook=handbook, scorer=scorer, abstain_relevance=0.5)

        assert verdicts(answer) == [("attributed", None)]
        assert answer.finish_reason == "stop"

    async def test_after_one_that_stands_a_marker_may_be_missing(self) -> None:
        """Whatever passage carries it gets it."""
        answer = await ask(f"{ANNUAL_LEAVE} [S1] {SICK_LEAVE}")

        assert verdicts(answer) == [("kept", None), ("attributed", None)]
        assert [citation.quote for citation in answer.citations] == [ANNUAL_LEAVE, SICK_LEAVE]


class TestCompletion:
    """After the last sentence: quotations, if nothing that was sent has to do with the question."""

    async def test_what_has_nothing_to_do_with_the_question_is_completed(self) -> None:
        """It is true and cited, so it stays; the best quotation follows."""
        answer = await ask(f"{SICK_LEAVE} [S3]")

        assert [kind for kind, _ in verdicts(answer)] == ["kept", "repaired"]
        assert answer.answer == f"{SICK_LEAVE[:-1]} [S1]. {ANNUAL_LEAVE[:-1]} [S2]."
        assert answer.finish_reason == "stop"

    async def test_what_answers_is_not_completed(self) -> None:
        """Nor is what may well answer."""
        assert len(verdicts(await ask(DRAFTS["kept"]))) == 1
        assert len(verdicts(await ask(f"{PART_TIME} [S2]"))) == 1

    async def test_what_answers_best_is_not_completed_however_many_rivals_it_has(self) -> None:
        """Of thirty that look alike none is likely, and the likeliest has to do with the question all the same."""
        alike = [f"Pens of colour {number} are in box {number + 100}." for number in range(1, 31)]

        answer = await ask(
            f"{alike[0]} [S1]",
            handbook=[" ".join(alike[:15]), " ".join(alike[15:])],
            question="Which box are the pens in?",
            scorer=ScriptedScorer(),
        )

        assert verdicts(answer) == [("kept", None)]

    @pytest.mark.parametrize("draft", ["", "Hello!", "[S1] [S99]", "I don't know."])
    async def test_a_draft_of_nothing_is_completed(self, draft: str) -> None:
        """Relevant passages are not made worthless by a bad generator."""
        answer = await ask(draft)

        assert (answer.answer, answer.finish_reason) == (ANSWER, "stop")
        assert (sentences(answer)[-1].draft, sentences(answer)[-1].verdict) == ("", "repaired")
        assert sentences(answer)[-1].reason == Reason.NOTHING_ANSWERS

    @pytest.mark.parametrize("draft", ["", "Hello!", f"{SICK_LEAVE} [S3]"])
    @pytest.mark.parametrize("mode", ["drop", "mark"])
    async def test_the_other_modes_add_nothing(self, mode: Mode, draft: str) -> None:
        """Nothing is quoted that was not drafted."""
        assert "repaired" not in [kind for kind, _ in verdicts(await ask(draft, mode=mode))]

    @pytest.mark.parametrize("draft", ["", INVENTED * 5])
    async def test_at_most_three_sentences_are_quoted(self, draft: str) -> None:
        """An answer, not the passage; each once, best first, under one marker."""
        answer = await ask(draft, handbook=[EQUALS], question="Which box are the pens in?", scorer=ScriptedScorer())

        assert [each.sent for each in sentences(answer) if each.sent] == [
            "Red pens are in box 10 [S1].",
            "Blue pens are in box 20 [S1].",
            "Green pens are in box 30 [S1].",
        ]
        assert len(answer.citations) == 1


@ALL_MODES
@ALL_DRAFTS
async def test_plain_and_streamed_answers_are_equal(draft: str, mode: Mode) -> None:
    """In every word: answer, citations, finish reason and trace; on all three routes."""
    plain, native, streamed = [
        (await ask(draft, mode=mode, path=path)).model_dump(exclude={"trace_id", "latency_ms"})
        for path in ("/query", "/v1/query", "/query/stream")
    ]

    assert plain == streamed == native


@ALL_MODES
@ALL_DRAFTS
async def test_the_metrics_and_the_log_line_count_what_the_trace_tells(
    draft: str, mode: Mode, log_lines: LogLines
) -> None:
    """By verdict and reason, which come from closed sets; repaired and dropped ones in the log."""
    before = count_sentences()

    answer = await ask(draft, mode=mode)

    counted = count_sentences() - before
    assert counted == Counter((kind, reason or "") for kind, reason in verdicts(answer))
    assert {kind for kind, _ in counted} <= set(get_args(VerdictKind))
    assert {reason for _, reason in counted} <= {"", *Reason}
    (line,) = log_lines()
    kinds = Counter(kind for kind, _ in verdicts(answer))
    assert (line["repaired_sentences"], line["dropped_sentences"]) == (kinds["repaired"], kinds["dropped"])
    assert line["citations"] == len(answer.citations)
