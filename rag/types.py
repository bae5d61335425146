"""Define the values that flow between the stages: frozen, without behaviour beyond reading them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from rag.text.labels import read_label
from rag.text.language import Language
from schemas.request import Filters

VerdictKind = Literal["kept", "re-cited", "attributed", "repaired", "dropped", "skipped"]
Role = Literal["system", "user", "assistant"]
HistoryMode = Literal["rewrite", "terms", "off"]
# What became of a question that came with a history: it stands on its own, or it was completed.
FollowUp = Literal["standalone", "terms", "rewritten", "rewrite_failed", "rewrite_refused"]
CONTEXT_SEPARATOR: Final = " › "  # between the headings above a chunk
# The OpenVINO graph in a model's folder, beside the weights that SentenceTransformer loads.
GRAPH_FILE: Final = "openvino/model.xml"
_QUESTION_HEADER: Final = Struct("<II")  # tokens, dim


@dataclass(frozen=True, slots=True)
class PageSpan:
    """The characters `start:end` of a document's text, which are on page `number` (from 1).

    `label` is what is printed on the page instead of its number, such as "iv" or "A-1".
    """

    number: int
    start: int
    end: int
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading at characters `start:end` of the document's text; level 1 is the highest."""

    start: int
    end: int
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: NFC text, with blank lines between paragraphs; spans are ordered and do not overlap.

    `warnings` tell a person what of the file is not in the text, such as "page 3: an image without a text layer".
    """

    title: str
    text: str
    pages: tuple[PageSpan, ...] = ()
    headings: tuple[Heading, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """A chunk as the chunker cuts it from a document; `text == document.text[start:end]`."""

    text: str
    start: int
    end: int
    page_start: int | None
    page_end: int | None
    heading: str | None
    context: str = ""
    page_label: str | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document as it is stored, indexed, shown to the generator and cited.

    `chunk_id` is `<tenant>:<document_id>:<document version>:<5-digit number>`. `heading` is the last heading at or
    before its start. `context` holds the headings above that its own text does not contain, from the highest down: they
    are searched and ranked with the text, and never shown as part of it. `edition` sorts the editions of one document
    by age (`rag.text.editions`). `page_label` is what is printed on its pages, "iv" or "A-1–A-2", if that differs from
    their numbers.
    """

    chunk_id: str
    document_id: str
    title: str
    text: str
    start: int
    end: int
    page_start: int | None
    page_end: int | None
    heading: str | None
    context: str = ""
    edition: str = ""
    page_label: str | None = None

    @property
    def ranked_text(self) -> str:
        """The text that the models read: its context, then its text."""
        return f"{self.context}\n{self.text}" if self.context else self.text

    @property
    def text_start(self) -> int:
        """The offset of the text in `ranked_text`."""
        return len(self.context) + 1 if self.context else 0


@dataclass(frozen=True, slots=True)
class PlacedChunk:
    """A chunk with the ids of its neighbours in the same version of its document; None at either end."""

    chunk: Chunk
    previous: str | None = None
    next: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TokenVectors:
    """A model's vectors of the tokens of a text, without prompt and special tokens.

    `values`: int8, (tokens, dim); each row times its scale in `scales` (float32, (tokens,)) is a vector of unit length.
    `spans`: int32, (tokens, 2), character offsets in the text; for a chunk in its `ranked_text`.
    """

    values: NDArray[np.int8]
    scales: NDArray[np.float32]
    spans: NDArray[np.int32]

    @property
    def size_bytes(self) -> int:
        return self.values.nbytes + self.scales.nbytes + self.spans.nbytes


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk as an index holds it; `tokens` are the embedder's vectors of its tokens, if stored and asked for."""

    chunk: Chunk
    tokens: TokenVectors | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class EncodedQuestion:
    """The result of one forward pass over a question: its vector, float32, (dim,), of unit length, and token vectors.

    As bytes it is a header (tokens, dim), the vector, the tokens' scales, their values; the spans stay behind.
    """

    vector: NDArray[np.float32]
    tokens: TokenVectors

    def to_bytes(self) -> bytes:
        """Write it for another process."""
        tokens, dimension = self.tokens.values.shape
        return b"".join(
            (
                _QUESTION_HEADER.pack(tokens, dimension),
                self.vector.astype("<f4").tobytes(),
                self.tokens.scales.astype("<f4").tobytes(),
                self.tokens.values.tobytes(),
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes, dimension: int) -> "EncodedQuestion":
        """Read what `to_bytes` wrote; the spans are all zero.

        Raises: ValueError: the bytes are no question of this dimension, or hold a number that is not finite.
        """
        if len(data) < _QUESTION_HEADER.size:
            raise ValueError("no header")
        tokens, told = _QUESTION_HEADER.unpack_from(data)
        scales_at = _QUESTION_HEADER.size + 4 * dimension
        values_at = scales_at + 4 * tokens
        if told != dimension or len(data) != values_at + tokens * dimension:
            raise ValueError("another number of tokens or dimensions")
        numbers = np.frombuffer(data, "<f4", dimension + tokens, _QUESTION_HEADER.size).astype(np.float32, copy=False)
        if not np.isfinite(numbers).all():
            raise ValueError("a number that is not finite")
        values = np.frombuffer(data, np.int8, offset=values_at).reshape(tokens, dimension)
        spans = np.zeros((tokens, 2), dtype=np.int32)
        return cls(numbers[:dimension], TokenVectors(values, numbers[dimension:], spans))


@dataclass(frozen=True, slots=True, eq=False)
class EncodedTexts:
    """The result of one forward pass: `vectors` of the texts, float32, (n, dim), of unit length, and token vectors."""

    vectors: NDArray[np.float32]
    tokens: Sequence[TokenVectors]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk on its way through retrieval; a score is None if the chunk was not in that stage's result.

    `similarity` is a cosine; `bm25_score` and `rrf_score` are positive; `relevance` is the reranker's, on one scale for
    all languages. `tokens` are the reranker's vectors, if the index holds them.
    """

    chunk: Chunk
    similarity: float | None = None
    bm25_score: float | None = None
    rrf_score: float | None = None
    relevance: float | None = None
    tokens: TokenVectors | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Window:
    """The part `passage[start:end]` of a passage, scored in its context; `end` None is the end of the passage.

    The first `head` characters, a title and headings, count for every window. `tokens` are the passage's, if the index
    holds them.
    """

    passage: str
    start: int = 0
    end: int | None = None
    head: int = 0
    tokens: TokenVectors | None = field(default=None, compare=False, repr=False)

    @property
    def text(self) -> str:
        return self.passage[self.start : self.end]

    @property
    def text_in_context(self) -> str:
        """What a model reads that knows no windows: the head before the window, then the window."""
        return self.passage[: min(self.head, self.start)] + self.text


@dataclass(frozen=True, slots=True)
class RelevanceScale:
    """The meaning of a reranker's relevance: below `floor` a passage answers nothing.

    `across` is added to the relevance if the languages of question and passage (in this order) differ: embedding models
    put every text in another language further away.
    """

    floor: float
    across: Mapping[tuple[Language, Language], float] = field(default_factory=dict)

    def calibrate(self, relevance: float, asked_in: Language, text: Language) -> float:
        """Return the relevance on one scale for all languages."""
        return relevance + self.across.get((asked_in, text), 0.0)


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk in the context of one request, shown to the generator under the label `[S<number>]`."""

    number: int
    chunk: Chunk
    tokens: TokenVectors | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """The tokens that one generation used."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Delta:
    """One piece of streamed text; the last ones may carry the finish reason and the usage instead.

    `thought` is what a server sends as reasoning beside the text: it is not part of the draft. `model` is what the
    server calls the model that answers.
    """

    text: str = ""
    finish_reason: str | None = None
    usage: TokenUsage | None = None
    thought: str = ""
    model: str | None = None


@dataclass(frozen=True, slots=True)
class DraftSentence:
    """One sentence of the generator's draft.

    `text` has no markers. `markers` are the passage numbers that it cited, in order, without repeats, including numbers
    that are not in the context. `lead` is the white space before it in the draft.
    """

    text: str
    markers: tuple[int, ...]
    lead: str = ""


@dataclass(frozen=True, slots=True)
class Quote:
    """A verbatim part of a passage: the characters `start:end` of the chunk's stored text."""

    passage: Passage
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.passage.chunk.text[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one draft sentence; `sent` has no markers, `quotes` are its sources in the order of citing."""

    kind: VerdictKind
    draft: str
    sent: str
    quotes: tuple[Quote, ...] = ()
    reason: str | None = None
    support: float | None = None
    lead: str = ""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The identity of a model: `revision` changes with the weights; `dimension` is 0 if it makes no vectors."""

    name: str
    revision: str
    dimension: int = 0


@dataclass(frozen=True, slots=True)
class Labels:
    """What a document is selected by: only callers of one of its `groups` see it, if it has any."""

    groups: tuple[str, ...] = ()
    metadata: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scope:
    """The documents of a tenant that one request may see; a document must meet all three conditions.

    It has no groups, or one of `groups`, which are the caller's. Its id is one of `document_ids`, if they are not None.
    For each key of `metadata` it has one of the values.
    """

    groups: frozenset[str] = frozenset()
    document_ids: frozenset[str] | None = None
    metadata: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, groups: Collection[str], filters: Filters) -> "Scope":
        """Return the scope of a request with these filters, by a caller with these groups."""
        return cls(
            frozenset(groups),
            frozenset(filters.document_ids) if filters.document_ids else None,
            {key: frozenset(map(read_label, values)) for key, values in filters.metadata.items()},
        )


@dataclass(frozen=True, slots=True)
class GroupedPart:
    """The size of those documents of a version that have exactly these groups."""

    groups: frozenset[str]
    chunks: int
    documents: int


@dataclass(frozen=True, slots=True)
class IndexVersion:
    """One immutable state of a tenant's index; `built_at` is UTC in ISO 8601.

    `grouped` are the parts of it that only callers with certain groups see.
    """

    version: str
    chunks: int
    documents: int
    built_at: str
    grouped: tuple[GroupedPart, ...] = ()

    def seen_with(self, groups: Collection[str]) -> "IndexVersion":
        """Return the version with the size that a caller with these groups sees."""
        hidden = [part for part in self.grouped if part.groups.isdisjoint(groups)]
        return IndexVersion(
            self.version,
            self.chunks - sum(part.chunks for part in hidden),
            self.documents - sum(part.documents for part in hidden),
            self.built_at,
        )


@dataclass(frozen=True, slots=True)
class Reservation:
    """Tokens of a tenant's quota, held by one admitted request until its true usage is known.

    `is_shared`: held in the server that all processes share, not in this process.
    """

    id: str
    tenant_id: str
    tokens: int
    is_shared: bool


@dataclass(frozen=True, slots=True)
class BatchReport:
    """One batch that ran: its function, its size (`tokens` with padding), and how long its oldest item had waited."""

    function: str
    items: int
    tokens: int
    waited_s: float
