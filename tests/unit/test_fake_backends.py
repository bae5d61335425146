"""The fake models of `make dev` are deterministic and good enough to get a cited answer."""

import numpy as np
import pytest

from rag.engines.fake import DIMENSION, FakeEmbedder, FakeEncoder, FakeGenerator, FakeScorer
from rag.pipeline import collect
from rag.types import Message, Window
from schemas.request import QueryRequest
from tests.fakes import ANNUAL_LEAVE, PARKING, QUESTION, make_deadline, make_pipeline, make_record


def test_vectors_are_unit_rows() -> None:
    """float32, (n, dim), of unit length, an empty text included."""
    vectors = FakeEncoder().encode_passages([ANNUAL_LEAVE, "", "năm"])

    assert vectors.dtype == np.float32
    assert vectors.shape == (3, DIMENSION)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)


async def test_the_embedder_and_the_encoder_agree() -> None:
    """What ingestion stored is what a question is compared with."""
    vector = await FakeEmbedder().embed_query(QUESTION, timeout_s=1, trace_id="tr_test")

    assert np.array_equal(vector, FakeEncoder().encode_queries([QUESTION])[0])


async def test_shared_words_are_relevance() -> None:
    """From 0 to 1."""
    scores = await FakeScorer().score(
        QUESTION, [Window(PARKING), Window(ANNUAL_LEAVE), Window(QUESTION)], timeout_s=1, trace_id="tr_test"
    )

    assert scores[0] < scores[1] < scores[2] == 1


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (QUESTION, "Full-time staff have 12 days of annual leave per year [S1]."),
        ("Where do visitors park?", "Visitors park behind the north building [S1]."),
    ],
)
async def test_the_generator_quotes_what_answers(question: str, answer: str) -> None:
    """The whole pipeline on fakes gives a cited answer."""
    pipeline = make_pipeline(generator=FakeGenerator(), abstain_relevance=0.2)
    events = pipeline.answer(QueryRequest(question=question), record=make_record(), deadline=make_deadline())

    assert (await collect(events)).answer.startswith(answer)


async def test_the_generator_keeps_to_its_bound() -> None:
    """`max_tokens` words, then `length`."""
    messages = [Message("user", f"<s>\n[S1] {ANNUAL_LEAVE}\n</s>\n\nQuestion: {QUESTION}")]
    async with FakeGenerator().stream(messages, max_tokens=3, timeout_s=1, trace_id="t") as deltas:
        drafted = [delta async for delta in deltas]

    assert "".join(delta.text for delta in drafted) == "Full-time staff have"
    assert drafted[-1].finish_reason == "length"
