"""What flows between the stages: frozen values, no behaviour beyond reading them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from rag.language import Language

VerdictKind = Literal["kept", "re-cited", "attributed", "repaired", "dropped", "skipped"]
Role = Literal["system", "user", "assistant"]
CONTEXT_SEPARATOR: Final = " › "  # between the headings over a chunk
# Where a model's folder holds its OpenVINO graph, beside the weights of SentenceTransformer's own.
GRAPH_FILE: Final = "openvino/model.xml"


@dataclass(frozen=True, slots=True)
class PageSpan:
    """Characters `start:end` of a document's text stand on page `number` (from 1)."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading that begins at character `start` of the document's text; level 1 is the highest."""

    start: int
    end: int
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: NFC text with paragraphs parted by blank lines; spans are ordered and do not overlap."""

    title: str
    text: str
    pages: tuple[PageSpan, ...] = ()
    headings: tuple[Heading, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a document as the chunker cuts it; `text == document.text[start:end]`."""

    text: str
    start: int
    end: int
    page_start: int | None
    page_end: int | None
    heading: str | None
    context: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document as it is stored, indexed, shown to the generator and cited.

    `chunk_id` is `<tenant>:<document_id>:<document version>:<5-digit number>`. `heading` is the last heading at or
    before its start; `context` are the headings above that its own text does not hold, from the highest down: they are
    searched and ranked with the text, and never shown as part of it. `edition` sorts the editions of one document by
    age (`rag.editions`).
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

    @property
    def ranked_text(self) -> str:
        """What the models read of it: the text, after its context."""
        return f"{self.context}\n{self.text}" if self.context else self.text

    @property
    def text_start(self) -> int:
        """Where the text begins in `ranked_text`."""
        return len(self.context) + 1 if self.context else 0


@dataclass(frozen=True, slots=True)
class PlacedChunk:
    """A chunk with the ids of its neighbours in the same version of its document; None at either end."""

    chunk: Chunk
    previous: str | None = None
    next: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TokenVectors:
    """What a model makes of each token of a text, prompt and special tokens left out.

    `values`: int8, (tokens, dim), each row times its `scales` (float32, (tokens,)) is a vector of unit length;
    `spans`: int32, (tokens, 2), the characters of the text; of a chunk's they are those of its `ranked_text`.
    """

    values: NDArray[np.int8]
    scales: NDArray[np.float32]
    spans: NDArray[np.int32]

    @property
    def size_bytes(self) -> int:
        return self.values.nbytes + self.scales.nbytes + self.spans.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class EncodedTexts:
    """What one forward pass makes of texts: `vectors`, float32, (n, dim), of unit length, and those of their tokens."""

    vectors: NDArray[np.float32]
    tokens: Sequence[TokenVectors]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk on its way through retrieval; a score is None where a stage did not see the chunk.

    `similarity` is a cosine; `bm25_score` and `rrf_score` are positive; `relevance` is the reranker's, on one scale for
    all languages. `tokens` are the reranker's vectors where the index holds them.
    """

    chunk: Chunk
    similarity: float | None = None
    bm25_score: float | None = None
    rrf_score: float | None = None
    relevance: float | None = None
    tokens: TokenVectors | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Window:
    """The part `passage[start:end]` of a passage, to be scored in its context; `end` None is the passage's end.

    Its first `head` characters, a title and headings, count for every window. `tokens` are the passage's, where the
    index holds them.
    """

    passage: str
    start: int = 0
    end: int | None = None
    head: int = 0
    tokens: TokenVectors | None = field(default=None, compare=False, repr=False)

    @property
    def text(self) -> str:
        return self.passage[self.start : self.end]


@dataclass(frozen=True, slots=True)
class RelevanceScale:
    """What a reranker's relevance is worth: below `floor` a passage answers nothing.

    `across` is what is added to it by the languages of question and passage, in this order, where they differ: models
    of meaning put every text of another language further away.
    """

    floor: float
    across: Mapping[tuple[Language, Language], float] = field(default_factory=dict)

    def calibrate(self, relevance: float, asked_in: Language, text: Language) -> float:
        return relevance + self.across.get((asked_in, text), 0.0)


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk in the context of one request, shown to the generator under the label `[S<number>]`."""

    number: int
    chunk: Chunk
    tokens: TokenVectors | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class TokenUsage:
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Delta:
    """One piece of streamed text; the last ones may carry the reason of the end and the usage instead.

    `thought` is what a server gives as reasoning beside the text: it is no draft.
    """

    text: str = ""
    finish_reason: str | None = None
    usage: TokenUsage | None = None
    thought: str = ""


@dataclass(frozen=True, slots=True)
class DraftSentence:
    """One sentence of the generator's draft.

    `text` has no markers left in it; `markers` are the passage numbers that it cited, in order, without repeats,
    numbers that are in no context included; `lead` is the white space that stood before it in the draft.
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
    """What became of one draft sentence; `sent` has no markers, `quotes` are its sources in the order of citing."""

    kind: VerdictKind
    draft: str
    sent: str
    quotes: tuple[Quote, ...] = ()
    reason: str | None = None
    support: float | None = None
    lead: str = ""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which weights answer: `revision` changes whenever they do; `dimension` is 0 for what makes no vectors."""

    name: str
    revision: str
    dimension: int = 0


@dataclass(frozen=True, slots=True)
class IndexVersion:
    """One immutable state of a tenant's index; `built_at` is UTC in ISO 8601."""

    version: str
    chunks: int
    documents: int
    built_at: str


@dataclass(frozen=True, slots=True)
class Reservation:
    """Tokens of a tenant's quota that one admitted request holds until its true usage is known.

    `is_shared` says where: in the server that all processes share, or in this process.
    """

    id: str
    tenant_id: str
    tokens: int
    is_shared: bool


@dataclass(frozen=True, slots=True)
class BatchReport:
    """One batch that ran: of what function, how large, padding counted, and how long its oldest item had waited."""

    function: str
    items: int
    tokens: int
    waited_s: float
