"""Answers without a generator as a client gets them: quotations, and the text around them."""

from typing import Any

import pytest

from rag.pipeline import Pipeline
from rag.types import Chunk
from rag.verification import ZERO_TO_ONE, Policies, Policy, Verifier
from schemas.response import QueryResponse
from tests.contract.asking import ScriptedScorer, post
from tests.fakes import ANNUAL_LEAVE, PARKING, FakeIndex, FakeIndexes, ScriptedGenerator, make_chunk, make_pipeline

LEAVE_VI = "Nhân viên toàn thời gian có 12 ngày nghỉ phép năm."


def quoting(*texts: str, scorer: ScriptedScorer | None = None, **pipeline: Any) -> Pipeline:
    made = make_pipeline(indexes=FakeIndexes(demo=FakeIndex(*texts)), scorer=scorer, **pipeline)
    made._generator = None  # the pipeline of `RAG_GENERATOR_MODEL=none`
    return made


async def ask(pipeline: Pipeline, question: str) -> QueryResponse:
    response = await post(pipeline, question=question)
    assert response.status_code == 200, response.text
    return QueryResponse(**response.json())


async def test_the_statement_that_answers_is_quoted() -> None:
    """Verbatim, cited, and at no token's cost."""
    answer = await ask(quoting(ANNUAL_LEAVE, PARKING), "How many days of annual leave do full-time staff have?")

    assert answer.answer == f"{ANNUAL_LEAVE[:-1]} [S1]."
    assert [citation.quote for citation in answer.citations] == [ANNUAL_LEAVE]
    assert answer.trace is not None
    assert answer.trace.usage.prompt_tokens == answer.trace.usage.completion_tokens == 0


class TestLanguages:
    """The documents may be in the other one."""

    async def test_a_quotation_in_another_language_is_introduced_in_the_questions(self) -> None:
        """Who cannot read it learns at least what it is."""
        scorer = ScriptedScorer({LEAVE_VI: 0.9}, others=0.0)

        answer = await ask(quoting(LEAVE_VI, scorer=scorer), "How many days of annual leave do full-time staff have?")

        assert answer.answer == f"In the documents, in Vietnamese: {LEAVE_VI[:-1]} [S1]."
        assert answer.citations[0].quote == LEAVE_VI

    async def test_it_is_found_among_many_in_the_questions_own(self) -> None:
        """However near those are."""
        others = [f"Visitors of floor {n} have days to park behind the building." for n in range(40)]
        scorer = ScriptedScorer({LEAVE_VI: 0.9}, others=0.1)

        answer = await ask(quoting(*others, LEAVE_VI, scorer=scorer), "How many days do full-time staff have off?")

        assert answer.citations[0].quote == LEAVE_VI

    async def test_a_translation_goes_out_beside_its_source_if_the_generator_is_trusted(self) -> None:
        """By setting; figures and names have to stand there, and the reranker has to find both alike."""
        draft = "Full-time employees get 12 days of annual leave [S1]."
        scorer = ScriptedScorer({LEAVE_VI: 0.9}, others=0.0)
        pipeline = make_pipeline(
            generator=ScriptedGenerator(draft), indexes=FakeIndexes(demo=FakeIndex(LEAVE_VI)), scorer=scorer
        )
        pipeline._policies = Policies(Policy(translates=True))

        answer = await ask(pipeline, "How many days of annual leave do full-time staff have?")

        assert answer.answer == f"Full-time employees get 12 days of annual leave (“{LEAVE_VI[:-1]}”) [S1]."
        assert answer.citations[0].quote == LEAVE_VI


class TestParts:
    """A question may ask two things."""

    QUESTION = "How many days of annual leave do full-time staff have and where do visitors park?"

    async def test_each_is_answered(self) -> None:
        """In the order of the question."""
        answer = await ask(quoting(PARKING, ANNUAL_LEAVE), self.QUESTION)

        assert answer.answer.index("12 days") < answer.answer.index("north building")
        assert {citation.quote for citation in answer.citations} == {ANNUAL_LEAVE, PARKING}

    async def test_one_without_an_answer_is_said(self) -> None:
        """Silence would look like an answer to both."""
        pipeline = quoting(ANNUAL_LEAVE)
        answers = Verifier(pipeline._verifier.scale, ZERO_TO_ONE)
        begin = answers.begin

        class Unsure:
            scale = answers.scale

            def begin(self, policy: Policy, inquiry: Any) -> Any:
                check = begin(policy, inquiry)
                check._is_answerable = lambda part: part == 0  # type: ignore[method-assign]
                return check

        pipeline._verifier = Unsure()  # type: ignore[assignment]
        answer = await ask(pipeline, self.QUESTION)

        assert answer.answer.endswith("On “where do visitors park”: the documents do not contain an answer.")
        assert answer.finish_reason == "stop"


async def test_small_talk_is_told_what_can_be_asked() -> None:
    """No document answers a greeting, and nothing is searched for it."""
    english, vietnamese = [await ask(quoting(ANNUAL_LEAVE), text) for text in ("Hello there!", "xin chào")]

    assert english.finish_reason == vietnamese.finish_reason == "no_answer"
    assert english.citations == []
    assert "from your documents" in english.answer
    assert "tài liệu của bạn" in vietnamese.answer


class Editions(FakeIndex):
    """A policy in two editions."""

    def __init__(self) -> None:
        texts = (
            "For journeys in your own car we pay 40 pence a mile.",
            "For journeys in your own car we pay 45 pence a mile.",
        )
        super().__init__(*texts)
        self._chunks = [
            self._edition(make_chunk(text, at + 1, document_id=f"policy-{year}"), year)
            for at, (text, year) in enumerate(zip(texts, ("2024", "2026"), strict=True))
        ]

    @staticmethod
    def _edition(chunk: Chunk, year: str) -> Chunk:
        return Chunk(
            chunk.chunk_id,
            chunk.document_id,
            f"Travel policy {year}",
            chunk.text,
            chunk.start,
            chunk.end,
            1,
            1,
            None,
            edition=f"{year}-01-01",
        )


async def test_the_newest_edition_counts_and_the_older_one_is_named() -> None:
    """It is not mixed in; what it says stands in its citation."""
    pipeline = quoting()
    pipeline._indexes = FakeIndexes(demo=Editions())

    answer = await ask(pipeline, "How much do we pay a mile for journeys in your own car?")

    assert answer.answer == (
        "For journeys in your own car we pay 45 pence a mile [S1]."
        " An older edition, “Travel policy 2024”, says otherwise [S2]."
    )
    assert [citation.document_id for citation in answer.citations] == ["policy-2026", "policy-2024"]


@pytest.mark.parametrize(("floor", "kept"), [(0.1, 3), (0.3, 2), (0.7, 1), (0.9, 0)])
async def test_nothing_survives_a_better_ranked_passage_that_was_refused(floor: float, kept: int) -> None:
    """Whatever its language: one scale, one floor, and the first below it ends the list.

    The fakes add half the floor to what is in the other language.
    """
    scorer = ScriptedScorer({ANNUAL_LEAVE: 0.6, LEAVE_VI: 0.4, PARKING: 0.2}, others=0.0)
    pipeline = quoting(PARKING, LEAVE_VI, ANNUAL_LEAVE, scorer=scorer, abstain_relevance=floor)

    answer = await ask(pipeline, "How many days of annual leave do full-time staff have?")

    assert answer.trace is not None
    ranked = [candidate.chunk_id for candidate in answer.trace.candidates]
    assert {passage.chunk_id for passage in answer.trace.passages} == set(ranked[:kept])
    assert (answer.finish_reason == "no_answer") is (kept == 0)
