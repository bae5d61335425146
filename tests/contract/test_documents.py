"""The doors of documents: who may, what is refused while it arrives, what becomes of a job."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from starlette.types import ASGIApp

from rag.api.openapi import describe_api
from rag.clients.ingestor_client import IngestorClient
from rag.engines.fake import FakeEncoder
from rag.identity import Authenticator, OpenAuthenticator, Principal
from rag.index.files import FileEngine
from rag.index.store import IndexStore
from rag.ingestion.ingest import Ingestion
from rag.ingestion.sources import Source
from rag.ingestor.desk import JobDesk, Outcome
from rag.ingestor.spool import Spool
from rag.quotas import LocalLimiter, Quotas
from schemas.documents import JobProgress
from tests.asgi import Connection
from tests.contract.conftest import LogLines
from tests.described import Description
from tests.documents_fakes import (
    BOUNDARY,
    MULTIPART,
    ScriptedRunner,
    files_below,
    form,
    open_ingestor,
    running_desk,
    until,
    until_ended,
)
from tests.fakes import make_app, make_client
from tests.unit.index_fakes import FakeWatcher

DESCRIPTION: Final = Description(describe_api(is_open=True))
TEXT: Final = b"Full-time staff have 12 days of annual leave per year."
KEYS: Final = {
    "writer": Principal("key:writer", frozenset({"demo"}), write=True),
    "board": Principal("key:board", frozenset({"demo"}), groups=frozenset({"board"}), write=True),
    "acme": Principal("key:acme", frozenset({"acme"}), write=True),
    "all": Principal("key:all", None, write=True),
    "reader": Principal("key:reader", frozenset({"demo"})),
}


class ByKey:
    """Knows callers by the name in `x-api-key`."""

    async def authenticate(self, headers: Any) -> Principal:
        return KEYS[headers["x-api-key"]]


class Place:
    """A front and its Ingestor."""

    def __init__(self, app: ASGIApp, client: httpx.AsyncClient, desk: JobDesk, runner: ScriptedRunner, folder: Path):
        self.app = app
        self.client = client
        self.desk = desk
        self.runner = runner
        self.folder = folder

    async def send(self, *parts: tuple[str, str | None, bytes], **headers: str) -> httpx.Response:
        return await self.client.post("/documents", content=form(*parts), headers={**MULTIPART, **headers})

    def incoming(self) -> list[str]:
        return files_below(self.folder / "incoming")


@asynccontextmanager
async def opened(
    tmp_path: Path,
    *,
    runner: ScriptedRunner | None = None,
    authenticator: Authenticator | None = None,
    spool: Spool | None = None,
    **options: Any,
) -> AsyncIterator[Place]:
    runner = runner or ScriptedRunner()
    async with running_desk(tmp_path / "uploads", runner, spool=spool) as desk, open_ingestor(desk) as ingestor:
        app = make_app(
            authenticator=authenticator or ByKey(), ingestor=ingestor, index_dir=tmp_path / "index", **options
        )
        async with make_client(app) as client:
            client.headers["x-api-key"] = "writer"
            yield Place(app, client, desk, runner, tmp_path / "uploads")


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with opened(tmp_path) as found:
        yield found


def ingest(tmp_path: Path, *sources: tuple[str, tuple[str, ...]]) -> None:
    """An index of documents with these ids and groups."""
    ingestion = Ingestion(
        FileEngine(IndexStore(tmp_path / "index")), FakeWatcher(), lambda: FakeEncoder.info, FakeEncoder
    )
    paths = []
    for name, groups in sources:
        path = tmp_path / f"{name}.txt"
        path.write_text(f"The secret of {name} is the number {len(name)}.")
        paths.append(Source(path, name, f"The {name}", groups, {"kind": ("policy",)}))
    ingestion.add("demo", paths)


def fields(response: httpx.Response) -> list[tuple[str, str]]:
    assert response.status_code == 422, response.text
    return [(each["path"], each["reason"]) for each in response.json()["error"]["fields"]]


async def test_a_file_becomes_a_job_that_ends(place: Place) -> None:
    """202 with the job and where it is; then its end and the command's result, by the same caller."""
    sent = await place.send(("file", "leave policy.txt", TEXT), ("title", None, b"Leave"))
    job = sent.json()
    await until_ended(place.desk, job["id"])
    seen = await place.client.get(sent.headers["location"])

    assert (sent.status_code, job["status"], job["kind"], job["tenant_id"]) == (202, "queued", "add", "demo")
    assert sent.headers["location"] == f"/jobs/{job['id']}"
    assert job["files"] == [
        {"name": "leave policy.txt", "size_bytes": len(TEXT), "sha256": hashlib.sha256(TEXT).hexdigest()}
    ]
    assert (seen.status_code, seen.json()["status"], seen.json()["result"]) == (200, "succeeded", {"added": []})
    for response in (sent, seen):
        DESCRIPTION.check_response(response)


async def test_the_order_holds_what_the_form_says(place: Place) -> None:
    """Files in their order, labels read, and who it was."""
    labels = [
        ("metadata", None, b'{"kind": ["policy", "guide"], "year": "2026"}'),
        ("groups", None, b"board, audit"),
        ("groups", None, b'["x,y"]'),
    ]
    sent = await place.send(("file", "a.txt", b"one"), *labels, ("file", "b.md", b"two"))
    await until_ended(place.desk, sent.json()["id"])
    ((order, contents),) = place.runner.runs

    assert contents == [b"one", b"two"]
    assert [each.name for each in order.files] == ["a.txt", "b.md"]
    assert (order.principal_id, order.document_id, order.title) == ("key:writer", None, None)
    assert order.metadata == {"kind": ["guide", "policy"], "year": ["2026"]}
    assert order.groups == ["audit", "board", "x,y"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("groups", b"", None),
        ("groups", b"[]", []),
        ("metadata", b"", None),
        ("metadata", b"{}", {}),
    ],
)
async def test_an_empty_field_changes_nothing(place: Place, name: str, value: bytes, expected: object) -> None:
    """A form sends empty fields: they must not open a document to everybody; `[]` and `{}` say so in words."""
    sent = await place.send(("file", "a.txt", TEXT), (name, None, value))
    await until_ended(place.desk, sent.json()["id"])

    assert getattr(place.runner.runs[0][0], name) == expected


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/documents"), ("GET", "/documents"), ("DELETE", "/documents/a"), ("GET", "/jobs/job_" + "0" * 32)],
)
async def test_a_reader_changes_nothing(place: Place, method: str, path: str) -> None:
    """Without `write` every door is 403, whether or not there is something behind it."""
    response = await place.client.request(
        method, path, headers={"x-api-key": "reader", **MULTIPART}, content=form(("file", "a.txt", TEXT))
    )

    assert (response.status_code, response.json()["error"]["code"]) == (403, "FORBIDDEN")
    assert response.json()["error"]["message"] == "This caller may not change documents."
    assert place.runner.runs == []


async def test_a_foreign_tenant_is_refused_and_its_files_are_gone(place: Place) -> None:
    """The tenant may be named after the files."""
    response = await place.send(("file", "a.txt", TEXT), ("tenant_id", None, b"acme"))

    assert (response.status_code, response.json()["error"]["code"]) == (403, "FORBIDDEN")
    assert place.incoming() == []
    assert place.runner.runs == []


async def test_a_job_is_shown_to_who_may_write_its_tenant(place: Place) -> None:
    """To others it is a job that does not exist."""
    job = (await place.send(("file", "a.txt", TEXT))).json()
    answers = {
        key: await place.client.get(f"/jobs/{job['id']}", headers={"x-api-key": key})
        for key in ("all", "acme", "reader")
    }
    unknown = await place.client.get("/jobs/job_" + "0" * 32)

    assert {key: each.status_code for key, each in answers.items()} == {"all": 200, "acme": 404, "reader": 403}
    hidden, none = (each.json()["error"] for each in (answers["acme"], unknown))
    assert {**hidden, "trace_id": ""} == {**none, "trace_id": ""}


@pytest.mark.parametrize("path", ["/jobs/x", "/jobs/job_..%2F..", "/jobs/job_" + "0" * 33, "/jobs/JOB_" + "0" * 32])
async def test_what_is_no_job_id_is_no_job(place: Place, path: str) -> None:
    """It is not asked for."""
    assert (await place.client.get(path)).status_code == 404


async def test_a_large_file_is_refused_while_it_arrives(place: Place) -> None:
    """413 before the end of the body, and nothing is left of it; its length is not what a header says."""
    head = form(("file", "a.txt", b""))[: -len(f"\r\n--{BOUNDARY}--\r\n")]
    body = [head, *[b"x" * 1000] * 12]
    async with Connection(
        place.app,
        "POST",
        "/documents",
        body=body,
        headers={**MULTIPART, "x-api-key": "writer", "content-length": "500"},
        ends=False,
    ) as connection:
        status, _ = await connection.head()

    assert status == 413
    await until(lambda: place.incoming() == [])
    assert place.runner.runs == []


async def test_the_largest_file_is_taken_and_one_byte_more_is_not(place: Place) -> None:
    """The limit is a file's, not the body's."""
    whole = b"x" * 10_000
    taken = await place.send(("file", "a.txt", whole), ("file", "b.txt", whole))
    refused = await place.send(("file", "a.txt", whole + b"x"))

    assert taken.status_code == 202
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert place.incoming() == []


async def test_large_fields_are_refused(place: Place) -> None:
    """64 KiB are enough for all fields together."""
    response = await place.send(("metadata", None, b"x" * 70_000))

    assert response.status_code == 413


async def test_a_client_that_leaves_leaves_no_file(place: Place) -> None:
    """In the middle of a second file; the first one goes too."""
    body = form(("file", "a.txt", TEXT), ("file", "b.txt", TEXT))
    async with Connection(
        place.app,
        "POST",
        "/documents",
        body=[body[:-40]],
        headers={**MULTIPART, "x-api-key": "writer"},
        ends=False,
    ):
        await until(lambda: len(place.incoming()) == 2)

    await until(lambda: place.incoming() == [])
    assert place.runner.runs == []


async def test_a_slow_client_is_given_up(tmp_path: Path) -> None:
    """At the deadline of uploads: 504, and its place is free."""
    async with opened(tmp_path, upload_timeout_s=0.05) as place:
        body = form(("file", "a.txt", TEXT))
        async with Connection(
            place.app,
            "POST",
            "/documents",
            body=[body[:-30]],
            headers={**MULTIPART, "x-api-key": "writer"},
            ends=False,
        ) as connection:
            status, _ = await connection.head()

        assert status == 504
        await until(lambda: place.incoming() == [])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json"}, 415),
        ({"content-type": "multipart/mixed; boundary=limit"}, 415),
        ({**MULTIPART, "content-encoding": "gzip"}, 415),
        ({"content-type": "multipart/form-data"}, 400),
        ({"content-type": f"multipart/form-data; boundary={'x' * 71}"}, 400),
        ({"content-type": "multipart/form-data; boundary=another"}, 400),
    ],
)
async def test_what_is_no_form_is_refused(place: Place, headers: dict[str, str], status: int) -> None:
    """By its head, or by its first bytes."""
    response = await place.client.post("/documents", content=form(("file", "a.txt", TEXT)), headers=headers)

    assert response.status_code == status
    DESCRIPTION.check_response(response)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form at all",
        form(("file", "a.txt", TEXT))[:-10],
        form(("file", "a.txt", TEXT), end=b""),
        f"--{BOUNDARY}\r\nContent-Type: text/plain\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode(),
        f"--{BOUNDARY}\r\nContent-Disposition: form-data\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode(),
        f"--{BOUNDARY}\r\n{'x' * 10_000}: y\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode(),
        form(("title", None, b"\xff")),
        form(("file", "a.txt", TEXT)).replace(b"a.txt", b"\xff.txt"),
    ],
)
async def test_a_broken_form_is_a_bad_request(place: Place, body: bytes) -> None:
    """Whatever is broken in it, and nothing is left of it."""
    response = await place.client.post("/documents", content=body, headers=MULTIPART)

    assert (response.status_code, response.json()["error"]["code"]) == (400, "BAD_REQUEST")
    assert place.incoming() == []


async def test_an_encoded_part_is_refused(place: Place) -> None:
    """It would be stored as it is sent."""
    body = form(("file", "a.txt", TEXT)).replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n", 1)
    response = await place.client.post("/documents", content=body, headers=MULTIPART)

    assert response.status_code == 415


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        ([], "file"),
        ([("file", None, TEXT)], "file"),
        ([("file", "", TEXT)], "file"),
        ([("file", "a.txt", b"")], "file"),
        ([("file", "a.txt", TEXT), ("file", "b/a.md", TEXT)], "file"),
        ([("file", "a.txt", TEXT)] * 21, "file"),
        ([("file", "a.txt", TEXT), ("files", "b.txt", TEXT)], "files"),
        ([("file", "a.txt", TEXT), ("note", None, b"x")], "note"),
        ([("file", "a.txt", TEXT), ("tenant_id", None, b"a b")], "tenant_id"),
        ([("tenant_id", None, b"demo"), ("tenant_id", None, b"demo"), ("file", "a.txt", TEXT)], "tenant_id"),
        ([("file", "a.txt", TEXT), ("document_id", None, b"a/b")], "document_id"),
        ([("file", "a.txt", TEXT), ("file", "b.txt", TEXT), ("document_id", None, b"x")], "document_id"),
        ([("file", "a.txt", TEXT), ("file", "b.txt", TEXT), ("title", None, b"x")], "title"),
        ([("file", "a.txt", TEXT), ("title", None, b"a\x00b")], "title"),
        ([("file", "a.txt", TEXT), ("title", None, b"x" * 501)], "title"),
        ([("file", "a.txt", TEXT), ("metadata", None, b"[]")], "metadata"),
        ([("file", "a.txt", TEXT), ("metadata", None, b'{"a": 1}')], "metadata"),
        ([("file", "a.txt", TEXT), ("metadata", None, b'{"a": ["x"], "a": ["y"]}')], "metadata"),
        ([("file", "a.txt", TEXT), ("metadata", None, b'{"a b": "x"}')], "metadata"),
        ([("file", "a.txt", TEXT), ("metadata", None, b"[" * 60_000)], "metadata"),
        ([("file", "a.txt", TEXT), ("groups", None, b"[1]")], "groups"),
        ([("file", "a.txt", TEXT), ("groups", None, b"x" * 129)], "groups"),
    ],
)
async def test_bad_fields_are_named(place: Place, parts: list[tuple[str, str | None, bytes]], path: str) -> None:
    """422 with the name and the reason, never the value; nothing is left, and nothing is done."""
    assert [name for name, _ in fields(await place.send(*parts))] == [path]
    assert place.incoming() == []
    assert place.runner.runs == []


async def test_the_query_takes_no_fields(place: Place) -> None:
    """They stand in the form, where no log of addresses has them."""
    response = await place.client.post("/documents?tenant_id=demo", content=form(), headers=MULTIPART)

    assert fields(response) == [("tenant_id", "is not a parameter of this path")]


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("../../etc/passwd.txt", "passwd.txt"),
        ("C:\\\\Users\\\\me\\\\plan.docx", "plan.docx"),
        ("/etc/.hidden.md", "hidden.md"),
        ("Nghị định.PDF", "Nghị định.PDF"),
        ("a\u202egpj.txt", "agpj.txt"),
        ("..", "document"),
        ("x" * 300 + ".txt", "x" * 100 + ".txt"),
        ("ễ" * 150 + ".txt", "ễ" * 65 + ".txt"),
        ("a%22b%0A.txt", 'a"b.txt'),
    ],
)
async def test_a_files_name_is_one_clean_name(place: Place, filename: str, name: str) -> None:
    """Never a path, nothing invisible, and its suffix is kept."""
    response = await place.send(("file", filename, TEXT), ("document_id", None, b"x"))

    assert [each["name"] for each in response.json()["files"]] == [name]


async def test_the_same_upload_is_one_job_while_it_waits(tmp_path: Path) -> None:
    """A client that tries again does not do it twice; another content, or another caller, is another job."""
    async with opened(tmp_path, runner=ScriptedRunner(None)) as place:
        first = await place.send(("file", "a.txt", TEXT))
        again = await place.send(("file", "a.txt", TEXT))
        other = await place.send(("file", "a.txt", TEXT + b"!"))
        another = await place.send(("file", "a.txt", TEXT), **{"x-api-key": "all"})

        assert first.json()["id"] == again.json()["id"]
        assert len({each.json()["id"] for each in (first, other, another)}) == 3
        assert place.incoming() == []


async def test_two_uploads_at_once_do_not_mix(place: Place) -> None:
    """Each has its own file; their jobs run one after the other."""
    sent = await asyncio.gather(*(place.send(("file", f"{n}.txt", f"text {n}".encode())) for n in range(4)))
    for each in sent:
        await until_ended(place.desk, each.json()["id"])

    assert sorted(contents[0] for _, contents in place.runner.runs) == [f"text {n}".encode() for n in range(4)]
    assert place.runner.most_running == 1


async def test_progress_shows_in_the_job(tmp_path: Path) -> None:
    """What the command reports, while it runs."""
    async with opened(tmp_path, runner=ScriptedRunner(None)) as place:
        job = (await place.send(("file", "a.txt", TEXT))).json()
        await place.runner.begun.wait()
        assert place.runner.progress is not None
        place.runner.progress(JobProgress(step="embedding", done=3, total=7))
        seen = (await place.client.get(f"/jobs/{job['id']}")).json()

    assert (seen["status"], seen["progress"]) == ("running", {"step": "embedding", "done": 3, "total": 7})


async def test_a_failed_job_says_why(tmp_path: Path) -> None:
    """With what was done all the same."""
    result = {"added": [], "failed": [{"path": "a.txt", "reason": "the file is empty"}]}
    async with opened(tmp_path, runner=ScriptedRunner(Outcome(result, "a.txt: the file is empty"))) as place:
        job = (await place.send(("file", "a.txt", TEXT))).json()
        seen = await until_ended(place.desk, job["id"])

    assert (seen["status"], seen["reason"], seen["result"]) == ("failed", "a.txt: the file is empty", result)


async def test_the_list_holds_what_the_caller_sees(tmp_path: Path) -> None:
    """Documents without groups, and those of its own."""
    ingest(tmp_path, ("handbook", ()), ("minutes", ("board",)))
    async with opened(tmp_path) as place:
        seen = await place.client.get("/documents")
        board = await place.client.get("/documents?tenant_id=demo", headers={"x-api-key": "board"})
        none = await place.client.get("/documents?tenant_id=acme", headers={"x-api-key": "acme"})

    assert seen.json() == {
        "tenant": "demo",
        "version": seen.json()["version"],
        "documents": [
            {
                "document_id": "handbook",
                "title": "The handbook",
                "document_version": 1,
                "chunks": 1,
                "groups": [],
                "metadata": {"kind": ["policy"]},
            }
        ],
        "may_write": True,
    }
    assert [each["document_id"] for each in board.json()["documents"]] == ["handbook", "minutes"]
    assert none.json() == {"tenant": "acme", "version": None, "documents": [], "may_write": True}
    for response in (seen, board, none):
        DESCRIPTION.check_response(response)


async def test_the_list_is_of_now(tmp_path: Path) -> None:
    """A new version shows at once, although the last list is kept."""
    ingest(tmp_path, ("handbook", ()))
    async with opened(tmp_path) as place:
        before = (await place.client.get("/documents")).json()
        ingest(tmp_path, ("parking", ()))
        after = (await place.client.get("/documents")).json()

    assert [each["document_id"] for each in before["documents"]] == ["handbook"]
    assert [each["document_id"] for each in after["documents"]] == ["handbook", "parking"]


async def test_a_document_is_removed_by_a_job(tmp_path: Path) -> None:
    """202, and the order names it."""
    ingest(tmp_path, ("handbook", ()))
    async with opened(tmp_path) as place:
        response = await place.client.delete("/documents/handbook")
        await until_ended(place.desk, response.json()["id"])

    ((order, _),) = place.runner.runs
    assert (response.status_code, response.json()["kind"]) == (202, "remove")
    assert (order.kind, order.document_id, order.tenant_id) == ("remove", "handbook", "demo")
    DESCRIPTION.check_response(response)


@pytest.mark.parametrize("document_id", ["minutes", "unknown", "a b", "x" * 200])
async def test_what_the_caller_does_not_see_is_not_there(tmp_path: Path, document_id: str) -> None:
    """A hidden document, an unknown one and what is no id: the same 404."""
    ingest(tmp_path, ("handbook", ()), ("minutes", ("board",)))
    async with opened(tmp_path) as place:
        url = httpx.URL("http://rag").copy_with(raw_path=f"/documents/{document_id.replace(' ', '%20')}".encode())
        response = await place.client.delete(url)

    assert (response.status_code, response.json()["error"]["code"]) == (404, "NOT_FOUND")
    assert place.runner.runs == []


async def test_where_documents_are_not_taken_the_doors_say_so(tmp_path: Path) -> None:
    """403 with a message; what is there can still be listed, and the list says that it cannot be changed."""
    ingest(tmp_path, ("handbook", ()))
    async with make_client(make_app(authenticator=ByKey(), index_dir=tmp_path / "index")) as client:
        client.headers["x-api-key"] = "writer"
        refused = [
            await client.post("/documents", content=form(("file", "a.txt", TEXT)), headers=MULTIPART),
            await client.delete("/documents/handbook"),
            await client.get("/jobs/job_" + "0" * 32),
        ]
        listed = await client.get("/documents")

    assert {each.status_code for each in refused} == {403}
    assert {each.json()["error"]["message"] for each in refused} == {"This service takes no documents over HTTP."}
    assert (listed.status_code, listed.json()["may_write"]) == (200, False)


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        (None, "rag", 202),
        ("http://localhost:3000", "localhost:3000", 202),
        ("http://127.0.0.1:3000", "127.0.0.1:3000", 202),
        ("http://evil.example", "localhost:3000", 403),
        ("http://evil.example", "evil.example", 403),
        ("null", "localhost:3000", 403),
        ("https://rag.example.org", "internal", 202),
    ],
)
async def test_a_foreign_page_changes_nothing_where_no_key_is_needed(
    tmp_path: Path, origin: str | None, host: str, status: int
) -> None:
    """A browser sends forms to anybody; the service's own page may, under a name that nobody else can have."""
    headers = {"host": host, **({} if origin is None else {"origin": origin})}
    async with opened(tmp_path, authenticator=OpenAuthenticator(), public_url="https://rag.example.org") as place:
        response = await place.send(("file", "a.txt", TEXT), **headers)

    assert response.status_code == status


async def test_a_request_of_documents_is_counted_and_logged(tmp_path: Path, log_lines: LogLines) -> None:
    """The quota of requests holds here too, and each leaves a line without names of files."""
    limiter = LocalLimiter(Quotas(window_s=60, requests=1, tokens=1000))
    async with opened(tmp_path, limiter=limiter) as place:
        taken = await place.send(("file", "confidential.txt", TEXT), **{"x-trace-id": "t-1"})
        refused = await place.send(("file", "confidential.txt", TEXT))
        lines = log_lines()

    assert (taken.status_code, refused.status_code) == (202, 429)
    assert [(each["event"], each["route"], each["error_code"]) for each in lines] == [
        ("query_ok", "/documents", None),
        ("query_failed", "/documents", "RATE_LIMITED"),
    ]
    assert (lines[0]["trace_id"], lines[0]["tenant_id"], lines[0]["principal_id"]) == ("t-1", "demo", "key:writer")
    assert "confidential" not in json.dumps(lines)


async def test_each_change_leaves_a_line_of_who_and_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With digests, without names and content."""
    outcome = Outcome({"version": "000001-aaaaaaaa", "added": [{"document_id": "leave", "path": "secret name.txt"}]})
    async with opened(tmp_path, runner=ScriptedRunner(outcome)) as place:
        job = (await place.send(("file", "secret name.txt", TEXT), **{"x-trace-id": "t-1"})).json()
        await until_ended(place.desk, job["id"])
        out = capsys.readouterr().out
    (line,) = [json.loads(each) for each in out.splitlines() if "documents_changed" in each]

    assert {name: line[name] for name in ("trace_id", "job_id", "tenant_id", "principal_id", "action")} == {
        "trace_id": "t-1",
        "job_id": job["id"],
        "tenant_id": "demo",
        "principal_id": "key:writer",
        "action": "add",
    }
    assert (line["document_ids"], line["index_version"]) == (["leave"], "000001-aaaaaaaa")
    assert line["sha256"] == [hashlib.sha256(TEXT).hexdigest()]
    assert "secret name" not in out


async def test_without_room_nothing_is_taken(tmp_path: Path) -> None:
    """503 with the time to try again; queries and the index need the rest of the disk."""
    spool = Spool(tmp_path / "uploads" / "incoming", free=lambda _: 1000)
    async with opened(tmp_path, spool=spool) as place:
        response = await place.send(("file", "a.txt", TEXT))

        assert (response.status_code, response.json()["error"]["code"]) == (503, "NOT_READY")
        assert response.json()["error"]["message"] == "There is no room for documents now."
        assert place.incoming() == []


async def test_without_an_ingestor_nothing_is_taken(tmp_path: Path) -> None:
    """503 that says which service is missing; the list needs none."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nobody listens", request=request)

    async with httpx.AsyncClient(transport=httpx.MockTransport(refuse), base_url="http://gone") as gone:
        app = make_app(authenticator=ByKey(), ingestor=IngestorClient(gone), index_dir=tmp_path / "index")
        async with make_client(app) as client:
            client.headers["x-api-key"] = "writer"
            sent = await client.post("/documents", content=form(("file", "a.txt", TEXT)), headers=MULTIPART)
            listed = await client.get("/documents")

    assert (sent.status_code, sent.json()["error"]["code"]) == (503, "NOT_READY")
    assert sent.json()["error"]["message"] == "The service that takes documents is down."
    assert listed.status_code == 200
