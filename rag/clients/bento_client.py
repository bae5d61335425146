"""The Embedder and the Reranker as the front sees them: their HTTP behind our ports, failures in our words.

Called by their address and not through `bentoml.depends`, whose proxies pass no header on, speak pickle, keep a
connection that the caller has left, and close the session under its callers. `depends` still says what is spawned.
"""

from base64 import b64decode
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import httpx
import numpy as np
from bentoml._internal.configuration.containers import BentoMLContainer

from rag.clients.http_transport import PatientTransport
from rag.errors import DeadlineExceeded, NotReady, UpstreamError
from rag.observability.tracing import TRACE_HEADERS
from rag.ports import Vectors
from rag.types import TokenVectors, Window

# Places bound how many requests run; a second bound here would let some of them wait unseen.
NO_LIMITS: Final = httpx.Limits(max_connections=None, max_keepalive_connections=32)
# Nothing listens, or what listened has died with our request.
_GONE: Final = (httpx.NetworkError, httpx.RemoteProtocolError)


def address_of(service: str) -> str:
    """Where BentoML runs a service that was spawned with this one."""
    return str(BentoMLContainer.remote_runner_mapping.get()[service])


async def _carry_trace(request: httpx.Request) -> None:
    request.headers.update(TRACE_HEADERS.get())


_HOOKS: Final = {"request": [_carry_trace]}


def open_http_client(url: str) -> httpx.AsyncClient:
    """A client for a service's address as BentoML gives it: a Unix socket (`file:`), `tcp:`, or plain HTTP."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        transport = PatientTransport(uds=unquote(parts.path), limits=NO_LIMITS)
        return httpx.AsyncClient(base_url="http://localhost", transport=transport, event_hooks=_HOOKS)
    base_url = f"http://{parts.netloc}" if parts.scheme == "tcp" else url
    # Mounted, and not given as the transport: so httpx still looks for a proxy in the environment.
    mounts = {"all://": PatientTransport(limits=NO_LIMITS)}
    return httpx.AsyncClient(base_url=base_url, limits=NO_LIMITS, mounts=mounts, event_hooks=_HOOKS)


class BentoEmbedder:
    """Questions to vectors through the Embedder service."""

    def __init__(self, client: httpx.AsyncClient, dimension: int) -> None:
        self._client = client
        self._dimension = dimension

    async def embed_query(self, text: str, *, timeout_s: float, trace_id: str) -> Vectors:
        rows = await _call(self._client, "/embed_queries", {"texts": [text]}, timeout_s, trace_id)
        # A batchable API that returns too few rows shifts rows between clients without a word.
        vector: Vectors = _to_numbers(rows, (1, self._dimension))[0]
        return vector


class BentoScorer:
    """Relevance of passages through the Reranker service."""

    def __init__(self, client: httpx.AsyncClient) -> None:
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


class BentoQuestionReader:
    """Token vectors of questions through the Reranker service."""

    def __init__(self, client: httpx.AsyncClient, dimension: int) -> None:
        self._client = client
        self._dimension = dimension

    async def read_question(self, question: str, *, timeout_s: float, trace_id: str) -> TokenVectors:
        read = await _call(self._client, "/read_questions", {"questions": [question]}, timeout_s, trace_id)
        try:
            (told,) = read
            values = np.frombuffer(b64decode(told["values"]), dtype=np.int8).reshape(-1, self._dimension)
            scales = _to_numbers(told["scales"], (len(values),))
        except (TypeError, ValueError, KeyError) as error:
            raise UpstreamError from error
        return TokenVectors(values, scales, np.zeros((len(values), 2), dtype=np.int32))


class BentoEntailment:
    """Support of claims through the Reranker service, which holds the verifier's model where one is named."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def entail(self, premise: str, hypothesis: str, *, timeout_s: float, trace_id: str) -> float:
        pairs = [{"premise": premise, "hypothesis": hypothesis}]
        supports = await _call(self._client, "/entail", {"pairs": pairs}, timeout_s, trace_id)
        return float(_to_numbers(supports, (1,))[0])


async def _call(
    client: httpx.AsyncClient, path: str, body: dict[str, Any], timeout_s: float, trace_id: str
) -> Any:  # Any: JSON of another process, checked by the caller
    try:
        # The service drops what it has not begun when the time is over.
        headers = {"x-trace-id": trace_id, "x-timeout-ms": str(int(timeout_s * 1000))}
        response = await client.post(path, json=body, headers=headers, timeout=timeout_s)
        if response.status_code == httpx.codes.GATEWAY_TIMEOUT:
            raise DeadlineExceeded
        if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            raise NotReady("A model service is down.")
        response.raise_for_status()
        return response.json()
    except httpx.TimeoutException as error:
        raise DeadlineExceeded from error
    except _GONE as error:
        raise NotReady("A model service is down.") from error
    except (httpx.HTTPError, ValueError) as error:
        raise UpstreamError from error


def _to_numbers(value: object, shape: tuple[int, ...]) -> Vectors:
    """Raises: UpstreamError: not finite numbers in this shape."""
    try:
        numbers = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise UpstreamError from error
    if numbers.shape != shape or not np.isfinite(numbers).all():
        raise UpstreamError
    return numbers
