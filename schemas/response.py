"""Define the bodies of all successful responses; failures are in `schemas.errors`."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

FinishReason = Literal["stop", "length", "no_answer"]
VerdictName = Literal["kept", "re-cited", "attributed", "repaired", "dropped", "skipped"]
DependencyState = Literal["ok", "local", "unreachable", "loading", "mismatch", "timeout"]


class _Body(BaseModel):
    # The contract has field names that begin with `model_`, a prefix that pydantic reserves by default.
    model_config = ConfigDict(frozen=True, protected_namespaces=())


class Citation(_Body):
    """One source of the answer; `quote` is a verbatim part of the chunk's stored text.

    It stands there from character `quote_start` to `quote_end`, end exclusive, counted in Unicode code points.
    """

    source_id: str = Field(pattern=r"^S[1-9][0-9]*$")
    document_id: str
    chunk_id: str
    title: str
    page_start: int | None
    page_end: int | None
    quote: str
    quote_start: int = Field(ge=0)
    quote_end: int = Field(ge=0)
    url: str = Field(description="The page of the chunk, which highlights a quotation that is not too long.")


class Latency(_Body):
    """Whole milliseconds per stage; `total` is at least each of the others."""

    retrieval: int = 0
    rerank: int = 0
    generation: int = 0
    verification: int = 0
    total: int = 0


class Usage(_Body):
    """Tokens as the generator counts them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class TraceCandidate(_Body):
    chunk_id: str
    document_id: str
    similarity: float | None
    bm25_score: float | None
    rrf_score: float | None
    relevance: float | None


class TracePassage(_Body):
    chunk_id: str


class TraceSentence(_Body):
    draft: str
    sent: str
    verdict: VerdictName
    reason: str | None
    support: float | None


class Trace(_Body):
    """The steps that led to the answer; never the prompt.

    `standalone_question` is what a follow-up was made before retrieval; null if nothing was changed.
    """

    standalone_question: str | None
    candidates: list[TraceCandidate]
    passages: list[TracePassage]
    usage: Usage
    sentences: list[TraceSentence]


class QueryResponse(_Body):
    answer: str
    citations: list[Citation]
    trace_id: str
    latency_ms: Latency
    model_version: str
    finish_reason: FinishReason
    trace: Trace | None = None


PageLabel = Annotated[
    str | None,
    Field(
        exclude_if=lambda label: label is None,
        description='What is printed on the pages, as "iv" or "A-1–A-2"; only where it differs from their numbers.',
    ),
]


class SearchResult(_Body):
    """A passage, and what each stage says of it; a score is null where a stage did not see the passage."""

    chunk_id: str
    document_id: str
    title: str
    heading: str | None
    page_start: int | None
    page_end: int | None
    page_label: PageLabel = None
    text: str
    similarity: float | None
    bm25_score: float | None
    rrf_score: float | None
    relevance: float | None


class SearchResponse(_Body):
    """The passages that were found, best `relevance` first."""

    results: list[SearchResult]
    trace_id: str
    latency_ms: Latency
    model_version: str


class ChunkText(_Body):
    """One chunk as it is stored; `previous` and `next` are the ids of its neighbours in the same document version."""

    chunk_id: str
    document_id: str
    title: str
    heading: str | None
    page_start: int | None
    page_end: int | None
    page_label: PageLabel = None
    text: str
    previous: str | None
    next: str | None


class Health(_Body):
    status: Literal["ok"] = "ok"
    service: Literal["rag"] = "rag"
    version: str


class Ready(_Body):
    status: Literal["ready"] = "ready"
    model_version: str
    dependencies: dict[str, DependencyState]


class EmbedderInfo(_Body):
    name: str
    dimension: int
    revision: str


class RerankerInfo(_Body):
    name: str
    revision: str


class IndexInfo(_Body):
    version: str
    chunks: int
    built_at: str


class CurrentModels(_Body):
    """The exact versions of what answers now; `index` contains only tenants that the caller may read."""

    model_version: str
    runtime: str
    model_name: str
    prompt_version: str
    deployed_at: str
    embedder: EmbedderInfo
    reranker: RerankerInfo
    index: dict[str, IndexInfo]
