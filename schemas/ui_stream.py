"""Define the parts of a UI message stream, as the AI SDK of Vercel reads an answer.

Source: AI SDK, "Stream Protocols", "Data Stream Protocol"; its `uiMessageChunkSchema`. Other parts, other fields and
other versions are not sent.
"""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from schemas.response import Citation, FinishReason, Latency, Trace, Usage

UI_STREAM_HEADER: Final = "x-vercel-ai-ui-message-stream"
UI_STREAM_VERSION: Final = "v1"

# The SDK has no word for `no_answer`.
UiFinishReason = Literal["stop", "length"]


def _is_none(value: object) -> bool:
    return value is None


class _Metadata(BaseModel):
    model_config = ConfigDict(frozen=True, protected_namespaces=())


class _Part(BaseModel):
    # The names of the SDK, which is written in JavaScript.
    model_config = ConfigDict(
        frozen=True, protected_namespaces=(), alias_generator=to_camel, serialize_by_alias=True, validate_by_name=True
    )


class StartMetadata(_Metadata):
    """What `meta` says."""

    trace_id: str
    model_version: str


class EndMetadata(_Metadata):
    """What `done` says. The SDK merges it into the message's metadata, beside what the start said."""

    finish_reason: FinishReason
    latency_ms: Latency
    usage: Usage
    trace: Trace | None = Field(default=None, exclude_if=_is_none)


class SourceMetadata(_Metadata):
    """Under the name of the provider, as the SDK wants it."""

    rag: Citation


class StartPart(_Part):
    type: Literal["start"] = "start"
    message_id: str
    message_metadata: StartMetadata


class SourcePart(_Part):
    """One source of the answer, before the text with its marker."""

    type: Literal["source-url"] = "source-url"
    source_id: str
    url: str
    title: str
    provider_metadata: SourceMetadata


class DocumentPart(_Part):
    """The same source as a document, for pages that show those: after its `source-url`, with the same id."""

    type: Literal["source-document"] = "source-document"
    source_id: str
    media_type: Literal["text/html"] = "text/html"  # of what the citation's `url` shows
    title: str
    provider_metadata: SourceMetadata


class TextStartPart(_Part):
    type: Literal["text-start"] = "text-start"
    id: str


class TextDeltaPart(_Part):
    type: Literal["text-delta"] = "text-delta"
    id: str
    delta: str


class TextEndPart(_Part):
    type: Literal["text-end"] = "text-end"
    id: str


class FinishPart(_Part):
    type: Literal["finish"] = "finish"
    finish_reason: UiFinishReason
    message_metadata: EndMetadata


class ErrorPart(_Part):
    """A late failure: `errorText` is the JSON of an error body, because the SDK makes the same of an early one."""

    type: Literal["error"] = "error"
    error_text: str


UiPart = StartPart | SourcePart | DocumentPart | TextStartPart | TextDeltaPart | TextEndPart | FinishPart | ErrorPart
