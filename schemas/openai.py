"""Define the bodies of OpenAI's chat completions as this service takes and sends them.

Unknown fields are ignored, because clients send dozens that mean nothing here; what would change the meaning of the
answer and is not served (several choices, tools, images) is refused.
Source: OpenAI API reference, "Chat Completions" (create, streaming).
"""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from schemas.errors import ErrorDetail
from schemas.response import Citation

ChatFinishReason = Literal["stop", "length"]
ChatErrorType = Literal[
    "invalid_request_error", "authentication_error", "permission_error", "rate_limit_error", "server_error"
]
_TEXT_PART: Final = "text"
# A refusal in an assistant's earlier turn is no content.
_REFUSAL_PART: Final = "refusal"


def _join_parts(value: object) -> object:
    """Join a content given as a list of parts of text; anything else is left to the field's own type."""
    if not isinstance(value, list):
        return value
    return "\n".join(text for text in map(_read_part, value) if text)


def _read_part(part: object) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == _REFUSAL_PART:
        return ""
    text = part.get("text") if isinstance(part, dict) and kind == _TEXT_PART else None
    if not isinstance(text, str):
        raise PydanticCustomError("text_parts", "Every part must be of type text and have a text")
    return text


def _refuse_any(value: object) -> object:
    if value is not None and value != []:
        raise PydanticCustomError("no_tools", "This service calls no tools")
    return None


_CONTENT_SCHEMA: Final = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "array",
            "items": {
                "anyOf": [
                    {
                        "type": "object",
                        "properties": {"type": {"const": _TEXT_PART}, "text": {"type": "string"}},
                        "required": ["type", "text"],
                    },
                    {"type": "object", "properties": {"type": {"const": _REFUSAL_PART}}, "required": ["type"]},
                ]
            },
        },
        {"type": "null"},
    ]
}
_Content = Annotated[str | None, BeforeValidator(_join_parts), WithJsonSchema(_CONTENT_SCHEMA)]
_NoTools = Annotated[
    None,
    BeforeValidator(_refuse_any),
    WithJsonSchema({"anyOf": [{"type": "array", "maxItems": 0}, {"type": "null"}]}),
]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, protected_namespaces=())


class ChatMessage(_Asked):
    """One turn; `content` is text, or a list of parts of type text, which are joined by line breaks."""

    role: Literal["system", "developer", "user", "assistant"]
    content: _Content = None


class StreamOptions(_Asked):
    include_usage: bool | None = None


class ChatRequest(_Asked):
    """A question in OpenAI's form: the last message by the user; the turns before it are the history."""

    model: str = Field(description="`rag` for the default tenant, `rag:<tenant>` for another one.", examples=["rag"])
    messages: list[ChatMessage] = Field(
        min_length=1,
        description="System and developer messages are not instructions here: they are left out.",
        examples=[[{"role": "user", "content": "How many days of annual leave do full-time staff have?"}]],
    )
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1, description="Bound of the generator's draft, at least 16.")
    max_completion_tokens: int | None = Field(
        default=None, ge=1, description="The newer name of `max_tokens`; the smaller of both holds."
    )
    n: int | None = Field(default=None, ge=1, le=1, description="There is one choice.")
    tools: _NoTools = Field(default=None, description="This service calls no tools.")
    functions: _NoTools = Field(default=None, description="The old name of `tools`.")

    @property
    def includes_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)


def _is_none(value: object) -> bool:
    return value is None


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, protected_namespaces=())


class ChatUsage(_Sent):
    """Tokens as the generator counts them; 0 for an answer by quotation."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class UrlCitation(_Sent):
    """A source of the answer, and where its marker stands: `content[start_index:end_index]`, in code points."""

    url: str
    title: str
    start_index: int = Field(ge=0)
    end_index: int = Field(ge=0)


class Annotation(_Sent):
    type: Literal["url_citation"] = "url_citation"
    url_citation: UrlCitation


class NumberedAnnotation(Annotation):
    """An annotation of a stream; `index` is its place among all: OpenAI's own client puts them together by it."""

    index: int = Field(ge=0)


class ChatAnswer(_Sent):
    """The message of a whole answer; its annotations are one for each marker, in their order."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None
    annotations: list[Annotation]


class ChatChoice(_Sent):
    index: Literal[0] = 0
    message: ChatAnswer
    logprobs: None
    finish_reason: ChatFinishReason


class ChatCompletion(_Sent):
    """The whole answer; `citations` and `trace_id` are as in `POST /query`, `system_fingerprint` is `model_version`."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice] = Field(min_length=1, max_length=1)
    usage: ChatUsage
    citations: list[Citation]
    trace_id: str


class ChatDelta(_Sent):
    """What a chunk adds to the answer; annotations come after the text that holds their markers."""

    role: Literal["assistant"] | None = Field(default=None, exclude_if=_is_none)
    content: str | None = Field(default=None, exclude_if=_is_none)
    annotations: list[NumberedAnnotation] | None = Field(default=None, exclude_if=_is_none)


class ChunkChoice(_Sent):
    index: Literal[0] = 0
    delta: ChatDelta
    logprobs: None
    finish_reason: ChatFinishReason | None


class ChatChunk(_Sent):
    """One chunk of a streamed answer. The one that says how it finished has all citations and the trace id.

    The usage comes alone, in a chunk without choices after that one, where it was asked for.
    """

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChunkChoice] = Field(max_length=1)
    usage: ChatUsage | None = Field(default=None, exclude_if=_is_none)
    citations: list[Citation] | None = Field(default=None, exclude_if=_is_none)
    trace_id: str | None = Field(default=None, exclude_if=_is_none)


class ChatModel(_Sent):
    """A tenant's documents as a model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["rag"] = "rag"


class ChatModels(_Sent):
    object: Literal["list"] = "list"
    data: list[ChatModel]


class ChatErrorDetail(ErrorDetail):
    """An error of the catalogue with what OpenAI's clients read beside it; `param` names the field at fault."""

    type: ChatErrorType
    param: str | None


class ChatErrorBody(BaseModel):
    """The body of every response of OpenAI's routes with a status of 400 or more, and of a stream's late failure."""

    model_config = ConfigDict(frozen=True)

    error: ChatErrorDetail
