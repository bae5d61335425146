"""Call the Embedder and the Reranker over HTTP, behind our ports, with failures translated to our errors.

The services are called by their address, not through `bentoml.depends`: its proxies pass no headers on, use pickle,
keep a connection after its caller has gone, and close the session while callers use it. `depends` still determines
which services are spawned.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import httpx
import numpy as np
from bentoml._internal.configuration.containers import BentoMLContainer

from rag.clients.http_transport import PatientTransport
from rag.clients.socket_client import ServiceClient, open_socket_client
from rag.errors import DeadlineExceeded, NotReady, UpstreamError
from rag.observability.tracing import TRACE_HEADERS
from rag.ports import Vectors
from rag.types import EncodedQuestion, Window

# `Places` limits the running requests; with a second limit here some would wait unnoticed.
NO_LIMITS: Final = httpx.Limits(max_connections=None, max_keepalive_connections=32)
# Nothing listens, or the process died during our request.
_GONE: Final = (httpx.NetworkError, httpx.RemoteProtocolError)


def address_of(service: str) -> str:
    """Return the address of a service that BentoML spawned together with this one."""
    return str(BentoMLContainer.remote_runner_mapping.get()[service])


async def _carry_trace(request: httpx.Request) -> None:
    request.headers.update(TRACE_HEADERS.get())


_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"
_HOOKS: Final = {"request": [_carry_trace]}


def open_http_client(url: str) -> httpx.AsyncClient:
    """Open a client for a service's address as BentoML gives it: a Unix socket (`file:`), `tcp:`, or plain HTTP."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        transport = PatientTransport(uds=unquote(parts.path), limits=NO_LIMITS)
        return httpx.AsyncClient(base_url="http://localhost", transport=transport, event_hooks=_HOOKS)
    base_url = f"http://{parts.netloc}" if parts.scheme == "tcp" else url
    # Mounted, not passed as the transport, so that httpx still uses a proxy from the environment.
    mounts = {"all://": PatientTransport(limits=NO_LIMITS)}
    return httpx.AsyncClient(base_url=base_url, limits=NO_LIMITS, mounts=mounts, event_hooks=_HOOKS)


@asynccontextmanager
async def open_service_client(url: str) -> AsyncIterator[ServiceClient]:
    """Provide a client for the calls of a service at its address."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        async with open_socket_client(unquote(parts.path)) as client:
            yield client
    else:
        async with open_http_client(url) as other:
            yield other


class BentoEmbedder:
    """A `TextEmbedder` that calls the Embedder service."""

    def __init__(self, client: ServiceClient, dimension: int) -> None:
        self._client = client
        self._dimension = dimension

    async def embed_query(self, text: str, *, timeout_s: float, trace_id: str) -> Vectors:
        rows = await _call(self._client, "/embed_queries", {"texts": [text]}, timeout_s, trace_id)
        # A batchable API that returns too few rows would silently shift rows between clients.
        vector: Vectors = _to_numbers(rows, (1, self._dimension))[0]
        return vector


class BentoQuestionEncoder:
    """A `QuestionEncoder` that calls the Embedder service, if its model is the reranker's too."""

    def __init__(self, client: ServiceClient, dimension: int) -> None:
        self._client = client
        self._dimension = dimension

    async def encode_question(self, question: str, *, timeout_s: float, trace_id: str) -> EncodedQuestion:
        told = await _post(
            self._client, "/encode_question", question.encode(), _TEXT, timeout_s=timeout_s, trace_id=trace_id
        )
        try:
            return EncodedQuestion.from_bytes(told, self._dimension)
        except ValueError as error:
            raise UpstreamError from error


class BentoScorer:
    """A `PassageScorer` that calls the Reranker service, or the Embedder if it has the same model."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def score(self, question: str, windows: Sequence[Window], *, timeout_s: float, trace_id: str) -> list[float]:
        if not windows:
            return []
        pairs = [
            {
                "question": question,
                "passage": window.passage,
                "start": window.start,
                "end": window.end,
                "head": window.head,
            }
            for window in windows
        ]
        scores = await _call(self._client, "/rerank", {"pairs": pairs}, timeout_s, trace_id)
        return [float(score) for score in _to_numbers(scores, (len(pairs),))]


class BentoEntailment:
    """An `EntailmentModel` that calls the Reranker service, which runs the verifier model if one is configured."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def entail(self, premise: str, hypothesis: str, *, timeout_s: float, trace_id: str) -> float:
        pairs = [{"premise": premise, "hypothesis": hypothesis}]
        supports = await _call(self._client, "/entail", {"pairs": pairs}, timeout_s, trace_id)
        return float(_to_numbers(supports, (1,))[0])


async def _call(
    client: ServiceClient, path: str, body: dict[str, Any], timeout_s: float, trace_id: str
) -> Any:  # Any: JSON of another process, checked by the caller
    told = await _post(client, path, json.dumps(body).encode(), _JSON, timeout_s=timeout_s, trace_id=trace_id)
    try:
        return json.loads(told)
    except ValueError as error:
        raise UpstreamError from error


async def _post(
    client: ServiceClient, path: str, body: bytes, media_type: str, *, timeout_s: float, trace_id: str
) -> bytes:
    try:
        # At the timeout the service drops what it has not begun.
        told = {"content-type": media_type, "x-trace-id": trace_id, "x-timeout-ms": str(int(timeout_s * 1000))}
        headers = {**told, **TRACE_HEADERS.get()}
        response = await client.post(path, content=body, headers=headers, timeout=timeout_s)
        if response.status_code == httpx.codes.GATEWAY_TIMEOUT:
            raise DeadlineExceeded
        if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            raise NotReady("A model service is down.")
        if response.status_code != httpx.codes.OK:
            raise UpstreamError
        return response.content
    except httpx.TimeoutException as error:
        raise DeadlineExceeded from error
    except _GONE as error:
        raise NotReady("A model service is down.") from error
    except httpx.HTTPError as error:
        raise UpstreamError from error


def _to_numbers(value: object, shape: tuple[int, ...]) -> Vectors:
    """Convert JSON to a float32 array.

    Raises: UpstreamError: the value is not an array of finite numbers in this shape.
    """
    try:
        numbers = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise UpstreamError from error
    if numbers.shape != shape or not np.isfinite(numbers).all():
        raise UpstreamError
    return numbers
