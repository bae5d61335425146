"""Write an answer as a UI message stream, which the AI SDK of Vercel shows as it comes."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from starlette.datastructures import Headers

from rag.api.sse import RawHeaders, encode_data
from schemas.errors import ErrorBody, ErrorDetail
from schemas.events import CitationEvent, DoneEvent, ErrorEvent, Event, MetaEvent, TokenEvent
from schemas.response import FinishReason
from schemas.ui_stream import (
    UI_STREAM_HEADER,
    UI_STREAM_VERSION,
    DocumentPart,
    EndMetadata,
    ErrorPart,
    FinishPart,
    SourceMetadata,
    SourcePart,
    StartMetadata,
    StartPart,
    TextDeltaPart,
    TextEndPart,
    TextStartPart,
    UiFinishReason,
    UiPart,
)

UI_STREAM_HEADERS: Final[RawHeaders] = ((UI_STREAM_HEADER.encode(), UI_STREAM_VERSION.encode()),)
_TEXT_ID: Final = "answer"  # there is one text
_DONE: Final = encode_data("[DONE]")
_FINISH_REASONS: Final[Mapping[FinishReason, UiFinishReason]] = MappingProxyType(
    {"stop": "stop", "no_answer": "stop", "length": "length"}
)


def wants_ui_stream(headers: Headers) -> bool:
    """Return whether the request names the version of the protocol that is spoken here; others are ignored."""
    return headers.get(UI_STREAM_HEADER, "").strip().lower() == UI_STREAM_VERSION


class UiEncoder:
    """Encodes the events of one answer as parts: start, sources and text, finish, `[DONE]`; or `error`, and no more."""

    def __init__(self) -> None:
        self._has_text = False

    def __call__(self, event: Event) -> bytes:
        parts = b"".join(encode_data(part.model_dump_json()) for part in self._to_parts(event))
        return parts + _DONE if isinstance(event, DoneEvent) else parts

    def _to_parts(self, event: Event) -> list[UiPart]:
        match event:
            case MetaEvent():
                said = StartMetadata(trace_id=event.trace_id, model_version=event.model_version)
                return [StartPart(message_id=event.trace_id, message_metadata=said)]
            case CitationEvent(citation=cited):
                metadata = SourceMetadata(rag=cited)
                name, title = cited.source_id, cited.title
                return [
                    SourcePart(source_id=name, url=cited.url, title=title, provider_metadata=metadata),
                    DocumentPart(source_id=name, title=title, provider_metadata=metadata),
                ]
            case TokenEvent():
                delta = TextDeltaPart(id=_TEXT_ID, delta=event.text)
                start = [] if self._has_text else [TextStartPart(id=_TEXT_ID)]
                self._has_text = True
                return [*start, delta]
            case DoneEvent():
                return self._end(event)
            case ErrorEvent():
                body = ErrorBody(error=ErrorDetail(**event.model_dump(exclude={"event"})))
                return [ErrorPart(error_text=body.model_dump_json(exclude={"error": {"fields"}}))]

    def _end(self, event: DoneEvent) -> list[UiPart]:
        said = EndMetadata(
            finish_reason=event.finish_reason, latency_ms=event.latency_ms, usage=event.usage, trace=event.trace
        )
        finish = FinishPart(finish_reason=_FINISH_REASONS[event.finish_reason], message_metadata=said)
        return [TextEndPart(id=_TEXT_ID), finish] if self._has_text else [finish]
