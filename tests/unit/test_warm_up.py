"""The first queries are the service's own: every model has been used once before a client can ask."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rag.engines.fake import FakeCounter, FakeEmbedder, FakeScorer
from rag.errors import RagError, UpstreamError
from rag.index.provider import ServedIndexes
from rag.observability import metrics
from rag.pipeline import Pipeline, StageLimits
from rag.ports import IndexProvider, TextEmbedder, TextGenerator, Vectors
from rag.types import RelevanceScale, Window
from rag.verification import ZERO_TO_ONE, Verifier
from rag.warm_up import TRIED_WHATEVER_IT_SAYS, AnyIndex, warm_up, with_patience
from tests.fakes import FailingEmbedder, FakeIndex, FakeIndexes, HangingEmbedder, ScriptedGenerator

LIMITS = StageLimits(
    retrieve_k=10,
    rerank_k=10,
    context_tokens=500,
    draft_tokens=None,
    retrieval_timeout_s=5,
    rerank_timeout_s=5,
    generation_timeout_s=5,
)


class CountingEmbedder(FakeEmbedder):
    def __init__(self) -> None:
        self.calls = 0

    async def embed_query(self, text: str, *, timeout_s: float, trace_id: str) -> Vectors:
        self.calls += 1
        return await super().embed_query(text, timeout_s=timeout_s, trace_id=trace_id)


class CountingScorer(FakeScorer):
    def __init__(self) -> None:
        self.calls = 0

    async def score(self, question: str, windows: Sequence[Window], *, timeout_s: float, trace_id: str) -> list[float]:
        self.calls += 1
        return await super().score(question, windows, timeout_s=timeout_s, trace_id=trace_id)


def make_first(
    indexes: IndexProvider,
    *,
    embedder: TextEmbedder | None = None,
    scorer: FakeScorer | None = None,
    generator: TextGenerator | None = None,
) -> Pipeline:
    """The pipeline that warms up, as the front makes it."""
    return Pipeline(
        embedder=embedder or FakeEmbedder(),
        scorer=scorer or FakeScorer(),
        generator=generator,
        indexes=indexes,
        counter=FakeCounter(),
        verifier=Verifier(RelevanceScale(-1.0), ZERO_TO_ONE),
        policies=TRIED_WHATEVER_IT_SAYS,
        limits=with_patience(LIMITS),
        model_version="rag-test+00000000",
    )


def no_index(folder: Path) -> AnyIndex:
    return AnyIndex(ServedIndexes(folder, FakeEmbedder.info))


@pytest.mark.parametrize("has_index", [True, False], ids=["an index", "no index"])
async def test_every_model_is_asked(tmp_path: Path, has_index: bool) -> None:
    """Also where nothing is indexed yet, and where no passage has anything to do with the question."""
    embedder, scorer, generator = CountingEmbedder(), CountingScorer(), ScriptedGenerator("Something. ")
    indexes = FakeIndexes(demo=FakeIndex("Bears sleep in winter.")) if has_index else no_index(tmp_path)

    await warm_up(make_first(indexes, embedder=embedder, scorer=scorer, generator=generator))

    assert embedder.calls == 1
    assert scorer.calls >= 2  # passages, and the sentences of quotations
    assert len(generator.calls) == 1


async def test_a_service_without_a_generator_is_warmed_too(tmp_path: Path) -> None:
    """Then the answer is a quotation."""
    embedder, scorer = CountingEmbedder(), CountingScorer()

    await warm_up(make_first(no_index(tmp_path), embedder=embedder, scorer=scorer))

    assert (embedder.calls, scorer.calls) == (1, 2)


async def test_nobody_is_told_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No line of the log, and no metric of queries: nobody asked."""
    before = _told()

    await warm_up(make_first(no_index(tmp_path), generator=ScriptedGenerator("Something. ")))

    assert capsys.readouterr().out == ""
    assert _told() == before


def _told() -> dict[Any, float]:
    """All of our metrics' samples."""
    ours = (metrics.QUERIES, metrics.DURATION, metrics.STAGES, metrics.FIRST_TOKEN, metrics.SENTENCES, metrics.TOKENS)
    return {
        (sample.name, tuple(sample.labels.items())): sample.value
        for metric in ours
        for family in metric.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@pytest.mark.parametrize("error", [UpstreamError(), ValueError("a bug")], ids=["upstream", "ours"])
async def test_its_failure_keeps_nobody_waiting(
    tmp_path: Path, error: RagError | ValueError, caplog: pytest.LogCaptureFixture
) -> None:
    """The service gets ready all the same, and the log says why the first answers may be slow."""
    await warm_up(make_first(no_index(tmp_path), embedder=FailingEmbedder(error)))

    assert [record.getMessage() for record in caplog.records] == ["warm_up_failed"]


async def test_a_model_that_hangs_is_given_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It may take so long and no longer."""
    embedder = HangingEmbedder()

    async with asyncio.timeout(60):
        await warm_up(make_first(no_index(tmp_path), embedder=embedder), timeout_s=0.05)

    assert embedder.waiting == 0
    assert [record.getMessage() for record in caplog.records] == ["warm_up_failed"]
