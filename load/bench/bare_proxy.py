"""Retrieve and pass on, and nothing else: the minimum that a RAG service can cost with the same Embedder and index.

A question is embedded by an Embedder of its own, the nearest chunks go into a prompt, and what the generator streams
goes to the client as it is: no words searched, nothing reranked, nothing checked, no citations, limits or log.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from rag.index.store import IndexStore
from rag.index.version import TenantIndex
from schemas.request import QueryRequest

EMBEDDER: Final = "BARE_PROXY_EMBEDDER"
GENERATOR: Final = "BARE_PROXY_GENERATOR"
INDEX_DIR: Final = "BARE_PROXY_INDEX_DIR"
_TOP_K: Final = 6


def open_app() -> FastAPI:
    """Return the application, for the servers that the environment names."""
    index = IndexStore(Path(os.environ[INDEX_DIR])).read("demo", TenantIndex)
    assert index is not None, "the documents were ingested before"

    @asynccontextmanager
    async def connect(app: FastAPI) -> AsyncIterator[None]:
        async with (
            httpx.AsyncClient(base_url=os.environ[EMBEDDER]) as embedder,
            httpx.AsyncClient(base_url=os.environ[GENERATOR]) as generator,
        ):
            app.state.embedder, app.state.generator = embedder, generator
            yield

    app = FastAPI(lifespan=connect)

    @app.post("/query/stream")
    async def query(request: QueryRequest) -> StreamingResponse:
        told = await app.state.embedder.post("/embed_queries", json={"texts": [request.question]})
        vector = np.asarray(told.raise_for_status().json()[0], dtype=np.float32)
        chunks = index.chunks([ordinal for ordinal, _ in index.search_dense(vector, _TOP_K)])
        sources = "\n\n".join(f"[S{number}] {chunk.text}" for number, chunk in enumerate(chunks, 1))
        prompt = f"{sources}\n\nQuestion: {request.question}"
        return StreamingResponse(_draft(app.state.generator, prompt), media_type="text/event-stream")

    return app


async def _draft(generator: httpx.AsyncClient, prompt: str) -> AsyncIterator[bytes]:
    body: dict[str, Any] = {"model": "any", "messages": [{"role": "user", "content": prompt}], "stream": True}
    async with generator.stream("POST", "/chat/completions", json=body) as response:
        async for piece in response.aiter_bytes():
            yield piece
