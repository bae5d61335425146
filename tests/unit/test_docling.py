"""PDF by a docling-serve: its Markdown becomes the document, and whatever goes wrong refuses the file by name."""

import email
import email.policy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from fpdf import FPDF

from rag.clients.docling_client import DoclingClient
from rag.config.environment import load_settings
from rag.errors import ParseError
from rag.ingestion.docling_child import choose_readers
from rag.ingestion.reading import open_file_reader
from rag.parsing import READERS
from rag.types import Document

FORM = {  # the fields of the documented form that are used, and what they may be
    "from_formats": {"pdf"},
    "to_formats": {"md"},
    "image_export_mode": {"embedded", "placeholder", "referenced"},
    "abort_on_error": {"true", "false"},
}

Reply = tuple[int, bytes]


def make_pdf(pages: int = 2) -> bytes:
    pdf = FPDF()
    for _ in range(pages):
        pdf.add_page()
    return bytes(pdf.output())


def make_reply(markdown: str | None, status: str = "success", *errors: str) -> Reply:
    """Return a reply as docs/usage.md of docling-serve has it."""
    document = {"filename": "document.pdf", "md_content": markdown, "json_content": None, "html_content": None}
    items = [{"component_type": "pipeline", "module_name": "m", "error_message": error} for error in errors]
    body = {"document": document, "status": status, "errors": items, "processing_time": 0.1, "timings": {}}
    return 200, json.dumps(body).encode()


def read_form(content_type: str, body: bytes) -> tuple[dict[str, str], bytes]:
    """Return the fields of a multipart form, and the one file."""
    message = email.message_from_bytes(
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body, policy=email.policy.HTTP
    )
    fields: dict[str, str] = {}
    files: list[bytes] = []
    for part in message.iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        if name == "files":
            files.append(payload)
        else:
            fields[name] = payload.decode()
    assert len(files) == 1
    return fields, files[0]


@contextmanager
def serve(answer: Callable[[dict[str, str], bytes], Reply]) -> Iterator[str]:
    """Yield the URL of a server with the one route."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fields, file = read_form(self.headers["Content-Type"], body)
            wrong = [name for name, known in FORM.items() if fields.get(name) not in known]
            status, reply = answer(fields, file)
            if self.path != "/v1/convert/file" or wrong:
                status, reply = 422, json.dumps({"detail": wrong or "not found"}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def read_by(answer: Callable[[dict[str, str], bytes], Reply], folder: Path, data: bytes) -> Document:
    path = folder / "a.pdf"
    path.write_bytes(data)
    with serve(answer) as url, open_file_reader(url) as reader:
        return reader.read(path)


def reason_of(reply: Reply, folder: Path) -> str:
    with pytest.raises(ParseError) as caught:
        read_by(lambda *_: reply, folder, make_pdf())
    return str(caught.value)


def test_the_markdown_becomes_the_document_with_its_pages(tmp_path: Path) -> None:
    """What the server gets is the file, under a name that says nothing."""
    data = make_pdf()
    got: list[bytes] = []

    def answer(fields: dict[str, str], file: bytes) -> Reply:
        got.append(file)
        mark = fields["md_page_break_placeholder"]
        return make_reply(f"# Sổ tay\n\nMột.\n\n{mark}\n\n| Cấp | Phép | Ca |\n|---|---|---|\n| 1 | 12 | A |")

    document = read_by(answer, tmp_path, data)

    assert got == [data]
    assert document.title == "Sổ tay"
    assert document.text == "Sổ tay\n\nMột.\n\nCấp: 1 | Phép: 12 | Ca: A"
    assert [document.text[page.start : page.end].strip() for page in document.pages] == [
        "Sổ tay\n\nMột.",
        "Cấp: 1 | Phép: 12 | Ca: A",
    ]
    assert document.warnings == ()


def test_a_citation_names_no_page_rather_than_a_wrong_one(tmp_path: Path) -> None:
    """Docling marks no page on which nothing stands."""
    document = read_by(lambda *_: make_reply("chỉ một trang"), tmp_path, make_pdf(3))

    assert document.pages == ()
    assert document.warnings == ("the numbers of its pages are not known: its citations have none",)


def test_pictures_and_formulas_that_were_not_read_are_told(tmp_path: Path) -> None:
    markdown = "a\n\n<!-- image -->\n\n<!-- formula-not-decoded -->\n\n<!-- image -->"

    document = read_by(lambda *_: make_reply(markdown), tmp_path, make_pdf(1))

    assert document.text == "a"
    assert document.warnings == (
        "formulas: 1, whose text is not read",
        "pictures: 2, whose text is not read",
    )


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        pytest.param(
            make_reply("half", "partial_success", "page 2"), "docling-serve did not read all of it: partial_success, "
            "page 2", id="a part"
        ),
        pytest.param(make_reply(None, "failure"), "docling-serve did not read all of it: failure", id="failure"),
        pytest.param(make_reply(None), "docling-serve did not read all of it: success", id="no Markdown"),
        pytest.param(make_reply(""), "it holds no text", id="no text"),
        pytest.param((504, b'{"detail": "too long"}'), "docling-serve took too long: raise its DOCLING", id="too long"),
        pytest.param((500, b'{"detail": "x"}'), "docling-serve failed: HTTP 500, x", id="error"),
        pytest.param((401, b'{"detail": "key"}'), "docling-serve failed: HTTP 401, key", id="no key"),
        pytest.param((200, b"<html>"), "docling-serve failed: HTTP 200 without a JSON body", id="no JSON"),
        pytest.param((200, b"[]"), "docling-serve did not read all of it: None", id="another body"),
    ],
)  # fmt: skip
def test_a_file_that_the_server_does_not_read_is_refused(reply: Reply, reason: str, tmp_path: Path) -> None:
    """Half a document would be answered from as if it were whole."""
    assert reason_of(reply, tmp_path).startswith(reason)


def test_a_server_that_is_not_there_refuses_the_file(tmp_path: Path) -> None:
    with serve(lambda *_: make_reply("a")) as url:
        pass

    with pytest.raises(ParseError, match="docling-serve cannot be reached: ConnectError"):
        DoclingClient(url).convert(make_pdf())


def test_what_is_no_pdf_is_not_sent(tmp_path: Path) -> None:
    def answer(*_: object) -> Reply:
        raise AssertionError

    with pytest.raises(ParseError, match="not readable as PDF"):
        read_by(answer, tmp_path, b"hello")


def test_the_server_reads_pdf_alone_and_only_where_one_is_set() -> None:
    url = load_settings({"RAG_DOCLING_URL": "http://docling:5001/"}).docling_url
    assert url is not None
    readers = choose_readers(url)

    assert load_settings({}).docling_url is None
    assert {suffix for suffix in READERS if readers[suffix] != READERS[suffix]} == {".pdf"}
