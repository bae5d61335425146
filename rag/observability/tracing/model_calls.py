"""Trace calls to models by the conventions for generative AI, which tools for language models read.

Like every span, these hold no question, no answer and no passage. A call outside a traced query, such as one that warms
the models up, makes no span.
Source: OpenTelemetry, semantic conventions for generative AI: client inference, client embeddings (in development).
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from rag.observability.tracing import Attribute, Tracer
from rag.ports import TextEmbedder, TextGenerator, Vectors
from rag.types import Delta, Message

# What an upstream says of itself is bounded.
_SAID_MAX_CHARS: Final = 128


@dataclass(frozen=True, slots=True)
class CalledModel:
    """A model as its caller knows it; `url` may lead to a Unix socket, and is None where nothing is called."""

    name: str
    provider: str
    url: str | None = None

    def describe(self) -> dict[str, Attribute]:
        parts = urlsplit(self.url or "")
        described: dict[str, Attribute] = {"gen_ai.provider.name": self.provider, "gen_ai.request.model": self.name}
        if parts.hostname and parts.scheme in ("http", "https", "tcp"):
            described["server.address"] = parts.hostname
            described["server.port"] = parts.port or (443 if parts.scheme == "https" else 80)
        return described


class TracedGenerator:
    """A generator whose calls are spans: how long each took, how it finished, and the tokens that it says it used."""

    def __init__(self, generator: TextGenerator, tracer: Tracer, model: CalledModel) -> None:
        self._generator = generator
        self._tracer = tracer
        self._model = model

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], *, max_tokens: int, timeout_s: float, trace_id: str
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        with _calling(self._tracer, "chat", self._model) as found:
            found["gen_ai.request.max_tokens"] = max_tokens
            async with (
                self._generator.stream(
                    messages, max_tokens=max_tokens, timeout_s=timeout_s, trace_id=trace_id
                ) as deltas,
                aclosing(_watch(deltas, found)) as watched,
            ):
                yield watched


class TracedEmbedder:
    """An embedder whose calls are spans."""

    def __init__(self, embedder: TextEmbedder, tracer: Tracer, model: CalledModel) -> None:
        self._embedder = embedder
        self._tracer = tracer
        self._model = model

    async def embed_query(self, text: str, *, timeout_s: float, trace_id: str) -> Vectors:
        with _calling(self._tracer, "embeddings", self._model) as found:
            vector = await self._embedder.embed_query(text, timeout_s=timeout_s, trace_id=trace_id)
            found["gen_ai.embeddings.dimension.count"] = vector.shape[-1]
            return vector


@contextmanager
def _calling(
    tracer: Tracer, operation: Literal["chat", "embeddings"], model: CalledModel
) -> Iterator[dict[str, Attribute]]:
    """Record the block as a call; what is found out in it goes into the dictionary."""
    known: dict[str, Attribute] = {"gen_ai.operation.name": operation, **model.describe()}
    with tracer.calling(f"{operation} {model.name}", known):
        yield known


async def _watch(deltas: AsyncIterator[Delta], found: dict[str, Attribute]) -> AsyncGenerator[Delta, None]:
    async for delta in deltas:
        if delta.model:
            found["gen_ai.response.model"] = delta.model[:_SAID_MAX_CHARS]
        if delta.finish_reason:
            found["gen_ai.response.finish_reasons"] = (delta.finish_reason[:_SAID_MAX_CHARS],)
        if delta.usage:
            found["gen_ai.usage.input_tokens"] = delta.usage.prompt_tokens
            found["gen_ai.usage.output_tokens"] = delta.usage.completion_tokens
        yield delta
