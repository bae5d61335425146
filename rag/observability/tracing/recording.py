"""Record and export spans with OpenTelemetry's SDK, which only this module imports.

The SDK keeps spans in a bounded queue. Like the query's log line, a span never holds a question, an answer or the
message of an exception.
"""

import logging
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from rag.observability.tracing import TRACE_HEADERS, Attribute

# The last two stages of a long answer alternate sentence by sentence; later children get no span, and only the log line
# has the sums.
CHILDREN_MAX: Final = 64
# The SDK's own limit at shutdown is 30 s, which is as long as Kubernetes waits for a pod.
FLUSH_TIMEOUT_S: Final = 2.0
_OUR_TRACE_ID: Final = re.compile(r"tr_([0-9a-f]{32})")
_W3C: Final = TraceContextTextMapPropagator()

logger = logging.getLogger(__name__)


class Recorder:
    """Makes the spans of one service; a separate thread hands them to the exporter.

    Spans that the exporter cannot send in time are dropped: a query never waits for it.
    """

    def __init__(self, service: str, exporter: SpanExporter) -> None:
        self._ids = _TraceIds()
        self._provider = TracerProvider(
            # A service name from the environment overrides ours.
            resource=Resource.create().merge(Resource({SERVICE_NAME: service})).merge(OTELResourceDetector().detect()),
            id_generator=self._ids,
            shutdown_on_exit=False,  # it would wait for the SDK's own 30 s
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("rag")

    def begin(self, name: str, *, trace_id: str, headers: Iterable[tuple[bytes, bytes]]) -> "Span":
        """Start a span as a child of the one named in the headers; without one, start a new trace.

        If we generated the request's trace id, the new trace has the same id, so that one leads to the other.
        """
        ours = _OUR_TRACE_ID.fullmatch(trace_id)
        self._ids.next_trace_id = int(ours[1], 16) if ours else 0
        above = _W3C.extract({name.decode("latin-1"): value.decode("latin-1") for name, value in headers})
        started = self._tracer.start_span(name, above, SpanKind.SERVER, {"rag.trace_id": trace_id})
        return Span(self._tracer, started)

    @contextmanager
    def calling(self, name: str, attributes: Mapping[str, Attribute], *, above: Mapping[str, str]) -> Iterator[None]:
        """Record the block as a call, below the span of the W3C headers `above`; calls inside the block carry it.

        An exception sets only its type; a call that is given up is no failure.
        """
        context = _W3C.extract(above)
        span = self._tracer.start_span(name, context, SpanKind.CLIENT)
        token = TRACE_HEADERS.set(_to_headers(trace.set_span_in_context(span, context)))
        try:
            yield
        except Exception as error:
            kind = type(error).__qualname__
            span.set_attribute("error.type", kind)
            span.set_status(StatusCode.ERROR, kind)
            raise
        finally:
            TRACE_HEADERS.reset(token)
            span.set_attributes(attributes)
            span.end()

    def close(self) -> None:
        """Send the remaining spans, for at most two seconds."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(FLUSH_TIMEOUT_S)


class Span:
    """The span of one request; calls made in its context before its end carry it in `TRACE_HEADERS`."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span
        self._context = trace.set_span_in_context(span, Context())
        self._token = TRACE_HEADERS.set(_to_headers(self._context))
        self._children_left = CHILDREN_MAX

    @contextmanager
    def child(self, name: str) -> Iterator[None]:
        """Record a child span of the block, carried by calls inside it; an exception sets only its type as status."""
        self._children_left -= 1
        if self._children_left < 0:
            yield
            return
        span = self._tracer.start_span(name, self._context)
        token = TRACE_HEADERS.set(_to_headers(trace.set_span_in_context(span, self._context)))
        try:
            yield
        except Exception as error:
            span.set_status(StatusCode.ERROR, type(error).__qualname__)
            raise
        finally:
            TRACE_HEADERS.reset(token)
            span.end()

    def end(self, attributes: Mapping[str, str | int | None], *, failure: str | None) -> None:
        """End the span; attributes that are None are left out. `failure` describes an error on our side, if any."""
        TRACE_HEADERS.reset(self._token)
        self._span.set_attributes({name: value for name, value in attributes.items() if value is not None})
        if failure is not None:
            self._span.set_status(StatusCode.ERROR, failure)
        self._span.end()


class QuietExporter(SpanExporter):
    """Logs once when spans are lost and once when export works again; the SDK would log every failed batch."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        was_failing, self._is_failing = self._is_failing, result is not SpanExportResult.SUCCESS
        if self._is_failing and not was_failing:
            logger.warning("spans_lost")
        elif was_failing and not self._is_failing:
            logger.info("spans_sent_again")
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _TraceIds(RandomIdGenerator):
    """Generates random ids, except if `next_trace_id` is set (not 0)."""

    next_trace_id = 0

    def generate_trace_id(self) -> int:
        return self.next_trace_id or super().generate_trace_id()

    def is_trace_id_random(self) -> bool:
        return False  # a client may have chosen it


def open_exporter(collector: str) -> SpanExporter:
    """Open an exporter to the collector's URL; the SDK reads headers, certificates and timeout from OTEL_ variables."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # `QuietExporter` logs failures instead
    return QuietExporter(OTLPSpanExporter(endpoint=collector))


def _to_headers(context: Context) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    _W3C.inject(headers, context)
    return headers
