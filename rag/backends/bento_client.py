"""The Embedder and the Reranker as the front sees them: BentoML's proxies behind our ports, failures in our words."""

import asyncio
import math
from collections.abc import Awaitable, Sequence
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

import aiohttp
import httpx
import numpy as np
from bentoml.exceptions import BentoMLException

from rag.errors import DeadlineExceeded, NotReady, UpstreamError
from rag.ports import Vectors
from rag.types import Window
from schemas.services import Pair

Result = TypeVar("Result")

# Places bound how many requests run; a second bound here would let some of them wait unseen.
NO_LIMITS: Final = httpx.Limits(max_connections=None, max_keepalive_connections=32)


class EmbedderProxy(Protocol):
    """What `bentoml.depends(Embedder)` gives; Any: BentoML's proxies are not typed."""

    async def embed_queries(self, texts: list[str]) -> Any: ...


class RerankerProxy(Protocol):
    async def rerank(self, pairs: list[Pair]) -> Any: ...


def open_http_client(url: str) -> httpx.AsyncClient:
    """A client for a service's address as BentoML gives it: a Unix socket (`file:`), `tcp:`, or plain HTTP.

    For what does not go through `depends`: its streams lose their framing and outlive the reader who left them.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        transport = httpx.AsyncHTTPTransport(uds=unquote(parts.path), limits=NO_LIMITS)
        return httpx.AsyncClient(base_url="http://localhost", transport=transport)
    base_url = f"http://{parts.netloc}" if parts.scheme == "tcp" else url
    return httpx.AsyncClient(base_url=base_url, limits=NO_LIMITS)


class BentoEmbedder:
    """Questions to vectors through the Embedder service."""

    def __init__(self, proxy: EmbedderProxy, dimension: int) -> None:
        self._proxy = proxy
        self._dimension = dimension

    async def embed_query(self, text: str, *, timeout_s: float) -> Vectors:
        vectors = np.asarray(await _call(self._proxy.embed_queries([text]), timeout_s), dtype=np.float32)
        # A batchable API that returns too few rows shifts rows between clients without a word.
        if vectors.shape != (1, self._dimension) or not np.isfinite(vectors).all():
            raise UpstreamError
        vector: Vectors = vectors[0]
        return vector


class BentoScorer:
    """Relevance of passages through the Reranker service."""

    def __init__(self, proxy: RerankerProxy) -> None:
        self._proxy = proxy

    async def score(self, question: str, windows: Sequence[Window], *, timeout_s: float) -> list[float]:
        if not windows:
            return []
        pairs = [
            Pair(question=question, passage=window.passage, start=window.start, end=window.end) for window in windows
        ]
        scores = [float(score) for score in await _call(self._proxy.rerank(pairs), timeout_s)]
        if len(scores) != len(pairs) or not all(map(math.isfinite, scores)):
            raise UpstreamError
        return scores


async def _call(call: Awaitable[Result], timeout_s: float) -> Result:
    try:
        async with asyncio.timeout(timeout_s):
            return await call
    except TimeoutError as error:
        raise DeadlineExceeded from error
    except (aiohttp.ClientConnectionError, ConnectionError, FileNotFoundError) as error:
        raise NotReady("A model service is down.") from error
    except (aiohttp.ClientError, BentoMLException) as error:
        raise UpstreamError from error
