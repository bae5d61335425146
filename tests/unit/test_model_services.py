"""The clients of the Embedder and the Reranker: what they send, and how they report failures."""

import json
from collections.abc import Callable

import httpx
import numpy as np
import pytest

from rag.clients.bento_client import (
    BentoEmbedder,
    BentoEntailment,
    BentoQuestionEncoder,
    BentoScorer,
    open_http_client,
)
from rag.errors import DeadlineExceeded, NotReady, RagError, UpstreamError
from rag.types import EncodedQuestion, TokenVectors, Window

Handler = Callable[[httpx.Request], httpx.Response]


def client(handler: Handler) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url="http://service", transport=httpx.MockTransport(handler))


def answers(value: object) -> Handler:
    # By hand: httpx refuses to write what BentoML writes for a row that failed.
    return lambda _: httpx.Response(200, content=json.dumps(value).encode())


def raises(error: type[httpx.TransportError]) -> Handler:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error("secret", request=request)

    return fail


async def embed(handler: Handler) -> np.ndarray:
    async with client(handler) as http:
        return await BentoEmbedder(http, 2).embed_query("x", timeout_s=1, trace_id="tr-1")


async def score(handler: Handler, *windows: Window) -> list[float]:
    async with client(handler) as http:
        return await BentoScorer(http).score("x", windows, timeout_s=1, trace_id="tr-1")


async def entail(handler: Handler) -> float:
    async with client(handler) as http:
        return await BentoEntailment(http).entail("a text", "a claim", timeout_s=1, trace_id="tr-1")


async def encode_question(handler: Handler) -> EncodedQuestion:
    async with client(handler) as http:
        return await BentoQuestionEncoder(http, 2).encode_question("bao nhiêu?", timeout_s=1, trace_id="tr-1")


def make_question(scale: float = 0.25) -> EncodedQuestion:
    values, scales = np.array([[1, -2], [127, -127]], np.int8), np.array([0.5, scale], np.float32)
    return EncodedQuestion(np.array([0.6, 0.8], np.float32), TokenVectors(values, scales, np.ones((2, 2), np.int32)))


async def test_every_call_carries_the_trace_id_and_the_time_left() -> None:
    """The same id is in every call that the front service makes to another service; what is late is not begun there."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=[[0.6, 0.8]] if request.url.path == "/embed_queries" else [0.5])

    vector = await embed(answer)
    scores = await score(answer, Window("a passage", 2, 9))
    support = await entail(answer)

    assert [request.headers["x-trace-id"] for request in seen] == ["tr-1", "tr-1", "tr-1"]
    assert [request.headers["x-timeout-ms"] for request in seen] == ["1000", "1000", "1000"]
    assert json.loads(seen[0].content) == {"texts": ["x"]}
    pair = {"question": "x", "passage": "a passage", "start": 2, "end": 9, "head": 0}
    assert json.loads(seen[1].content) == {"pairs": [pair]}
    assert json.loads(seen[2].content) == {"pairs": [{"premise": "a text", "hypothesis": "a claim"}]}
    assert vector.tolist() == pytest.approx([0.6, 0.8])
    assert scores == [0.5]
    assert support == 0.5


async def test_no_windows_are_no_call() -> None:
    """Nothing to score is nothing to ask."""
    assert await score(raises(httpx.ConnectError)) == []


@pytest.mark.parametrize(
    "value", [[], [[1.0]], [[1.0, 2.0, 3.0]], [[1.0, float("nan")]], [1.0, 2.0], {"a": 1}, "x", [["x", "y"]], None]
)
async def test_numbers_of_another_shape_are_an_upstream_error(value: object) -> None:
    """A batchable API that returns too few rows shifts rows between clients: no row is believed unseen."""
    with pytest.raises(UpstreamError):
        await embed(answers(value))


async def test_a_question_arrives_as_it_was_encoded() -> None:
    """The question goes in UTF-8; its vector comes back with values and scales of each token."""
    seen: list[httpx.Request] = []
    encoded = make_question()

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=encoded.to_bytes())

    read = await encode_question(answer)

    assert seen[0].content.decode() == "bao nhiêu?"
    assert (seen[0].headers["x-trace-id"], seen[0].headers["x-timeout-ms"]) == ("tr-1", "1000")
    assert read.vector.tolist() == encoded.vector.tolist()
    assert read.tokens.values.tolist() == encoded.tokens.values.tolist()
    assert read.tokens.scales.tolist() == encoded.tokens.scales.tolist()
    assert read.tokens.spans.shape == (2, 2)


async def test_a_question_without_tokens_is_one() -> None:
    """Such as one of punctuation that the model does not know."""
    none = TokenVectors(np.zeros((0, 2), np.int8), np.zeros(0, np.float32), np.zeros((0, 2), np.int32))

    read = await encode_question(
        lambda _: httpx.Response(200, content=EncodedQuestion(np.ones(2, np.float32), none).to_bytes())
    )

    assert read.tokens.values.shape == (0, 2)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        make_question().to_bytes()[:-1],
        make_question().to_bytes() + b"x",
        make_question(float("nan")).to_bytes(),
        make_question(float("inf")).to_bytes(),
        b"\x02\x00\x00\x00\x03" + make_question().to_bytes()[5:],
        b"\xff\xff\xff\xff" + make_question().to_bytes()[4:],
    ],
)
async def test_bytes_that_are_no_question_are_an_upstream_error(content: bytes) -> None:
    """Cut, too long, of another dimension, with numbers that are none: no vector is believed unseen."""
    with pytest.raises(UpstreamError):
        await encode_question(lambda _: httpx.Response(200, content=content))


async def test_a_missing_score_is_an_upstream_error() -> None:
    """One relevance per window."""
    with pytest.raises(UpstreamError):
        await score(answers([0.5]), Window("a"), Window("b"))


@pytest.mark.parametrize("value", [[], [0.5, 0.5], [[0.5]], [float("nan")], 0.5, None])
async def test_a_support_that_is_no_number_is_an_upstream_error(value: object) -> None:
    """A pair that failed in its batch comes back as NaN: it must not count as judged."""
    with pytest.raises(UpstreamError):
        await entail(answers(value))


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (raises(httpx.ConnectError), NotReady),
        (raises(httpx.ReadError), NotReady),
        (raises(httpx.RemoteProtocolError), NotReady),
        (raises(httpx.ReadTimeout), DeadlineExceeded),
        (raises(httpx.ConnectTimeout), DeadlineExceeded),
        (lambda _: httpx.Response(503), NotReady),
        (lambda _: httpx.Response(504), DeadlineExceeded),
        (lambda _: httpx.Response(500, text="secret"), UpstreamError),
        (lambda _: httpx.Response(400, text="secret"), UpstreamError),
        (lambda _: httpx.Response(302, headers={"location": "/"}), UpstreamError),
        (lambda _: httpx.Response(200, text="no json"), UpstreamError),
    ],
)
async def test_a_failure_is_called_what_it_is(handler: Handler, expected: type[RagError]) -> None:
    """A dead service is NOT_READY, a silent one MODEL_TIMEOUT, one that fails UPSTREAM_ERROR, without its words."""
    with pytest.raises(expected) as failure:
        await embed(handler)

    assert "secret" not in failure.value.message


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("tcp://127.0.0.1:4000", "http://127.0.0.1:4000"),
        ("http://embedder:3000", "http://embedder:3000"),
        ("file:///tmp/x.sock", "http://localhost"),
    ],
)
async def test_every_address_that_bentoml_gives_is_understood(address: str, expected: str) -> None:
    """A Unix socket, a local port, or another host."""
    async with open_http_client(address) as http:
        assert str(http.base_url) == expected
