"""Retrieval searches by meaning and by words and fuses both; reranking orders the results."""

from collections.abc import Sequence

import pytest

from rag.engines.fake import FakeEmbedder, FakeScorer
from rag.errors import DeadlineExceeded, IndexUnavailable, UpstreamError
from rag.retrieval.reranking import rerank, score_windows
from rag.retrieval.search import retrieve
from rag.types import Candidate, RelevanceScale, Window
from tests.fakes import (
    ANNUAL_LEAVE,
    PARKING,
    QUESTION,
    SICK_LEAVE,
    FailingEmbedder,
    FakeIndex,
    HangingEmbedder,
    HangingScorer,
    make_chunk,
    make_deadline,
)

SCALE = RelevanceScale(0.0)
INDEX = FakeIndex(PARKING, ANNUAL_LEAVE, "Xin chào.", SICK_LEAVE)


class FixedScorer:
    """A `PassageScorer` with known opinions."""

    def __init__(self, *scores: float) -> None:
        self._scores = list(scores)

    async def score(self, question: str, windows: Sequence[Window], *, timeout_s: float, trace_id: str) -> list[float]:
        return self._scores


async def find(*, k: int = 10, limit: int = 10) -> list[Candidate]:
    return await retrieve(
        QUESTION,
        asked_in="en",
        index=INDEX,
        embedder=FakeEmbedder(),
        k=k,
        limit=limit,
        deadline=make_deadline(),
        trace_id="tr_test",
    )


async def test_candidates_come_with_the_score_of_each_stage() -> None:
    """A score is None where a stage did not see the chunk."""
    found = {candidate.chunk.text: candidate for candidate in await find()}

    assert found[ANNUAL_LEAVE].similarity is not None
    assert found[ANNUAL_LEAVE].bm25_score is not None
    assert found["Xin chào."].bm25_score is None
    assert all(candidate.relevance is None for candidate in found.values())


async def test_the_best_fused_candidate_comes_first() -> None:
    """Order is by `rrf_score`."""
    found = await find()

    assert found[0].chunk.text == ANNUAL_LEAVE
    scores = [candidate.rrf_score or 0 for candidate in found]
    assert scores == sorted(scores, reverse=True)


async def test_no_more_than_the_limit_goes_on() -> None:
    """What is cut here costs no reranking."""
    assert len(await find(limit=2)) == 2


async def test_a_hanging_embedder_is_cut_off_at_the_deadline() -> None:
    """MODEL_TIMEOUT, not a request that never ends."""
    with pytest.raises(DeadlineExceeded):
        await retrieve(
            QUESTION,
            asked_in="en",
            index=INDEX,
            embedder=HangingEmbedder(),
            k=1,
            limit=1,
            deadline=make_deadline(0.001),
            trace_id="tr_test",
        )


class BrokenWords(FakeIndex):
    """An index whose words cannot be searched."""

    async def search_lexical(self, text: str, k: int) -> list[tuple[str, float]]:
        raise IndexUnavailable


async def test_a_failing_search_ends_the_embedding_beside_it() -> None:
    """Its failure is the client's, and nothing is left running for a request that has been answered."""
    embedder = HangingEmbedder()

    with pytest.raises(IndexUnavailable):
        await retrieve(
            QUESTION,
            asked_in="en",
            index=BrokenWords(ANNUAL_LEAVE),
            embedder=embedder,
            k=1,
            limit=1,
            deadline=make_deadline(),
            trace_id="tr_test",
        )

    assert embedder.reached.is_set()
    assert embedder.waiting == 0


async def test_the_embedders_failure_passes_unchanged() -> None:
    """Its code is the client's."""
    with pytest.raises(UpstreamError):
        await retrieve(
            QUESTION,
            asked_in="en",
            index=INDEX,
            embedder=FailingEmbedder(UpstreamError()),
            k=1,
            limit=1,
            deadline=make_deadline(),
            trace_id="tr_test",
        )


def candidates(count: int) -> list[Candidate]:
    return [Candidate(make_chunk(f"text {number}", number)) for number in range(count)]


async def test_reranking_puts_the_most_relevant_first() -> None:
    """Negative relevances are as good as any: cross-encoders have them."""
    ranked = await rerank(
        QUESTION,
        candidates(3),
        asked_in="en",
        scale=SCALE,
        scorer=FixedScorer(-5.0, 2.0, -1.0),
        deadline=make_deadline(),
        trace_id="tr_test",
    )

    assert [candidate.relevance for candidate in ranked] == [2.0, -1.0, -5.0]
    assert [candidate.chunk.text for candidate in ranked] == ["text 1", "text 2", "text 0"]


async def test_equal_relevance_keeps_the_order_of_retrieval() -> None:
    """The same question gives the same answer."""
    ranked = await rerank(
        QUESTION,
        candidates(3),
        asked_in="en",
        scale=SCALE,
        scorer=FixedScorer(1.0, 1.0, 1.0),
        deadline=make_deadline(),
        trace_id="tr_test",
    )

    assert [candidate.chunk.text for candidate in ranked] == ["text 0", "text 1", "text 2"]


async def test_both_languages_are_ranked_on_one_scale() -> None:
    """What the model takes from a passage in another language is added before the order is made, not after."""
    vietnamese = Candidate(make_chunk("Nhân viên toàn thời gian có 12 ngày nghỉ phép năm.", 2))
    ranked = await rerank(
        QUESTION,
        [Candidate(make_chunk(PARKING, 1)), vietnamese],
        asked_in="en",
        scale=RelevanceScale(0.0, {("en", "vi"): 0.2}),
        scorer=FixedScorer(0.5, 0.4),
        deadline=make_deadline(),
        trace_id="tr_test",
    )

    assert [candidate.relevance for candidate in ranked] == [pytest.approx(0.6), 0.5]
    assert ranked[0].chunk == vietnamese.chunk


async def test_nothing_found_asks_no_scorer() -> None:
    """An empty batch is not worth a call."""
    assert (
        await rerank(
            QUESTION,
            [],
            asked_in="en",
            scale=SCALE,
            scorer=HangingScorer(),
            deadline=make_deadline(0.001),
            trace_id="tr_test",
        )
        == []
    )


async def test_a_hanging_scorer_is_cut_off_at_the_deadline() -> None:
    """MODEL_TIMEOUT again."""
    with pytest.raises(DeadlineExceeded):
        await rerank(
            QUESTION,
            candidates(1),
            asked_in="en",
            scale=SCALE,
            scorer=HangingScorer(),
            deadline=make_deadline(0.001),
            trace_id="tr_test",
        )


async def test_a_scorer_that_loses_rows_is_our_fault_not_a_wrong_order() -> None:
    """Rows that shift between passages would be silent nonsense."""
    with pytest.raises(ValueError, match="shorter"):
        await rerank(
            QUESTION,
            candidates(3),
            asked_in="en",
            scale=SCALE,
            scorer=FixedScorer(1.0),
            deadline=make_deadline(),
            trace_id="tr_test",
        )


async def test_sentences_are_scored_in_their_passages() -> None:
    """One relevance per window, in their order."""
    passage = f"{PARKING} {ANNUAL_LEAVE}"
    windows = [Window(passage, 0, len(PARKING)), Window(passage, len(PARKING) + 1)]
    parking, leave = await score_windows(
        QUESTION, windows, scorer=FakeScorer(), deadline=make_deadline(), trace_id="tr_test"
    )

    assert leave > parking
