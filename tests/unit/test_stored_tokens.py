"""Token vectors in the index, and scoring a passage by them without encoding it again."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rag.engines.max_sim import NO_TOKENS
from rag.engines.stored_interaction import READINGS_KEPT, SharedPass, StoredInteraction
from rag.errors import UpstreamError
from rag.index.manifest import BrokenIndexError
from rag.index.store import IndexStore
from rag.index.tokens import SCALES_NAME
from rag.index.update import update_index
from rag.index.version import TenantIndex
from rag.types import EncodedQuestion, TokenVectors, Window
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

    async def test_windows_are_scored_as_if_their_passages_had_not_been(self) -> None:
        """What was compared for the passages is used again, for this question alone, and for longer ones not at all."""
        passage, other = pack([1, 0], [0.6, 0.8]), pack([0, 1])
        windows = [Window("a b", 2, 3, tokens=passage), Window("a", tokens=other)]
        questions = {"q": pack([1, 0], [0, 1]), "p": pack([0, 1]), "long": pack(*[[0.6, 0.8]] * 150_000)}

        for name, tokens in questions.items():
            reader = Reader(tokens)
            expected = await StoredInteraction(reader, Lengths()).score(name, windows, timeout_s=1, trace_id="t")
            scorer = StoredInteraction(reader, Lengths())
            for known in (pack([1, 0]), tokens):
                reader.tokens = known
                await scorer.score(name, [Window("a b", tokens=passage)], timeout_s=1, trace_id="t")

            assert await scorer.score(name, windows, timeout_s=1, trace_id="t") == expected

    async def test_no_question_is_read_where_nothing_is_stored(self) -> None:
        """A pass of the model that nobody needs."""
        reader = Reader(pack([1, 0]))

        assert await StoredInteraction(reader, Lengths()).score("q", [Window("a")], timeout_s=1, trace_id="t") == [1.0]
        assert not reader.asked


class Encoder:
    """Encodes every question alike, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.encoded = EncodedQuestion(np.array([0.6, 0.8], np.float32), pack([1, 0]))
        self.error = error
        self.asked: list[str] = []

    async def encode_question(self, question: str, *, timeout_s: float, trace_id: str) -> EncodedQuestion:
        self.asked.append(question)
        if self.error:
            raise self.error
        return self.encoded


class TestOnePass:
    async def test_a_question_is_encoded_once(self) -> None:
        """Retrieval, reranking and the ranking of quotations share it; another request's question is its own."""
        encoder = Encoder()
        shared = SharedPass(encoder)

        vector = await shared.embed_query("q", timeout_s=1, trace_id="t")
        read = [await shared.read_question("q", timeout_s=1, trace_id="t") for _ in range(2)]

        assert vector is encoder.encoded.vector
        assert read == [encoder.encoded.tokens] * 2
        assert encoder.asked == ["q"]
        await shared.read_question("q", timeout_s=1, trace_id="other")
        assert encoder.asked == ["q", "q"]

    async def test_a_question_that_was_not_embedded_is_encoded(self) -> None:
        """Such as the sentence of a draft whose translation is sought."""
        encoder = Encoder()

        tokens = await SharedPass(encoder).read_question("a sentence", timeout_s=1, trace_id="t")

        assert tokens is encoder.encoded.tokens
        assert encoder.asked == ["a sentence"]

    async def test_a_failure_is_not_kept(self) -> None:
        """The next to ask gets an answer, if there is one by then."""
        encoder = Encoder(UpstreamError())
        shared = SharedPass(encoder)
        with pytest.raises(UpstreamError):
            await shared.embed_query("q", timeout_s=1, trace_id="t")

        encoder.error = None

        assert await shared.read_question("q", timeout_s=1, trace_id="t") is encoder.encoded.tokens

    async def test_questions_that_find_nothing_do_not_pile_up(self) -> None:
        """Nobody comes for the vectors of their tokens."""
        encoder = Encoder()
        shared = SharedPass(encoder)
        for number in range(READINGS_KEPT + 1):
            await shared.embed_query("q", timeout_s=1, trace_id=str(number))
        read = len(encoder.asked)

        await shared.read_question("q", timeout_s=1, trace_id=str(READINGS_KEPT))
        assert len(encoder.asked) == read
        await shared.read_question("q", timeout_s=1, trace_id="0")
        assert len(encoder.asked) == read + 1
