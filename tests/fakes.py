"""Scriptable fakes of the ports: a test decides what they return, when they stop, and how they fail."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

import httpx
import numpy as np
from starlette.types import ASGIApp

from rag.api import ContractEdge, Probe, QueryDesk, create_app
from rag.api.documents import DocumentDesk
from rag.chunk_id import ChunkId
from rag.clients.ingestor_client import IngestorClient
from rag.engines.fake import FakeCounter, FakeEmbedder, FakeEncoder, FakeScorer, overlap
from rag.identity import Authenticator, OpenAuthenticator
from rag.index.provider import OF_ALL_CALLERS, ServedIndexes
from rag.index.vocabulary import Vocabulary
from rag.limits import Deadline, Gate, Places
from rag.model_card import ModelCard
from rag.observability.telemetry import QueryRecord
from rag.observability.tracing import UNTRACED, Tracer
from rag.pipeline import Pipeline, StageLimits
from rag.ports import EntailmentModel, IndexProvider, PassageScorer, RateLimiter, TextEmbedder, TextGenerator, Vectors
from rag.quotas import LocalLimiter, Quotas
from rag.text.language import Language, detect_language, word_set
from rag.types import (
    Chunk,
    Delta,
    HistoryMode,
    IndexVersion,
    Message,
    ModelInfo,
    PlacedChunk,
    RelevanceScale,
    Scope,
    StoredChunk,
    TokenUsage,
    Window,
)
from rag.verification import ZERO_TO_ONE, Policies, Policy, Verifier

MODEL_VERSION = "rag-test+00000000"
ANNUAL_LEAVE = "Full-time staff have 12 days of annual leave per year."
SICK_LEAVE = "Sick leave needs a note from a doctor after the third day."
PARKING = "Visitors park behind the north building."
QUESTION = "How many days of annual leave do full-time staff have?"


def make_chunk(
    text: str,
    number: int = 1,
    *,
    tenant_id: str = "demo",
    document_id: str = "handbook",
    heading: str | None = None,
    page_label: str | None = None,
) -> Chunk:
    return Chunk(
        chunk_id=f"{tenant_id}:{document_id}:v1:{number:05d}",
        document_id=document_id,
        title="Staff Handbook",
        text=text,
        start=number * 10_000,
        end=number * 10_000 + len(text),
        page_start=number,
        page_end=number,
        heading=heading,
        page_label=page_label,
    )


class FakeIndex:
    """A `ChunkIndex` over a few chunks in memory."""

    def __init__(
        self, *texts: str, tenant_id: str = "demo", heading: str | None = None, page_label: str | None = None
    ) -> None:
        self._chunks = [
            make_chunk(text, number, tenant_id=tenant_id, heading=heading, page_label=page_label)
            for number, text in enumerate(texts, start=1)
        ]
        self._vectors = FakeEncoder().encode_passages(texts)

    @property
    def version(self) -> IndexVersion:
        return IndexVersion("v1", len(self._chunks), 1, "2026-05-10T10:00:00Z")

    async def search_dense(self, vector: Vectors, k: int, language: Language | None = None) -> list[tuple[str, float]]:
        similarities = self._vectors @ vector
        order = [int(each) for each in np.argsort(-similarities, kind="stable")]
        found = [each for each in order if language in (None, detect_language(self._chunks[each].text))]
        return [(self._chunks[each].chunk_id, float(similarities[each])) for each in found[:k]]

    async def search_lexical(self, text: str, k: int) -> list[tuple[str, float]]:
        scores = [(chunk.chunk_id, overlap(text, chunk.text)) for chunk in self._chunks]
        return sorted((pair for pair in scores if pair[1] > 0), key=lambda pair: -pair[1])[:k]

    @property
    def chunks(self) -> list[Chunk]:
        """All its chunks, in order."""
        return self._chunks

    async def fetch(self, chunk_ids: Sequence[str], *, with_tokens: bool = False) -> list[StoredChunk]:
        by_id = {chunk.chunk_id: chunk for chunk in self.chunks}
        return [StoredChunk(by_id[each]) for each in chunk_ids]

    async def find_chunk(self, chunk_id: ChunkId) -> PlacedChunk | None:
        ids = [chunk.chunk_id for chunk in self.chunks]
        if str(chunk_id) not in ids:
            return None
        at = ids.index(str(chunk_id))
        return PlacedChunk(self.chunks[at], ids[at - 1] if at else None, ids[at + 1] if at + 1 < len(ids) else None)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        counts = Counter(word for chunk in self._chunks for word in word_set(chunk.text))
        return Vocabulary(counts, counts.__getitem__)

    async def spellings(self, words: Collection[str]) -> dict[str, dict[str, int]]:
        return {word: self._vocabulary.spellings(word) for word in words}

    async def near(self, words: Collection[str]) -> dict[str, dict[str, int]]:
        return {word: self._vocabulary.near(word) for word in words}

    async def idf(self, words: Sequence[str]) -> list[float]:
        return [1.0] * len(words)


class FakeIndexes:
    """An `IndexProvider` over the indexes of some tenants; an exception stands for an index that cannot be loaded."""

    def __init__(self, **tenants: FakeIndex | Exception) -> None:
        self._tenants = tenants
        self.scopes: list[Scope] = []

    async def current(self, tenant_id: str, scope: Scope = OF_ALL_CALLERS) -> FakeIndex | None:
        self.scopes.append(scope)
        found = self._tenants.get(tenant_id)
        if isinstance(found, Exception):
            raise found
        return found

    def versions(self, tenant_ids: Any = None, groups: Any = None) -> dict[str, IndexVersion]:
        names = self._tenants if tenant_ids is None else tenant_ids
        return {name: found.version for name in names if isinstance(found := self._tenants.get(name), FakeIndex)}


NOWHERE: Final = Path("/nonexistent")
HANG: Final = "<hang>"
END: Final = "<end>"


async def hang() -> NoReturn:
    """Waits until it is cancelled."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nobody wakes it")


class ScriptedGenerator:
    """Says its script: a string is a delta, `END` a reason to end, `HANG` waits for ever, an exception is raised.

    Ends with a usage like a real server does, unless something in the script has ended it before.
    """

    info = ModelInfo("scripted-generator", "1")

    def __init__(
        self,
        *script: str | Exception,
        finish_reason: str = "stop",
        usage: TokenUsage | None = None,
        model: str | None = None,
    ) -> None:
        self._script = script
        self._model = model
        self._finish_reason = finish_reason
        self._usage = usage
        self.calls: list[dict[str, Any]] = []
        self.open_streams = 0
        self.reached = asyncio.Event()  # set when the script comes to its first hang

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], *, max_tokens: int, timeout_s: float, trace_id: str
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        self.calls.append(
            {"messages": messages, "max_tokens": max_tokens, "timeout_s": timeout_s, "trace_id": trace_id}
        )
        self.open_streams += 1
        try:
            yield self._say()
        finally:
            self.open_streams -= 1

    async def _say(self) -> AsyncIterator[Delta]:
        for part in self._script:
            if isinstance(part, Exception):
                raise part
            if part == HANG:
                self.reached.set()
                await hang()
            await asyncio.sleep(0)
            yield Delta(finish_reason="stop") if part == END else Delta(part)
        yield Delta(finish_reason=self._finish_reason, usage=self._usage, model=self._model)


class RefusingGenerator:
    """A `TextGenerator` that does not even begin."""

    info = ModelInfo("refusing-generator", "1")

    def __init__(self, error: Exception) -> None:
        self._error = error

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], *, max_tokens: int, timeout_s: float, trace_id: str
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        raise self._error
        yield  # what makes it a generator


class HangingEmbedder:
    """A `TextEmbedder` that never answers."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.waiting = 0

    async def embed_query(self, text: str, *, timeout_s: float, trace_id: str) -> Vectors:
        self.waiting += 1
        self.reached.set()
        try:
            await hang()
        finally:
            self.waiting -= 1


class HangingScorer:
    """A `PassageScorer` that never answers."""

    async def score(self, question: str, windows: Sequence[Window], *, timeout_s: float, trace_id: str) -> list[float]:
        await hang()


class FailingEmbedder:
    """A `TextEmbedder` that raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def embed_query(self, text: str, *, timeout_s: float, trace_id: str) -> Vectors:
        raise self._error


class FailingScorer:
    """A `PassageScorer` that raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def score(self, question: str, windows: Sequence[Window], *, timeout_s: float, trace_id: str) -> list[float]:
        raise self._error


def make_pipeline(
    *,
    generator: TextGenerator | None = None,
    drafts: bool = True,
    embedder: TextEmbedder | None = None,
    scorer: PassageScorer | None = None,
    indexes: IndexProvider | None = None,
    abstain_relevance: float = 0.01,
    stage_timeout_s: float = 5.0,
    generation_timeout_s: float = 5.0,
    mode: Literal["repair", "drop", "mark"] = "repair",
    draft_tokens: int | None = None,
    entailment: EntailmentModel | None = None,
    rerank_k: int = 10,
    history: HistoryMode = "terms",
    rewrite_timeout_s: float = 5.0,
) -> Pipeline:
    """A pipeline on fakes; its one tenant is `demo`; `drafts=False` is one without a generator."""
    return Pipeline(
        embedder=embedder or FakeEmbedder(),
        scorer=scorer or FakeScorer(),
        generator=(generator or ScriptedGenerator(f"{ANNUAL_LEAVE} [S1]")) if drafts else None,
        indexes=indexes or FakeIndexes(demo=FakeIndex(ANNUAL_LEAVE, SICK_LEAVE, PARKING)),
        counter=FakeCounter(),
        verifier=Verifier(
            RelevanceScale(abstain_relevance, dict.fromkeys((("en", "vi"), ("vi", "en")), abstain_relevance / 2)),
            ZERO_TO_ONE,
        ),
        policies=Policies(Policy(mode)),
        entailment=entailment,
        history=history,
        limits=StageLimits(
            retrieve_k=10,
            rerank_k=rerank_k,
            context_tokens=500,
            draft_tokens=draft_tokens,
            retrieval_timeout_s=stage_timeout_s,
            rerank_timeout_s=stage_timeout_s,
            generation_timeout_s=generation_timeout_s,
            rewrite_timeout_s=rewrite_timeout_s,
        ),
        model_version=MODEL_VERSION,
    )


def make_record(trace_id: str = "tr_test") -> QueryRecord:
    return QueryRecord(trace_id, "/query")


def make_deadline(timeout_s: float = 10.0) -> Deadline:
    return Deadline.after(timeout_s)


def make_card() -> ModelCard:
    return ModelCard(
        model_version=MODEL_VERSION,
        runtime="fake",
        prompt_version="answer-v1",
        deployed_at="2026-05-10T10:00:00Z",
        generator=ModelInfo("fake-generator", "1"),
        embedder=ModelInfo("fake-embedder", "1", 256),
        reranker=ModelInfo("fake-reranker", "1"),
    )


async def probe_ok(_: str | None) -> Literal["ok"]:
    return "ok"


def make_app(
    *,
    pipeline: Pipeline | Callable[[], Pipeline] | None = None,
    search_pipeline: Callable[[], Pipeline] | None = None,
    authenticator: Authenticator | None = None,
    limiter: RateLimiter | None = None,
    places: Places | None = None,
    gate: Gate | None = None,
    indexes: FakeIndexes | ServedIndexes | None = None,
    probes: Mapping[str, Probe] | None = None,
    request_timeout_s: float = 10.0,
    stream_timeout_s: float = 10.0,
    log_content_sample: float = 0.0,
    ping_after_s: float = 15.0,
    tracer: Tracer = UNTRACED,
    origins: Collection[str] = (),
    public_url: str | None = None,
    names_tenant: Callable[[str], bool] = lambda _: False,
    ingestor: IngestorClient | None = None,
    index_dir: Path = NOWHERE,
    upload_max_bytes: int = 10_000,
    upload_timeout_s: float = 10.0,
) -> ASGIApp:
    """The whole front without BentoML: the edge around the routes around a pipeline on fakes."""
    served = indexes or FakeIndexes(demo=FakeIndex(ANNUAL_LEAVE))
    answering = pipeline or make_pipeline(indexes=indexes)
    pipelines = (lambda: answering) if isinstance(answering, Pipeline) else answering
    desk = QueryDesk(
        pipeline=pipelines,
        search_pipeline=search_pipeline or pipelines,
        indexes=served,
        authenticator=authenticator or OpenAuthenticator(),
        limiter=limiter or LocalLimiter(Quotas(window_s=60, requests=100_000, tokens=1_000_000_000)),
        places=places or Places(8, queue_timeout_s=0.01),
        gate=gate or Gate(),
        request_timeout_s=request_timeout_s,
        stream_timeout_s=stream_timeout_s,
        public_url=public_url,
        log_content_sample=log_content_sample,
        ping_after_s=ping_after_s,
        tracer=tracer,
        names_tenant=names_tenant,
    )
    documents = DocumentDesk(
        ingestor=lambda: ingestor,
        lists=ServedIndexes(index_dir, ModelInfo("any", "1")),
        upload_max_bytes=upload_max_bytes,
        upload_timeout_s=upload_timeout_s,
    )
    app = create_app(
        desk,
        card=make_card(),
        index_versions=served.versions,
        probes=probes or {"index": probe_ok},
        documents=documents,
    )
    return ContractEdge(app, ours=app, origins=origins)


def make_client(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://rag")
