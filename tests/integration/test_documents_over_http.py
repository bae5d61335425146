"""Documents over HTTP with a real `bentoml serve`: from the upload to the answer, through a kill of the Ingestor."""

import hashlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import psutil
import pytest

from load.processes import find_family
from load.server import Server, running_server
from tests.servers import FAKE_MODELS, PATIENT, UNLIMITED, make_environment
from tests.unit.pdf_files import make_pdf, show_lines

pytestmark = pytest.mark.integration

# A machine of two busy cores starts a process within a minute.
PATIENCE_S: Final = 120
# What the contract promises for a new version of an index.
TAKEN_UP_WITHIN_S: Final = 5
UPLOAD_MAX_BYTES: Final = 1 << 20
POLL_S: Final = 0.1
QUESTION: Final = "How many days of annual leave do full-time staff have?"
LEAVE: Final = b"Full-time staff have 12 days of annual leave per year.\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Fake models; a caller that may write, and one that may not."""
    place = tmp_path_factory.mktemp("documents")
    identities = place / "identities.yaml"
    principals = [
        {"id": name, "key_sha256": hashlib.sha256(name.encode()).hexdigest(), "tenants": ["demo"], "write": write}
        for name, write in (("writer", True), ("reader", False))
    ]
    identities.write_text(json.dumps({"principals": principals}), "utf-8")  # JSON is YAML
    settings = {**FAKE_MODELS, "RAG_GENERATOR_MODEL": "none", **PATIENT, **UNLIMITED}
    environment = make_environment(
        RAG_INDEX_DIR=str(place / "index"),
        RAG_IDENTITIES_FILE=str(identities),
        RAG_UPLOAD_MAX_BYTES=str(UPLOAD_MAX_BYTES),
        **settings,
    )
    with running_server(place / "server", environment) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=PATIENCE_S, headers={"x-api-key": "writer"}) as opened:
        yield opened


def wait_for(is_so: Callable[[], Any], timeout_s: float = PATIENCE_S) -> Any:
    """What the function returns, once that is true."""
    give_up_at = time.monotonic() + timeout_s
    while not (found := is_so()):
        assert time.monotonic() < give_up_at, "it did not happen in time"
        time.sleep(POLL_S)
    return found


def send(client: httpx.Client, name: str, content: bytes) -> dict[str, Any]:
    response = client.post("/documents", files={"file": (name, content)})
    assert response.status_code == 202, response.text
    job: dict[str, Any] = response.json()
    return job


def wait_until_ended(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        response = client.get(f"/jobs/{job['id']}")
        if response.status_code == 503:  # the Ingestor is starting
            return None
        found: dict[str, Any] = response.json()
        return found if found["status"] in ("succeeded", "failed") else None

    found: dict[str, Any] = wait_for(look)
    return found


def ask(client: httpx.Client) -> dict[str, Any]:
    answer: dict[str, Any] = client.post("/query", json={"question": QUESTION}).json()
    return answer


def find_ingestor(server: Server) -> psutil.Process | None:
    found = [each for each in find_family(server.process) if "Ingestor" in each.cmdline()]
    return found[0] if found else None


def find_commands(server: Server) -> list[psutil.Process]:
    return [each for each in find_family(server.process) if "rag.ingestor.child" in each.cmdline()]


def list_ids(client: httpx.Client) -> list[str]:
    return [each["document_id"] for each in client.get("/documents").json()["documents"]]


def test_an_upload_is_answered_from_and_its_removal_is_not(client: httpx.Client) -> None:
    """The whole way, with the command's own result; a new version is taken up within 5 s of its job's end."""
    ended = wait_until_ended(client, send(client, "leave policy.txt", LEAVE))
    wait_for(lambda: ask(client)["finish_reason"] == "stop", TAKEN_UP_WITHIN_S + 1)
    listed = list_ids(client)
    removal = client.delete("/documents/leave-policy")
    removed = wait_until_ended(client, removal.json())
    wait_for(lambda: ask(client)["finish_reason"] == "no_answer", TAKEN_UP_WITHIN_S + 1)

    assert (ended["status"], ended["reason"]) == ("succeeded", None)
    assert ended["result"]["added"][0]["path"] == "leave policy.txt"
    assert ended["result"]["documents"] == 1
    assert listed == ["leave-policy"]
    assert (removal.status_code, removed["status"], removed["result"]["removed"]) == (202, "succeeded", "leave-policy")
    assert list_ids(client) == []


def test_the_printed_page_is_shown_beside_the_number(client: httpx.Client) -> None:
    """From a PDF whose second page is "iii", by the passages that are found to the page of the one that is cited."""
    text = LEAVE.decode().strip()
    data = make_pdf(show_lines("Preface."), show_lines(text), catalog="/PageLabels<</Nums[0<</S/r/St 2>>]>>")
    wait_until_ended(client, send(client, "printed.pdf", data))
    citation = wait_for(lambda: ask(client)["citations"], TAKEN_UP_WITHIN_S + 1)[0]
    (result,) = client.post("/search", json={"question": QUESTION}).json()["results"]
    page = client.get(f"/chunks/{citation['chunk_id']}", headers={"accept": "text/html"}).text
    wait_until_ended(client, client.delete("/documents/printed").json())
    wait_for(lambda: not ask(client)["citations"], TAKEN_UP_WITHIN_S + 1)

    assert (citation["page_start"], citation["page_end"]) == (result["page_start"], result["page_end"])
    assert result["page_label"] == "ii–iii"
    assert "(printed ii–iii)" in page


def test_a_file_that_cannot_be_read_fails_with_its_reason(client: httpx.Client) -> None:
    """Under the name that it came with; nothing of this machine's folders."""
    ended = wait_until_ended(client, send(client, "broken.pdf", b"no PDF at all"))

    assert ended["status"] == "failed"
    assert ended["reason"].startswith("broken.pdf: ")
    assert "/" not in json.dumps(ended["result"])


def test_the_same_content_makes_no_new_version(client: httpx.Client) -> None:
    """An upload that is tried again changes nothing."""
    first = wait_until_ended(client, send(client, "parking.txt", b"Visitors park behind the north building.\n"))
    second = wait_until_ended(client, send(client, "parking.txt", b"Visitors park behind the north building.\n"))

    assert first["id"] != second["id"]
    assert first["result"]["version"] == second["result"]["version"]


def test_a_large_file_is_refused_on_the_wire(server: Server, client: httpx.Client) -> None:
    """413 while it is sent, in one piece or in many, and nothing is left of it on the disk."""
    large = b"x" * (UPLOAD_MAX_BYTES + 1)
    response = client.post("/documents", files={"file": ("large.txt", large)})
    incoming = server.log_path.parents[1] / "index" / ".uploads" / "incoming"

    assert (response.status_code, response.json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")
    wait_for(lambda: list(incoming.iterdir()) == [])


def test_a_reader_may_ask_and_not_write(client: httpx.Client) -> None:
    """Rights are of the key."""
    response = client.post("/documents", files={"file": ("a.txt", LEAVE)}, headers={"x-api-key": "reader"})

    assert (response.status_code, response.json()["error"]["code"]) == (403, "FORBIDDEN")
    assert client.post("/query", json={"question": QUESTION}, headers={"x-api-key": "reader"}).status_code == 200


def test_a_job_survives_a_kill_of_the_ingestor(server: Server, client: httpx.Client) -> None:
    """Its command dies with it; the next Ingestor begins again what ran, and goes on with what waited."""
    running = send(client, "one.txt", b"The first office is in Hanoi.\n")
    waiting = send(client, "two.txt", b"The second office is in Hue.\n")
    commands = wait_for(lambda: find_commands(server))
    ingestor = find_ingestor(server)
    assert ingestor is not None
    ingestor.send_signal(signal.SIGKILL)
    gone, alive = psutil.wait_procs(commands, timeout=PATIENCE_S)
    ends = [wait_until_ended(client, job) for job in (running, waiting)]

    assert alive == []
    assert gone
    assert [each["status"] for each in ends] == ["succeeded", "succeeded"]
    assert {"one", "two"} <= set(list_ids(client))


def test_every_change_has_its_line_in_the_log(server: Server) -> None:
    """Who, what, when, and the digest; never the content."""
    log = server.log_path.read_text("utf-8")
    lines = [json.loads(line) for line in log.splitlines() if '"documents_changed"' in line]

    assert {"add", "remove"} == {each["action"] for each in lines}
    assert {each["principal_id"] for each in lines} == {"key:writer"}
    assert any(each["sha256"] == [hashlib.sha256(LEAVE).hexdigest()] for each in lines)
    assert "12 days" not in log
