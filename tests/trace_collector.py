"""An OpenTelemetry collector that records OTLP over HTTP, decoded into what the tests check."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

# How often the server looks whether it is to end; its own default is half a second.
_POLL_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """A span as it arrived; ids are in hex, the parent's is empty where there is none."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, str | int | tuple[str, ...]]
    is_call: bool = False
    failure: str | None = None


class TraceCollector:
    """Takes spans at `url`, the address of all signals."""

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        self.raw = b""
        self.url = ""

    @contextmanager
    def running(self) -> Iterator["TraceCollector"]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                is_known = self.path == "/v1/traces"
                if is_known:
                    collector.take(body)
                self.send_response(200 if is_known else 404)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing: stderr belongs to the tests."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,))
            thread.start()
            self.url = f"http://127.0.0.1:{server.server_port}"
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()

    def take(self, body: bytes) -> None:
        """Keeps the spans of one request."""
        self.raw += body
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _read(of_resource.resource.attributes)["service.name"]
            for of_scope in of_resource.scope_spans:
                self.spans += [
                    ReceivedSpan(
                        str(service),
                        span.name,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        _read(span.attributes),
                        span.kind == Span.SPAN_KIND_CLIENT,
                        span.status.message if span.status.code == Status.STATUS_CODE_ERROR else None,
                    )
                    for span in of_scope.spans
                ]

    def of(self, trace_id: str) -> list[ReceivedSpan]:
        """The spans of a query by the contract's trace id: the query's own, then those below it, as they came."""
        spans = list(self.spans)
        for query in spans:
            if query.attributes.get("rag.trace_id") == trace_id and "rag.finish_reason" in query.attributes:
                return [query, *(each for each in spans if each.trace_id == query.trace_id and each is not query)]
        return []


def _read(attributes: Any) -> dict[str, str | int | tuple[str, ...]]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: Any) -> str | int | tuple[str, ...]:
    if value.HasField("array_value"):
        return tuple(each.string_value for each in value.array_value.values)
    return str(value.string_value) or int(value.int_value)
