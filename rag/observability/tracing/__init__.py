"""Spans of queries, of their stages and of the calls between our services, for an OpenTelemetry collector.

Off by default: where no collector is named, nothing of the library is imported and nothing is made for a query. The
standard OTEL_ variables say where the spans go, how many are kept and what the service is called; all but the address
are read by the library itself, in `recording`.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rag.observability.tracing.recording import Recorder, Span

# What a call carries that is made in this context, so that its spans join those of the query: a W3C `traceparent`.
# Source: https://www.w3.org/TR/trace-context/
TRACE_HEADERS: Final[ContextVar[Mapping[str, str]]] = ContextVar("trace_headers", default=MappingProxyType({}))


def find_collector(environ: Mapping[str, str]) -> str | None:
    """The URL that takes spans by OTLP over HTTP; None where none is named, or tracing is switched off.

    Source: OpenTelemetry specification, OTLP exporter configuration: of the address of all signals the path is ours.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    of_all = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    return environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or (of_all and f"{of_all.rstrip('/')}/v1/traces") or None


class Tracer:
    """Begins the spans of one service while it is running; without a collector it never makes one."""

    def __init__(self, service: str, collector: str | None) -> None:
        self._service = service
        self._collector = collector
        self._recorder: Recorder | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """At the end of the block what is left is sent, within a bound; a collector that is down costs that time."""
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
        """The span of a request with these headers, to be ended in the same context; None where none is made."""
        return self._recorder.begin(name, trace_id=trace_id, headers=headers) if self._recorder else None


UNTRACED: Final = Tracer("", None)
