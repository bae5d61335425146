"""The clients of other model servers: what they send, what they believe, and how they report failures."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import numpy as np
import pytest
from pydantic import SecretStr

from rag.clients.runtime_client import (
    REPLY_LIMIT_BYTES,
    REQUEST_TEXTS,
    RuntimeEmbedder,
    RuntimeScorer,
    list_secrets,
    open_runtime,
)
from rag.clients.runtime_protocols import base_url, embedding_protocol, rerank_protocol
from rag.errors import DeadlineExceeded, NotReady, RagError, UpstreamError, UpstreamFailure, UpstreamRateLimited
from rag.types import Window

Handler = Callable[[httpx.Request], httpx.Response]

METADATA = {
    "name": "e5",
    "inputs": [{"name": "TEXT", "datatype": "BYTES", "shape": [-1, 1]}],
    "outputs": [{"name": "V", "datatype": "FP32", "shape": [-1, 2]}],
}
PAIR_METADATA = {
    "name": "ce",
    "inputs": [
        {"name": "Q", "datatype": "BYTES", "shape": [-1]},
        {"name": "P", "datatype": "BYTES", "shape": [-1]},
    ],
}


def tensor(shape: list[int], data: object, datatype: str = "FP32") -> dict[str, object]:
    return {"outputs": [{"name": "V", "datatype": datatype, "shape": shape, "data": data}]}


# What each protocol answers to one text with the vector (3, 4), and to two passages with 0.2 and 0.9.
EMBEDDED: dict[str, object] = {
    "oip": tensor([1, 2], [3.0, 4.0]),
    "tei": [[3.0, 4.0]],
    "openai": {"data": [{"object": "embedding", "index": 0, "embedding": [3.0, 4.0]}], "model": "e5"},
}
RERANKED: dict[str, object] = {
    "oip": tensor([2, 1], [0.2, 0.9]),
    "tei": [{"index": 1, "score": 0.9}, {"index": 0, "score": 0.2}],
    "cohere": {"results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.2}]},
}


@dataclass(slots=True)
class Runtime:
    """A server that answers with one value, and keeps what it was asked."""

    value: object
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    metadata: object = field(default_factory=dict)
    asked: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        value = self.metadata if request.method == "GET" else self.value
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        return httpx.Response(self.status, content=content, headers=self.headers)

    @property
    def bodies(self) -> list[dict[str, object]]:
        return [json.loads(request.content) for request in self.asked if request.method == "POST"]


def raises(error: type[httpx.RequestError]) -> Handler:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error("secret", request=request)

    return fail


def client(handler: Handler) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url="http://runtime", transport=httpx.MockTransport(handler))


async def embed(handler: Handler, protocol: str = "tei", text: str = "x") -> np.ndarray:
    async with client(handler) as http:
        embedder = RuntimeEmbedder(
            http,
            embedding_protocol(protocol, "e5"),
            dimension=2,
            query_prompt="query: ",
            passage_prompt="passage: ",
            secrets=["k-1234"],
        )
        return await embedder.embed_query(text, timeout_s=1, trace_id="tr-1")


async def score(handler: Handler, *windows: Window, protocol: str = "tei") -> list[float]:
    async with client(handler) as http:
        return await RuntimeScorer(http, rerank_protocol(protocol, "ce")).score(
            "why", windows, timeout_s=1, trace_id="tr-1"
        )


@pytest.mark.parametrize("protocol", EMBEDDED)
async def test_vectors_have_unit_length_and_questions_their_prompt(protocol: str) -> None:
    """No runtime knows a question from a passage, and not each of them normalises."""
    runtime = Runtime(EMBEDDED[protocol], metadata=METADATA)

    vector = await embed(runtime, protocol)

    assert vector.tolist() == pytest.approx([0.6, 0.8])
    assert "query: x" in runtime.asked[-1].content.decode()
    assert {request.headers["x-trace-id"] for request in runtime.asked} == {"tr-1"}


@pytest.mark.parametrize(
    ("protocol", "path", "body"),
    [
        ("tei", "/embed", {"inputs": ["query: x"], "normalize": True, "truncate": True}),
        ("openai", "/embeddings", {"model": "e5", "input": ["query: x"], "encoding_format": "float"}),
        (
            "oip",
            "/v2/models/e5/infer",
            {"inputs": [{"name": "TEXT", "datatype": "BYTES", "shape": [1, 1], "data": ["query: x"]}]},
        ),
    ],
)
async def test_a_question_is_asked_as_the_protocol_says(protocol: str, path: str, body: object) -> None:
    """Path and body are those of the protocol's description."""
    runtime = Runtime(EMBEDDED[protocol], metadata=METADATA)

    await embed(runtime, protocol)

    assert runtime.asked[-1].url.path == path
    assert runtime.bodies == [body]


@pytest.mark.parametrize(
    ("protocol", "path", "body"),
    [
        ("tei", "/rerank", {"query": "why", "texts": ["a", "b"], "raw_scores": False, "truncate": True}),
        ("cohere", "/rerank", {"model": "ce", "query": "why", "documents": ["a", "b"], "top_n": 2}),
        (
            "oip",
            "/v2/models/ce/infer",
            {
                "inputs": [
                    {"name": "Q", "datatype": "BYTES", "shape": [2], "data": ["why", "why"]},
                    {"name": "P", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]},
                ]
            },
        ),
    ],
)
async def test_passages_are_scored_in_their_order(protocol: str, path: str, body: object) -> None:
    """Runtimes answer with the best first: the place in each row counts, not its own."""
    runtime = Runtime(RERANKED[protocol], metadata=PAIR_METADATA)

    scores = await score(runtime, Window("a"), Window("b"), protocol=protocol)

    assert scores == pytest.approx([0.2, 0.9])
    assert runtime.asked[-1].url.path == path
    assert runtime.bodies == [body]


async def test_a_window_is_read_behind_the_head_of_its_passage() -> None:
    """As our own cross-encoder reads it: title and headings, then the window."""
    runtime = Runtime([{"index": 0, "score": 0.5}])

    await score(runtime, Window("Leave\nFirst. Second.", 13, 20, head=6))

    assert runtime.bodies[0]["texts"] == ["Leave\nSecond."]


async def test_many_windows_are_several_requests() -> None:
    """No request has more texts than the strictest server takes, and each score stays with its window."""

    def answer(request: httpx.Request) -> httpx.Response:
        texts = json.loads(request.content)["texts"]
        assert len(texts) <= REQUEST_TEXTS
        return httpx.Response(200, json=[{"index": at, "score": int(text) / 100} for at, text in enumerate(texts)])

    scores = await score(answer, *(Window(str(number)) for number in range(70)))

    assert scores == pytest.approx([number / 100 for number in range(70)])


async def test_no_windows_are_no_call() -> None:
    """Nothing to score is nothing to ask."""
    assert await score(raises(httpx.ConnectError)) == []


async def test_the_metadata_are_asked_for_once() -> None:
    """They name the inputs; a model that describes none gets `text`."""
    runtime = Runtime(EMBEDDED["oip"])
    async with client(runtime) as http:
        embedder = RuntimeEmbedder(http, embedding_protocol("oip", "a/b"), dimension=2)
        for _ in range(2):
            await embedder.embed_query("x", timeout_s=1, trace_id="tr-1")

    assert [request.method for request in runtime.asked] == ["GET", "POST", "POST"]
    assert runtime.asked[0].url.raw_path == b"/v2/models/a%2Fb"
    assert runtime.bodies[0]["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["x"]}]


async def test_a_server_without_metadata_is_asked_by_the_default_names() -> None:
    """TorchServe: once a request has succeeded so, the metadata are not asked for again."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        return httpx.Response(404) if request.method == "GET" else httpx.Response(200, json=EMBEDDED["oip"])

    async with client(answer) as http:
        embedder = RuntimeEmbedder(http, embedding_protocol("oip", "e5"), dimension=2)
        for _ in range(2):
            await embedder.embed_query("x", timeout_s=1, trace_id="tr-1")

    assert asked == ["GET", "POST", "POST"]


async def test_a_model_that_is_not_there_yet_is_asked_for_its_metadata_again() -> None:
    """Its inputs may have other names than the default ones."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        return httpx.Response(404)

    async with client(answer) as http:
        embedder = RuntimeEmbedder(http, embedding_protocol("oip", "e5"), dimension=2)
        for _ in range(2):
            with pytest.raises(UpstreamError):
                await embedder.embed_query("x", timeout_s=1, trace_id="tr-1")

    assert asked == ["GET", "POST"] * 2


BAD_VECTORS: dict[str, list[object]] = {
    "tei": [
        *([], [[1.0]], [[1.0, 2.0, 3.0]], [[1.0, 2.0]] * 2, [[1.0, float("nan")]]),
        *([[1e39, 1.0]], [[0.0, 0.0]], [["1", "2"]], [[True, False]], [[None, 1.0]]),
        *({"a": 1}, "x", None, 1.0, [1.0, 2.0], [[[1.0, 2.0]]], b"no json", b"\xff"),
    ],
    "oip": [
        *({}, {"outputs": []}, tensor([1, 3], [1.0] * 3), tensor([1, 2], [1.0]), tensor([2, 1], [1.0, 2.0])),
        *(tensor([1, 2], ["a", "b"], "BYTES"), tensor([1, 2], None), {"outputs": [{"shape": "x"}]}, [1], None),
    ],
    "openai": [
        *({}, {"data": []}, {"data": [{"index": 1, "embedding": [1.0, 2.0]}]}),
        {"data": [{"index": 0, "embedding": [1.0, 2.0]}] * 2},
        {"data": [{"index": 0, "embedding": "AACAPwAAAEA="}]},
    ],
}


@pytest.mark.parametrize(
    ("protocol", "value"), [(protocol, value) for protocol, values in BAD_VECTORS.items() for value in values]
)
async def test_vectors_of_another_shape_are_an_upstream_error(protocol: str, value: object) -> None:
    """Too few rows, another dimension, no numbers, no direction: no row is believed unseen."""
    with pytest.raises(UpstreamError):
        await embed(Runtime(value, metadata=METADATA), protocol)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"index": 0, "score": 0.5}],
        [{"index": 0, "score": 0.5}] * 2,
        [{"index": 0, "score": 0.5}, {"index": 2, "score": 0.5}],
        [{"index": 0, "score": 0.5}, {"index": True, "score": 0.5}],
        [{"index": 0, "score": 0.5}, {"index": 1, "score": float("nan")}],
        [{"index": 0, "score": 0.5}, {"index": 1, "score": 7.5}],
        [{"index": 0, "score": -3.0}, {"index": 1, "score": 0.5}],
        [{"index": 0}, {"index": 1}],
        [0.5, 0.5],
    ],
)
async def test_relevances_that_are_not_one_for_each_window_are_an_upstream_error(rows: object) -> None:
    """Each window has one, from 0 to 1: a logit would pass every floor."""
    with pytest.raises(UpstreamError):
        await score(Runtime(rows), Window("a"), Window("b"))


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (raises(httpx.ConnectError), NotReady),
        (raises(httpx.ReadError), NotReady),
        (raises(httpx.RemoteProtocolError), NotReady),
        (raises(httpx.ReadTimeout), DeadlineExceeded),
        (raises(httpx.ConnectTimeout), DeadlineExceeded),
        (raises(httpx.DecodingError), UpstreamError),
        (Runtime({}, 503), NotReady),
        (Runtime({}, 504), DeadlineExceeded),
        (Runtime({"error": "secret"}, 500), UpstreamError),
        (Runtime({"error": "secret"}, 400), UpstreamError),
        (Runtime({}, 302, {"location": "/"}), UpstreamError),
        (Runtime({}, 429), UpstreamRateLimited),
        (Runtime(b" " * (REPLY_LIMIT_BYTES + 1)), UpstreamError),
    ],
)
@pytest.mark.parametrize("protocol", EMBEDDED)
async def test_a_failure_is_called_what_it_is(protocol: str, handler: Handler, expected: type[RagError]) -> None:
    """A dead server is NOT_READY, a silent one MODEL_TIMEOUT, one that fails UPSTREAM_ERROR, without its words."""
    with pytest.raises(expected) as failure:
        await embed(handler, protocol)

    assert "secret" not in failure.value.message


async def test_a_busy_server_says_how_long_to_wait() -> None:
    """Its Retry-After is ours."""
    with pytest.raises(UpstreamRateLimited) as failure:
        await embed(Runtime({}, 429, {"retry-after": "7"}))

    assert failure.value.retry_after_s == 7


async def test_the_log_gets_neither_key_nor_question() -> None:
    """A server may send back what it was sent."""
    said = {"error": "invalid key k-1234 for input wunderbar", "type": "validation"}
    with pytest.raises(UpstreamFailure) as failure:
        await embed(Runtime(said, 422), text="wunderbar")

    assert failure.value.upstream_status == 422
    told = str(failure.value.upstream_error)
    assert "k-1234" not in told
    assert "wunderbar" not in told
    assert "invalid key" in told


async def test_a_connection_that_was_closed_meanwhile_is_opened_once_more() -> None:
    """Servers close what is idle, some just as a request is sent; a second failure is told."""
    failures = iter([httpx.RemoteProtocolError, None])

    def answer(request: httpx.Request) -> httpx.Response:
        error = next(failures)
        if error is not None:
            raise error("closed", request=request)
        return httpx.Response(200, json=[[3.0, 4.0]])

    assert (await embed(answer)).tolist() == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize(
    ("protocol", "url", "expected"),
    [
        ("oip", "http://triton:8000", "http://triton:8000"),
        ("oip", "http://triton:8000/v2", "http://triton:8000"),
        ("tei", "http://tei:80", "http://tei:80"),
        ("openai", "http://vllm:8000", "http://vllm:8000/v1"),
        ("openai", "http://vllm:8000/v1", "http://vllm:8000/v1"),
        ("openai", "https://host/v1beta/openai", "https://host/v1beta/openai"),
        ("cohere", "https://api.cohere.com/v2", "https://api.cohere.com/v2"),
        ("cohere", "https://api.jina.ai", "https://api.jina.ai/v1"),
    ],
)
def test_a_url_names_its_version_once(protocol: str, url: str, expected: str) -> None:
    """With the version or without it, as the server's documentation writes it."""
    assert base_url(protocol, url) == expected


async def test_the_key_goes_out_as_a_bearer() -> None:
    """To this server alone, and never into a log."""
    key = SecretStr("k-1234")
    async with open_runtime("tei", "http://runtime", key) as http:
        assert http.headers["authorization"] == "Bearer k-1234"
    assert list_secrets(key) == ["k-1234"]
    async with open_runtime("tei", "http://runtime", None) as http:
        assert "authorization" not in http.headers


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[RuntimeEmbedder]:
    """A server of our own on a socket, and a client of it."""

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_runtime("tei", f"http://127.0.0.1:{port}", None) as http:
        yield RuntimeEmbedder(http, embedding_protocol("tei", "e5"), dimension=2)


async def read_request(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.split(b":")[1]))


async def test_connections_are_used_again() -> None:
    """One connection for questions that follow each other."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n[[3, 4]]")

    async with serving(serve) as embedder:
        for _ in range(5):
            await embedder.embed_query("x", timeout_s=5, trace_id="tr-1")

    assert connections == 1


async def test_the_deadline_bounds_a_server_that_sends_a_byte_now_and_then() -> None:
    """Each byte would begin the wait of a read anew."""
    tick = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.wait_for(asyncio.shield(tick.wait()), 5)

    async with serving(serve) as embedder:
        with pytest.raises(DeadlineExceeded):
            await embedder.embed_query("x", timeout_s=0.1, trace_id="tr-1")
        tick.set()


async def test_a_caller_that_leaves_closes_the_connection() -> None:
    """The server sees that nobody waits."""
    asked, left = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        asked.set()
        assert await reader.read() == b""
        left.set()

    async with serving(serve) as embedder:
        call = asyncio.create_task(embedder.embed_query("x", timeout_s=30, trace_id="tr-1"))
        await asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(5):
            await left.wait()
