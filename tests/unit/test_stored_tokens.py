"""Token vectors in the index, and scoring a passage by them without encoding it again."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rag.engines.max_sim import NO_TOKENS
from rag.engines.stored_interaction import READINGS_KEPT, EarlyReader, StoredInteraction
from rag.errors import DeadlineExceeded, UpstreamError
from rag.index.manifest import BrokenIndexError
from rag.index.store import IndexStore
from rag.index.tokens import SCALES_NAME
from rag.index.update import update_index
from rag.index.version import TenantIndex
from rag.ports import Vectors
from rag.types import TokenVectors, Window
from tests.unit.index_fakes import FakeEncoder, change, embed_tokens

DOCUMENTS = {"a": ["annual leave", "sick"], "b": ["rent is due"]}


def open_index(store: IndexStore) -> TenantIndex:
    index = store.read("demo", TenantIndex)
    assert index is not None
    return index


def assert_tokens_belong(index: TenantIndex) -> None:
    ordinals = range(index.version.chunks)
    for chunk, tokens in zip(index.chunks(ordinals), index.token_vectors(ordinals), strict=True):
        assert tokens is not None
        assert tokens.spans.tolist() == embed_tokens(chunk.text).spans.tolist()
        assert tokens.values.tolist() == embed_tokens(chunk.text).values.tolist()


class TestStorage:
    @pytest.fixture
    def store(self, tmp_path: Path) -> IndexStore:
        return IndexStore(tmp_path)

    def test_they_stay_with_their_chunks_over_updates_and_removals(self, store: IndexStore) -> None:
        """Another chunk's tokens would score another text."""
        change(store, DOCUMENTS, keeps_tokens=True)
        encoder = FakeEncoder()
        change(store, {"c": ["new text here"]}, keeps_tokens=True, encoder=encoder)
        assert_tokens_belong(open_index(store))

        with update_index(store, "demo", lambda: None) as update:
            update.drop("a")
            update.publish(encoder.encode_chunks)

        assert_tokens_belong(open_index(store))
        assert encoder.encoded == ["new text here"]

    def test_an_index_without_them_gets_them_at_the_next_ingestion(self, store: IndexStore) -> None:
        """Who turns the setting on has its effect for all documents, not for new ones alone."""
        change(store, DOCUMENTS)
        assert open_index(store).token_vectors([0, 1]) == [None, None]

        change(store, {"c": ["new"]}, keeps_tokens=True)

        assert_tokens_belong(open_index(store))

    def test_they_go_where_they_are_not_wanted_any_more(self, store: IndexStore) -> None:
        """Turned off, they take no disk; nothing is embedded again for that."""
        change(store, DOCUMENTS, keeps_tokens=True)
        encoder = FakeEncoder()

        stored = change(store, {"c": ["new"]}, encoder=encoder)

        assert not list(stored.folder.glob("tokens.*"))
        assert encoder.encoded == ["new"]

    def test_files_that_do_not_belong_together_are_refused(self, store: IndexStore) -> None:
        """A version is whole or it is broken."""
        stored = change(store, DOCUMENTS, keeps_tokens=True)
        (stored.folder / SCALES_NAME).write_bytes(b"")

        with pytest.raises(BrokenIndexError):
            TenantIndex(stored)


class Reader:
    """Reads a question as it is told."""

    def __init__(self, tokens: TokenVectors) -> None:
        self.tokens = tokens
        self.asked: list[str] = []

    async def read_question(self, question: str, *, timeout_s: float, trace_id: str) -> TokenVectors:
        self.asked.append(question)
        return self.tokens


class Lengths:
    """Scores a window by its length."""

    async def score(self, question: str, windows: Sequence[Window], *, timeout_s: float, trace_id: str) -> list[float]:
        return [float(len(window.text)) for window in windows]


def pack(*rows: Sequence[float]) -> TokenVectors:
    """Tokens of one character each, at 0, 2, 4, …"""
    spans = [[2 * at, 2 * at + 1] for at in range(len(rows))]
    values = np.rint(np.array(rows) * 100).astype(np.int8)
    return TokenVectors(values, np.full(len(rows), 0.01, np.float32), np.array(spans, np.int32))


class TestScoring:
    async def test_a_window_is_scored_by_its_own_tokens(self) -> None:
        """The mean, over the question's tokens, of the best cosine with a token inside the window."""
        scorer = StoredInteraction(Reader(pack([1, 0], [0, 1])), Lengths())
        tokens = pack([1, 0], [0.6, 0.8])
        windows = [Window("a b", tokens=tokens), Window("a b", 0, 1, tokens=tokens), Window("a b", 2, 3, tokens=tokens)]

        scores = await scorer.score("q", [*windows, Window("a b c", 4, 5, tokens=tokens)], timeout_s=1, trace_id="t")

        assert scores == pytest.approx([0.9, 0.5, 0.7, NO_TOKENS])

    async def test_what_the_index_does_not_hold_is_read(self) -> None:
        """In their order, whichever way each of them was scored."""
        reader = Reader(pack([1, 0]))
        scorer = StoredInteraction(reader, Lengths())

        scores = await scorer.score(
            "q", [Window("four"), Window("a", tokens=pack([1, 0])), Window("six")], timeout_s=1, trace_id="t"
        )

        assert scores == pytest.approx([4, 1, 3])
        assert reader.asked == ["q"]

    async def test_no_question_is_read_where_nothing_is_stored(self) -> None:
        """A pass of the model that nobody needs."""
        reader = Reader(pack([1, 0]))

        assert await StoredInteraction(reader, Lengths()).score("q", [Window("a")], timeout_s=1, trace_id="t") == [1.0]
        assert not reader.asked


class SlowReader(Reader):
    """Reads once it may, and remembers who left before."""

    def __init__(self, tokens: TokenVectors) -> None:
        super().__init__(tokens)
        self.may_read = asyncio.Event()
        self.left: list[str] = []

    async def read_question(self, question: str, *, timeout_s: float, trace_id: str) -> TokenVectors:
        try:
            await self.may_read.wait()
        except asyncio.CancelledError:
            self.left.append(question)
            raise
        return await super().read_question(question, timeout_s=timeout_s, trace_id=trace_id)


class Embedder:
    """Embeds at once, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def embed_query(self, text: str, *, timeout_s: float, trace_id: str) -> Vectors:
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        return np.ones(2, np.float32)


class TestReadingEarly:
    async def test_a_question_is_read_once_and_while_it_is_embedded(self) -> None:
        """Reranking and the ranking of quotations find what retrieval began; another request's question is its own."""
        reader = Reader(pack([1, 0]))
        early = EarlyReader(Embedder(), reader)

        await early.embed_query("q", timeout_s=1, trace_id="t")
        assert reader.asked == ["q"]
        for _ in range(2):
            assert await early.read_question("q", timeout_s=1, trace_id="t") is reader.tokens
        assert reader.asked == ["q"]

        await early.read_question("q", timeout_s=1, trace_id="other")
        assert reader.asked == ["q", "q"]

    async def test_nobody_reads_for_a_question_that_could_not_be_embedded(self) -> None:
        """The request has failed, or its client has left."""
        reader = SlowReader(pack([1, 0]))

        with pytest.raises(UpstreamError):
            await EarlyReader(Embedder(UpstreamError()), reader).embed_query("q", timeout_s=1, trace_id="t")
        await asyncio.sleep(0)

        assert reader.left == ["q"]

    async def test_a_reading_that_takes_too_long_ends_with_its_stage(self) -> None:
        """As if it had been asked for only then."""
        reader = SlowReader(pack([1, 0]))
        early = EarlyReader(Embedder(), reader)
        await early.embed_query("q", timeout_s=1, trace_id="t")

        with pytest.raises(DeadlineExceeded):
            await early.read_question("q", timeout_s=0.001, trace_id="t")

        assert reader.left == ["q"]

    async def test_questions_that_find_nothing_do_not_pile_up(self) -> None:
        """Nobody comes for what was read of them."""
        reader = Reader(pack([1, 0]))
        early = EarlyReader(Embedder(), reader)
        for number in range(READINGS_KEPT + 1):
            await early.embed_query("q", timeout_s=1, trace_id=str(number))
        read = len(reader.asked)

        await early.read_question("q", timeout_s=1, trace_id=str(READINGS_KEPT))
        assert len(reader.asked) == read
        await early.read_question("q", timeout_s=1, trace_id="0")
        assert len(reader.asked) == read + 1
