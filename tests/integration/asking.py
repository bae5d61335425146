"""Asks a server over real HTTP, and checks the promises that every reply must keep."""

import json
import re
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from load.server import Server
from schemas.errors import ERROR_TABLE, ErrorCode
from schemas.response import Citation, QueryResponse
from tests.asgi import SentEvent, parse_event, parse_events

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what BentoML warns of while it is imported is not ours to mend
    from _bentoml_impl.client import SyncHTTPClient

Found = TypeVar("Found")

# Above every deadline of the servers: it is the server that gives up.
CLIENT_TIMEOUT_S: Final = 150.0
POLL_S: Final = 0.05
_MARKER: Final = re.compile(r"\[S(\d+)\]")


def make_trace_id() -> str:
    return f"test-{uuid.uuid4().hex}"


@dataclass(frozen=True, slots=True)
class Rag:
    """One server, and what a client can do with it."""

    http: httpx.Client
    log_path: Path

    def ask(
        self, question: str, *, key: str | None = None, trace_id: str | None = None, **fields: Any
    ) -> httpx.Response:
        """`POST /query`; fields are those of the contract."""
        return self.http.post("/query", json={"question": question, **fields}, headers=_headers(key, trace_id))

    def answer(self, question: str, **fields: Any) -> QueryResponse:
        """The body of an answer that must be one."""
        return read_answer(self.ask(question, **fields))

    def stream(self, question: str, *, trace_id: str | None = None, **fields: Any) -> list[SentEvent]:
        """All events of `POST /query/stream`."""
        response = self.http.post(
            "/query/stream", json={"question": question, **fields}, headers=_headers(None, trace_id)
        )
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        return parse_events(response.text)

    @contextmanager
    def open_stream(self, question: str, trace_id: str) -> Iterator[Iterator[SentEvent]]:
        """The events as they come; leaving the block closes the connection."""
        body, headers = {"question": question}, _headers(None, trace_id)
        with self.http.stream("POST", "/query/stream", json=body, headers=headers) as response:
            assert response.status_code == 200
            yield _read_events(response)

    def log_line(self, trace_id: str) -> dict[str, Any]:
        """The query line of this trace id; it is written when the request has ended."""
        return wait_for(lambda: self._find_log_line(trace_id), within_s=10)

    def _find_log_line(self, trace_id: str) -> dict[str, Any] | None:
        for line in self.log_path.read_text("utf-8", "replace").splitlines():
            if line.startswith('{"event": "query_') and trace_id in line:
                found: dict[str, Any] = json.loads(line)
                return found
        return None


@contextmanager
def bentoml_client(server: Server) -> Iterator[SyncHTTPClient]:
    """BentoML's own client."""
    with SyncHTTPClient(server.url, timeout=CLIENT_TIMEOUT_S) as client:
        try:
            yield client
        finally:
            client._temp_dir.cleanup()  # it leaves its folder to the garbage collector, which warns of that


def wait_for(look: Callable[[], Found | None], *, within_s: float) -> Found:
    """What `look` finds, which may take a while."""
    give_up_at = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < give_up_at, f"nothing within {within_s} s"
        time.sleep(POLL_S)
    return found


def read_answer(response: httpx.Response) -> QueryResponse:
    """An answer that keeps the promises of the contract on markers, citations and times."""
    assert response.status_code == 200, response.text
    answer = QueryResponse.model_validate_json(response.content)
    assert answer.trace_id == response.headers["x-trace-id"]
    assert cited_in_order(answer.answer) == [citation.source_id for citation in answer.citations]
    assert (answer.finish_reason == "no_answer") == (not answer.citations)
    assert answer.latency_ms.total >= max(answer.latency_ms.model_dump().values())
    return answer


def cited_in_order(text: str) -> list[str]:
    """The ids of the markers in the order in which each stands first; they must have no gaps."""
    ids = list(dict.fromkeys(f"S{number}" for number in _MARKER.findall(text)))
    assert ids == [f"S{number}" for number in range(1, len(ids) + 1)]
    return ids


def read_stream(events: Sequence[SentEvent]) -> tuple[str, list[Citation]]:
    """The text and the citations of a stream that keeps the promises of the contract on its events."""
    names = [event.name for event in events]
    assert [event.id for event in events] == list(range(len(events)))
    assert names[0] == "meta"
    assert names.count("meta") == 1
    assert names[-1] in ("done", "error")
    assert set(names[1:-1]) <= {"token", "citation"}
    text, citations = "", []
    for event in events:
        if event.name == "citation":
            citations.append(Citation.model_validate(event.data))
        elif event.name == "token":
            text += event.data["text"]
            assert len(cited_in_order(text)) <= len(citations), "a citation comes before the token with its marker"
    assert cited_in_order(text) == [citation.source_id for citation in citations]
    return text, citations


def assert_error(response: httpx.Response, code: ErrorCode) -> dict[str, Any]:
    """Status, content type, shape and trace id of an error, all at once: they are one promise."""
    spec = ERROR_TABLE[code]
    assert response.status_code == spec.status, response.text
    assert response.headers["content-type"] == "application/json"
    error: dict[str, Any] = response.json()["error"]
    assert error.keys() - {"fields"} == {"code", "message", "trace_id", "retryable"}
    assert (error["code"], error["retryable"]) == (code, spec.retryable)
    assert error["trace_id"] == response.headers["x-trace-id"]
    if spec.status in (429, 503):
        assert re.fullmatch(r"[1-9]\d*", response.headers["retry-after"])
    return error


def _read_events(response: httpx.Response) -> Iterator[SentEvent]:
    buffer = ""
    for piece in response.iter_text():
        buffer += piece
        *blocks, buffer = buffer.split("\n\n")
        yield from (parse_event(block) for block in blocks if not block.startswith(":"))


def _headers(key: str | None, trace_id: str | None) -> dict[str, str]:
    return {name: value for name, value in (("x-api-key", key), ("x-trace-id", trace_id)) if value}
