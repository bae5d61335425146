"""Define the request of the query routes, and every limit that a client can exceed."""

from typing import Annotated, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    field_validator,
    model_serializer,
)

QUESTION_MAX_CHARS: Final = 2000
HISTORY_MAX_TURNS: Final = 10
HISTORY_MAX_CHARS: Final = 8000
TENANT_PATTERN: Final = r"^[A-Za-z0-9._-]{1,64}\Z"
TRACE_ID_PATTERN: Final = r"[A-Za-z0-9._-]{1,64}"
TOP_K_MAX: Final = 20
SEARCH_TOP_K_MAX: Final = 50
CHUNK_ID_MAX_CHARS: Final = 256
OUTPUT_TOKENS_MIN: Final = 16
OUTPUT_TOKENS_MAX: Final = 2048
BODY_MAX_BYTES: Final = 64 * 1024
# Request target and headers together.
HEADERS_MAX_BYTES: Final = 64 * 1024
HEADERS_MAX: Final = 100
# Of one request's filters; the bounds of metadata are also those of one document's.
FILTER_DOCUMENTS_MAX: Final = 200
METADATA_KEY_PATTERN: Final = r"^[A-Za-z0-9._-]{1,64}$"
METADATA_KEYS_MAX: Final = 16
METADATA_VALUES_MAX: Final = 50
METADATA_VALUE_MAX_CHARS: Final = 256

TenantId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$", strict=True)]


DocumentId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,128}$", strict=True)]
MetadataKey = Annotated[str, StringConstraints(pattern=METADATA_KEY_PATTERN, strict=True)]
MetadataValue = Annotated[str, StringConstraints(min_length=1, max_length=METADATA_VALUE_MAX_CHARS, strict=True)]


class Filters(BaseModel):
    """Restricts a request to some documents: both conditions must be met."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    document_ids: list[DocumentId] = Field(
        default_factory=list,
        min_length=1,
        max_length=FILTER_DOCUMENTS_MAX,
        description="The document is one of these. Not given: any document.",
    )
    metadata: dict[MetadataKey, Annotated[list[MetadataValue], Field(min_length=1, max_length=METADATA_VALUES_MAX)]] = (
        Field(
            default_factory=dict,
            max_length=METADATA_KEYS_MAX,
            description="For each key the document has at least one of the values; compared in NFC, case counts.",
            json_schema_extra={"additionalProperties": False},
        )
    )

    @model_serializer(mode="wrap")
    def _leave_out_empty(self, serialize: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Return what a request may hold: an empty list is refused there."""
        return {name: value for name, value in serialize(self).items() if value}


class Turn(BaseModel):
    """One earlier turn of the conversation."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    role: Literal["user", "assistant"]
    content: str = Field(max_length=HISTORY_MAX_CHARS)


class _Question(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    question: str = Field(
        min_length=1,
        max_length=QUESTION_MAX_CHARS,
        description="The question, in Vietnamese or English; trimmed before its length is checked.",
        examples=["How many days of annual leave do full-time staff have?"],
    )
    tenant_id: TenantId = Field(default="demo", description="Whose documents are asked.")
    filters: Filters = Field(default_factory=Filters, description="Which of the documents are searched.")

    @field_validator("question", mode="before")
    @classmethod
    def _trim(cls, value: object) -> object:
        return value.strip() if isinstance(value, str) else value


class QueryRequest(_Question):
    """One question about one tenant's documents."""

    top_k: int = Field(default=6, ge=1, le=TOP_K_MAX, description="Passages given to the generator.")
    max_output_tokens: int = Field(
        default=512, ge=OUTPUT_TOKENS_MIN, le=OUTPUT_TOKENS_MAX, description="Bound of the generator's draft."
    )
    include_trace: bool = Field(default=False, description="Adds candidates, passages and verdicts to the response.")

    history: tuple[Turn, ...] = Field(
        default=(),
        strict=False,  # JSON has lists only
        max_length=HISTORY_MAX_TURNS,
        description="The earlier turns, oldest first, 8000 characters in all; they help to read a follow-up, and are "
        "never a source.",
    )

    @field_validator("history")
    @classmethod
    def _bound(cls, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        if sum(len(turn.content) for turn in turns) > HISTORY_MAX_CHARS:
            raise ValueError(f"must have at most {HISTORY_MAX_CHARS} characters in all")
        return turns


class SearchRequest(_Question):
    """A question whose passages are wanted, without an answer."""

    top_k: int = Field(
        default=10, ge=1, le=SEARCH_TOP_K_MAX, description="Most passages in the response, the best of those reranked."
    )


class SourceRequest(BaseModel):
    """One chunk that is wanted, by its id."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    chunk_id: str = Field(
        min_length=1,
        max_length=CHUNK_ID_MAX_CHARS,
        description="The `chunk_id` of a search result or of a citation.",
        examples=["demo:doc_hr_2026:v1:00003"],
    )
