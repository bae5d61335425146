"""Trace queries, their stages and the calls between our services, for an OpenTelemetry collector.

Tracing is off by default: without a configured collector the library is not imported and no query makes a span. The
standard OTEL_ variables set the collector, the queue size and the service name. We read only the collector's address;
the library reads the rest (in `recording`).
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rag.observability.tracing.recording import Recorder, Span

Attribute = str | int | tuple[str, ...]

# Headers for calls made in this context (a W3C `traceparent`), so that their spans join the query's trace.
# Source: https://www.w3.org/TR/trace-context/
TRACE_HEADERS: Final[ContextVar[Mapping[str, str]]] = ContextVar("trace_headers", default=MappingProxyType({}))


def find_collector(environ: Mapping[str, str]) -> str | None:
    """Return the URL that takes spans by OTLP over HTTP; None if none is configured or tracing is disabled.

    Source: OpenTelemetry specification, OTLP exporter configuration: `/v1/traces` is appended to the endpoint that
    serves all signals, and to no other.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    of_all = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    return environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or (of_all and f"{of_all.rstrip('/')}/v1/traces") or None


class Tracer:
    """Starts the spans of one service while it is running; without a collector it makes none."""

    def __init__(self, service: str, collector: str | None) -> None:
        self._service = service
        self._collector = collector
        self._recorder: Recorder | None = None

    @property
    def is_on(self) -> bool:
        """Whether spans are made while it is running."""
        return self._collector is not None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Record spans during the block, then flush them; an unreachable collector delays the exit by at most 2 s."""
        if self._collector is None:
            yield
            return
        from rag.observability.tracing.recording import Recorder, open_exporter  # noqa: PLC0415  # a quarter of a second

        self._recorder = recorder = Recorder(self._service, open_exporter(self._collector))
        try:
            yield
        finally:
            self._recorder = None
            recorder.close()

    def begin(self, name: str, *, trace_id: str, headers: Iterable[tuple[bytes, bytes]]) -> "Span | None":
        """Start the span of a request with these headers; end it in the same context. None if tracing is off."""
        return self._recorder.begin(name, trace_id=trace_id, headers=headers) if self._recorder else None

    @contextmanager
    def calling(self, name: str, attributes: Mapping[str, Attribute]) -> Iterator[None]:
        """Record the block as a call to another service; `attributes` are read at its end.

        The span is below the one that `TRACE_HEADERS` name, and is named by them in the block; without one, or if
        tracing is off, there is none.
        """
        above = TRACE_HEADERS.get()
        if self._recorder is None or not above:
            yield
            return
        with self._recorder.calling(name, attributes, above=above):
            yield


UNTRACED: Final = Tracer("", None)
