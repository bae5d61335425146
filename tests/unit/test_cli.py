"""The command `rag`: what `ask` prints, how it ends, and that the other commands get their arguments."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result

from load.processes import find_free_port
from rag.cli import main

CITATION = {
    "source_id": "S1",
    "document_id": "hr",
    "title": "HR Policy",
    "page_start": 3,
    "page_end": 3,
    "quote": "12 days.",
}


def event(name: str, **data: object) -> str:
    return f"id: 0\nevent: {name}\ndata: {json.dumps(data)}\n\n"


class Service:
    """A service on loopback that answers each request in the same way, and remembers the last one."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.status = 200
        self.reply = ""
        self.headers: dict[str, str] = {}
        self.body: dict[str, Any] = {}

    def ask(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["ask", "How many?", "--url", self.url, *arguments])


@pytest.fixture
def service() -> Iterator[Service]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            known.headers = {name.lower(): value for name, value in self.headers.items()}
            known.body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(known.status)
            self.end_headers()
            self.wfile.write(known.reply.encode())

        def log_message(self, *_: object) -> None:
            """Keep the test's output quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        known = Service(f"http://127.0.0.1:{server.server_port}")
        Thread(target=server.serve_forever, daemon=True).start()
        yield known
        server.shutdown()


def test_the_answer_is_followed_by_its_sources(service: Service) -> None:
    """First what was asked for, then where it stands."""
    service.reply = (
        event("meta")
        + event("citation", **CITATION)
        + event("token", text="12 days ")
        + event("token", text="[S1].")
        + event("done")
    )

    result = service.ask()

    assert result.stdout == "12 days [S1].\n\n[S1] HR Policy, page 3 (hr)\n    12 days.\n"
    assert result.exit_code == 0


def test_the_question_goes_out_with_the_key(service: Service) -> None:
    """Only what was given is sent: the service has its own defaults."""
    service.reply = event("done")

    service.ask("--tenant", "acme", "--api-key", "k", "--top-k", "3")

    assert service.body == {"question": "How many?", "tenant_id": "acme", "top_k": 3}
    assert service.headers["x-api-key"] == "k"


@pytest.mark.parametrize("command", ["ask", "search"])
def test_filters_go_out_as_the_contract_has_them(service: Service, command: str) -> None:
    """Values of one key are alternatives; nothing is split but at the first `=`."""
    service.reply = event("done") if command == "ask" else '{"results": []}'

    options = ["--document", "hr", "--document", "it", "--metadata", "year=2025", "--metadata", "year=2026"]
    arguments = [command, "How many?", "--url", service.url, *options, "--metadata", "place=a=b, c"]
    result = CliRunner().invoke(main, arguments)

    assert result.exit_code == 0, result.output
    assert service.body["filters"] == {
        "document_ids": ["hr", "it"],
        "metadata": {"year": ["2025", "2026"], "place": ["a=b, c"]},
    }


@pytest.mark.parametrize("pair", ["year", "year=", "=2026"])
def test_metadata_without_key_or_value_is_refused(service: Service, pair: str) -> None:
    """Before anything is sent: a filter that is not meant would find nothing."""
    result = service.ask("--metadata", pair)

    assert result.exit_code == 2
    assert "is not key=value" in result.stderr
    assert service.body == {}


def test_a_printed_page_is_shown_beside_the_number(service: Service) -> None:
    """Where the service names one."""
    found = {**CITATION, "chunk_id": "demo:hr:v1:00003", "text": "12 days.", "relevance": 0.8, "page_label": "iv"}
    service.reply = json.dumps({"results": [found]})

    result = CliRunner().invoke(main, ["search", "How many?", "--url", service.url])

    assert result.stdout == "0.800 HR Policy, page 3 (printed iv) (hr) demo:hr:v1:00003\n    12 days.\n"


def test_a_search_prints_passages(service: Service) -> None:
    """With what is needed to open them, and all of their text."""
    found = {**CITATION, "chunk_id": "demo:hr:v1:00003", "text": "Leave\n\n12 days.", "relevance": 0.8471}
    service.reply = json.dumps({"results": [found, {**found, "page_end": 4, "text": "6 days.", "relevance": None}]})

    result = CliRunner().invoke(main, ["search", "How many?", "--url", service.url, "--top-k", "2"])

    assert service.body == {"question": "How many?", "tenant_id": "demo", "top_k": 2}
    assert result.stdout == (
        "0.847 HR Policy, page 3 (hr) demo:hr:v1:00003\n    Leave\n\n    12 days.\n"
        "\nHR Policy, pages 3-4 (hr) demo:hr:v1:00003\n    6 days.\n"
    )


def test_a_refusal_is_told_in_the_services_words(service: Service) -> None:
    """With the fields that are wrong, and the id under which the log has it."""
    service.status = 422
    error = {
        "code": "VALIDATION_ERROR",
        "message": "No.",
        "trace_id": "tr_1",
        "fields": [{"path": "top_k", "reason": "is 0"}],
    }
    service.reply = json.dumps({"error": error})

    result = service.ask()

    assert (result.stdout, result.exit_code) == ("", 1)
    assert result.stderr == "rag: VALIDATION_ERROR: No.; top_k is 0 (trace id tr_1)\n"


@pytest.mark.parametrize("reply", ["<html>", "[]", '{"error": "no"}', "null"])
def test_another_server_is_recognised(service: Service, reply: str) -> None:
    """A proxy's page is not printed."""
    service.status, service.reply = 502, reply

    result = service.ask()

    assert result.exit_code == 1
    assert "answered 502, and not as this service does" in result.stderr


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (event("error", code="STREAM_TIMEOUT", message="Too late.", trace_id="tr_1"), "STREAM_TIMEOUT: Too late."),
        ("", "broke off"),
    ],
)
def test_a_failure_after_the_first_words_is_a_failure(service: Service, last: str, told: str) -> None:
    """What has been printed stays; the exit status says that it is not all."""
    service.reply = event("meta") + event("token", text="12 ") + last

    result = service.ask()

    assert (result.stdout, result.exit_code) == ("12 \n", 1)
    assert told in result.stderr


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}", "nonsense", "http://"])
def test_a_service_that_is_not_there_is_told_in_one_line(url: str) -> None:
    """No traceback."""
    url = url.format(port=find_free_port())

    result = CliRunner().invoke(main, ["ask", "How many?", "--url", url])

    assert result.exit_code == 1
    assert result.stderr.startswith("rag: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["ingest", "add", "--help"], "usage: rag ingest add"),
        (["preflight", "--help"], "usage: rag preflight"),
        (["new-key", "--help"], "usage: rag new-key"),
    ],
)
def test_the_other_commands_explain_themselves(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under the name by which they were called."""
    with pytest.raises(SystemExit) as end:
        main(arguments, standalone_mode=False)

    assert end.value.code == 0
    assert told in capsys.readouterr().out


def test_wrong_arguments_are_refused_by_the_command_that_they_are_for() -> None:
    """With its own exit status."""
    result = CliRunner().invoke(main, ["ingest", "list"])

    assert result.exit_code == 2
