"""Embed passages on the model server that embeds the questions: vectors of two runtimes do not quite match."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

import httpx
import numpy as np

from rag.clients.runtime_client import REQUEST_TEXTS, RuntimeEmbedder
from rag.engines.tokenizer import FileTokenCounter
from rag.errors import NotReady, UpstreamRateLimited
from rag.models import read_limit, read_prompts
from rag.ports import Vectors
from rag.types import EncodedTexts

# One that computes, and one that is on its way.
REQUESTS_AT_ONCE: Final = 2
# 32 passages of 512 tokens take a slow CPU a minute.
REQUEST_TIMEOUT_S: Final = 300.0
# A server that is busy or starts again is waited for: 1, 2, 4, … seconds, or as long as it says, two minutes in all.
TRIES: Final = 8
LONGEST_WAIT_S: Final = 30.0
# <s> and </s>.
SPECIAL_TOKENS: Final = 2


class RuntimeEncoder:
    """A `rag.ingestion.ports.PassageEncoder` that calls another model server and counts with the local tokenizer.

    Raises: FileNotFoundError: the model's tokenizer or its limit is not on this machine; the weights need not be.
    """

    def __init__(
        self,
        folder: Path,
        open_client: Callable[[], AbstractAsyncContextManager[httpx.AsyncClient]],
        make_embedder: Callable[[httpx.AsyncClient, str], RuntimeEmbedder],
    ) -> None:
        """`make_embedder` gets a client and the prompt before a passage."""
        self._counter = FileTokenCounter(folder)
        _, self._prompt = read_prompts(folder)
        self._limit_tokens = read_limit(folder)
        self._open_client = open_client
        self._make_embedder = make_embedder

    @property
    def limit_tokens(self) -> int:
        """The number of a passage's tokens that the model reads, without prompt and special tokens."""
        return self._limit_tokens - self.count(self._prompt) - SPECIAL_TOKENS

    def count(self, text: str) -> int:
        """Return the number of tokens of a text, without special tokens."""
        return self._counter.count(text)

    def read_passages(self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None) -> EncodedTexts:
        """Return the vectors of the passages, in order, and no token vectors.

        Raises: RagError: the server failed, or was not there for two minutes.
        """
        return EncodedTexts(asyncio.run(self._embed(texts, on_batch or _ignore)), [])

    async def _embed(self, texts: Sequence[str], on_batch: Callable[[int], None]) -> Vectors:
        places = asyncio.Semaphore(REQUESTS_AT_ONCE)
        async with self._open_client() as client:
            embedder = self._make_embedder(client, self._prompt)

            async def embed(part: Sequence[str]) -> Vectors:
                async with places:
                    vectors = await _try(embedder, part)
                on_batch(len(part))
                return vectors

            starts = range(0, len(texts), REQUEST_TEXTS)
            tasks = [asyncio.create_task(embed(texts[start : start + REQUEST_TEXTS])) for start in starts]
            try:
                return np.concatenate(await asyncio.gather(*tasks))
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


async def _try(embedder: RuntimeEmbedder, texts: Sequence[str]) -> Vectors:
    for number in range(TRIES - 1):
        try:
            return await embedder.embed_passages(texts, timeout_s=REQUEST_TIMEOUT_S, trace_id="ingestion")
        except (NotReady, UpstreamRateLimited) as error:
            await asyncio.sleep(min(max(error.retry_after_s or 0.0, 2.0**number), LONGEST_WAIT_S))
    return await embedder.embed_passages(texts, timeout_s=REQUEST_TIMEOUT_S, trace_id="ingestion")


def _ignore(_: int) -> None: ...
