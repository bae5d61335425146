"""Call a model server of somebody else for vectors and relevances, behind our ports, and believe nothing unseen.

What the server cannot know is put here: the model's prompt before a question or a passage, which a runtime does not
tell apart, and the head of a passage before each window of it.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import httpx
import numpy as np
from pydantic import SecretStr

from rag.clients.bento_client import open_http_client
from rag.clients.http_transport import came_to_nothing
from rag.clients.retry_after import read_retry_after
from rag.clients.runtime_protocols import Call, EmbeddingProtocol, RerankProtocol, base_url
from rag.clients.upstream_failures import Redaction
from rag.errors import DeadlineExceeded, NotReady, UpstreamError, UpstreamRateLimited
from rag.ports import Vectors
from rag.types import Message, Window

# The most that text-embeddings-inference takes in one request unless it is told otherwise.
REQUEST_TEXTS: Final = 32
# 32 vectors of 4096 numbers of 22 characters take 3 MB; some servers send the passages back too.
REPLY_LIMIT_BYTES: Final = 16 << 20
# A sigmoid rounded up in half precision is 1.0; more than this above it is a logit.
_SCORE_SLACK: Final = 1e-3
_MALFORMED: Final = (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)

T = TypeVar("T")


def open_runtime(protocol: str, url: str, key: SecretStr | None) -> httpx.AsyncClient:
    """Open a client for another model server; the key goes to it alone."""
    client = open_http_client(base_url(protocol, url))
    if key is not None:
        client.headers["authorization"] = f"Bearer {key.get_secret_value()}"
    return client


def list_secrets(key: SecretStr | None) -> list[str]:
    """Return what must not appear in a log."""
    return [] if key is None else [key.get_secret_value()]


class RuntimeEmbedder:
    """A `rag.ports.TextEmbedder` that calls another model server; it embeds passages too, for the ingestion."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        protocol: EmbeddingProtocol,
        *,
        dimension: int,
        query_prompt: str = "",
        passage_prompt: str = "",
        secrets: Sequence[str] = (),
    ) -> None:
        self._caller = _Caller(client, protocol.metadata_path, secrets)
        self._protocol = protocol
        self._dimension = dimension
        self._query_prompt = query_prompt
        self._passage_prompt = passage_prompt

    async def embed_query(self, text: str, *, timeout_s: float, trace_id: str) -> Vectors:
        vector: Vectors = (await self._embed([self._query_prompt + text], timeout_s, trace_id))[0]
        return vector

    async def embed_passages(self, texts: Sequence[str], *, timeout_s: float, trace_id: str) -> Vectors:
        """Return the vectors of at most `REQUEST_TEXTS` passages, float32, (n, dim), rows of unit length, in order.

        Raises: as `embed_query`.
        """
        return await self._embed([self._passage_prompt + text for text in texts], timeout_s, trace_id)

    async def _embed(self, texts: list[str], timeout_s: float, trace_id: str) -> Vectors:
        reply = await self._caller.call(
            lambda described: self._protocol.ask(texts, described), texts, timeout_s=timeout_s, trace_id=trace_id
        )
        vectors = _to_numbers(lambda: self._protocol.read(reply, len(texts)), (len(texts), self._dimension))
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or not lengths.all():
            raise UpstreamError(upstream_error="a vector without direction")
        unit: Vectors = vectors / lengths
        return unit


class RuntimeScorer:
    """A `rag.ports.PassageScorer` that calls another model server, which has a cross-encoder."""

    def __init__(self, client: httpx.AsyncClient, protocol: RerankProtocol, *, secrets: Sequence[str] = ()) -> None:
        self._caller = _Caller(client, protocol.metadata_path, secrets)
        self._protocol = protocol

    async def score(self, question: str, windows: Sequence[Window], *, timeout_s: float, trace_id: str) -> list[float]:
        texts = [window.text_in_context for window in windows]
        parts = [texts[start : start + REQUEST_TEXTS] for start in range(0, len(texts), REQUEST_TEXTS)]
        scored = await _all_or_none([self._score(question, part, timeout_s, trace_id) for part in parts])
        return [score for scores in scored for score in scores]

    async def _score(self, question: str, texts: list[str], timeout_s: float, trace_id: str) -> list[float]:
        reply = await self._caller.call(
            lambda described: self._protocol.ask(question, texts, described),
            [question, *texts],
            timeout_s=timeout_s,
            trace_id=trace_id,
        )
        scores = _to_numbers(lambda: self._protocol.read(reply, len(texts)), (len(texts),))
        if scores.min() < -_SCORE_SLACK or scores.max() > 1 + _SCORE_SLACK:
            # A logit of 1.5 is no certainty, and any logit above 0.02 would pass the floor.
            raise UpstreamError(upstream_error="relevances outside of 0 to 1")
        return [float(score) for score in np.clip(scores, 0, 1)]


class _Caller:
    """Sends the requests of one model, with the model's metadata if the protocol needs them.

    They are asked for until a request has succeeded with them, then kept. TorchServe has none: 404.
    """

    def __init__(self, client: httpx.AsyncClient, metadata_path: str | None, secrets: Sequence[str]) -> None:
        self._client = client
        self._metadata_path = metadata_path
        self._secrets = secrets
        self._described: object = None

    async def call(
        self, ask: Callable[[object], Call], texts: Sequence[str], *, timeout_s: float, trace_id: str
    ) -> Any:  # Any: JSON of another process, checked by the protocol
        """Return the parsed reply.

        Raises: DeadlineExceeded, NotReady, UpstreamRateLimited, UpstreamError.
        """
        redaction = Redaction([Message("user", text) for text in texts], self._secrets)
        headers = {"x-trace-id": trace_id}
        try:
            # httpx bounds each read; a server that sends a byte now and then is bounded by this.
            async with asyncio.timeout(timeout_s):
                described = self._described
                if self._metadata_path is not None and described is None:
                    described = await self._describe(self._metadata_path, headers, redaction)
                call = ask(described)
                reply = await self._send("POST", call.path, call.body, headers, redaction)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise DeadlineExceeded from error
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            raise NotReady("A model service is down.") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UpstreamError(upstream_error=type(error).__name__) from error
        self._described = described
        return reply

    async def _describe(self, path: str, headers: dict[str, str], redaction: Redaction) -> object:
        try:
            return await self._send("GET", path, None, headers, redaction)
        except UpstreamError as error:
            if error.upstream_status != httpx.codes.NOT_FOUND:
                raise
            return {}  # if the model is not there, the request itself will say so

    async def _send(
        self, method: str, path: str, body: object, headers: dict[str, str], redaction: Redaction
    ) -> Any:  # Any: as above
        try:
            return await self._send_once(method, path, body, headers, redaction)
        except httpx.HTTPError as error:
            if not came_to_nothing(error):
                raise
        # Many servers close a connection after 5 s without a request, some just as the next one is sent.
        return await self._send_once(method, path, body, headers, redaction)

    async def _send_once(
        self, method: str, path: str, body: object, headers: dict[str, str], redaction: Redaction
    ) -> Any:  # Any: as above
        # The deadline of the whole call bounds every wait.
        async with self._client.stream(method, path, json=body, headers=headers, timeout=None) as response:
            received = await _read_bounded(response)
        status = response.status_code
        if status == httpx.codes.OK:
            with suppress(ValueError, RecursionError):
                return json.loads(received)
        if status == httpx.codes.GATEWAY_TIMEOUT:
            raise DeadlineExceeded
        if status == httpx.codes.SERVICE_UNAVAILABLE:
            raise NotReady("A model service is down.")
        told = redaction.describe_body(received, response.headers.get("content-type", ""))
        if status == httpx.codes.TOO_MANY_REQUESTS:
            wait_s = read_retry_after(response.headers)
            raise UpstreamRateLimited(retry_after_s=wait_s, upstream_status=status, upstream_error=told)
        raise UpstreamError(upstream_status=status, upstream_error=told)


async def _read_bounded(response: httpx.Response) -> bytes:
    """Return the body.

    Raises: UpstreamError: it is longer than any reply to one of our requests.
    """
    received = bytearray()
    async for piece in response.aiter_bytes():
        received += piece
        if len(received) > REPLY_LIMIT_BYTES:
            raise UpstreamError(upstream_status=response.status_code, upstream_error="the reply is too long")
    return bytes(received)


async def _all_or_none(calls: Sequence[Awaitable[T]]) -> list[T]:
    """Await the calls together; if one fails, end the others and raise its error."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _to_numbers(read: Callable[[], Any], shape: tuple[int, ...]) -> Vectors:
    """Convert what was read to a float32 array of this shape.

    Raises: UpstreamError: the reply has another form, or its numbers are others, or not finite.
    """
    try:
        rows = np.asarray(read())
    except _MALFORMED as error:
        raise UpstreamError(upstream_error="the reply has another form") from error
    # A string such as "1.0", null or true is no number, though numpy would make one of it.
    if rows.shape != shape or rows.dtype.kind not in "fi":
        raise UpstreamError(upstream_error=f"numbers of another shape than {shape}")
    with np.errstate(over="ignore"):  # it becomes infinite
        numbers = rows.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise UpstreamError(upstream_error="numbers that are not finite")
    return numbers
