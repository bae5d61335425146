"""Raw connections of strangers to a real server, byte by byte; `tests/unit/test_connection.py` has the details."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import BinaryIO, Final
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from load.processes import find_family
from load.server import Server
from schemas.request import HEADERS_MAX_BYTES

pytestmark = pytest.mark.integration

TIMEOUT_S: Final = 10
ATTACK_BYTES: Final = 64 << 20
QUESTION: Final = json.dumps({"question": "How many days of annual leave?"}).encode()
# As recorded on 2026-11-28, without the port: Go 1.27.3's http.Post with a body whose length it knows, with one whose
# length it does not, and a request that expects a 100; Mono 6.8's HttpClient, and its HttpWebRequest, which expects one
# of its own accord, as that of .NET Framework does. .NET itself could not be installed.
ASKED: Final = {
    "Go": (
        b"POST /query HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 46\r\n"
        b"Content-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n",
        QUESTION,
    ),
    "Go, chunked": (
        b"POST /query HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Go-http-client/1.1\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n",
        b"2e\r\n" + QUESTION + b"\r\n0\r\n\r\n",
    ),
    "Go, expecting": (
        b"POST /query HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 46\r\n"
        b"Content-Type: application/json\r\nExpect: 100-continue\r\nAccept-Encoding: gzip\r\n\r\n",
        QUESTION,
    ),
    "Mono's HttpClient": (
        b"POST /query HTTP/1.1\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 46\r\n"
        b"Host: 127.0.0.1\r\n\r\n",
        QUESTION,
    ),
    "Mono's HttpWebRequest, expecting": (
        b"POST /query HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 46\r\nExpect: 100-continue\r\n"
        b"Connection: keep-alive\r\nHost: 127.0.0.1\r\n\r\n",
        QUESTION,
    ),
}
# A client that knows beforehand that HTTP/2 is spoken: its preface, and the first frame of Go's.
PRIOR_KNOWLEDGE: Final = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x18\x04\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00"
    b"\x00\x04\x00@\x00\x00\x00\x05\x00\x10\x00\x00\x00\x06\x00\xa0\x00\x00"
)


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    parts = urlsplit(server.url)
    with socket.create_connection((str(parts.hostname), parts.port or 80), timeout=TIMEOUT_S) as connection:
        yield connection


def read_all(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


def read_answer(received: BinaryIO) -> tuple[int, dict[str, object]]:
    """Status and JSON of the next answer, and no more of what comes."""
    status, length = int(received.readline().split()[1]), 0
    while (line := received.readline()) != b"\r\n":
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    answer: dict[str, object] = json.loads(received.read(length))
    return status, answer


def parse_answer(answer: bytes) -> tuple[str, dict[str, object]]:
    """Status and error of the contract."""
    head, _, body = answer.partition(b"\r\n\r\n")
    error = json.loads(body)["error"]
    assert f"x-trace-id: {error['trace_id']}" in head.decode()
    return head.decode().split()[1], error


@pytest.mark.parametrize(
    ("start", "piece"),
    [(b"X-Endless: ", b"x" * 65536), (b"", b"X-One-More: x\r\n" * 4096)],
    ids=["value", "headers"],
)
def test_headers_without_end_cost_nothing(fake_server: Server, start: bytes, piece: bytes) -> None:
    """431 before anything else, and the process is as large as before: 64 MiB of them once were 3 GB."""
    before_bytes = sum(process.memory_info().rss for process in find_family(fake_server.process))

    with connected(fake_server) as connection:
        connection.sendall(b"POST /query HTTP/1.1\r\nHost: rag\r\n" + start)
        with suppress(ConnectionError):  # it stops reading, and in the end it closes
            for _ in range(ATTACK_BYTES // len(piece)):
                connection.sendall(piece)
        after_bytes = sum(process.memory_info().rss for process in find_family(fake_server.process))

    assert after_bytes - before_bytes < 4 << 20


def test_too_large_a_head_is_told_so(fake_server: Server) -> None:
    """All of it was sent before anything was read: the answer is there nevertheless."""
    with connected(fake_server) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nX-Large: " + b"x" * 2 * HEADERS_MAX_BYTES + b"\r\n\r\n")
        status, error = parse_answer(read_all(connection))

    assert (status, error["code"]) == ("431", "HEADERS_TOO_LARGE")


@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "TLS/1.0"])
def test_an_upgrade_is_ignored(fake_server: Server, upgrade: str) -> None:
    """The request is answered as it stands."""
    head = f"POST /query HTTP/1.1\r\nHost: rag\r\nConnection: close, Upgrade\r\nUpgrade: {upgrade}\r\n"
    length = f"Content-Type: application/json\r\nContent-Length: {len(QUESTION)}\r\n\r\n"

    with connected(fake_server) as connection:
        connection.sendall(f"{head}{length}".encode() + QUESTION)
        answer = read_all(connection)

    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("client", ASKED)
def test_the_requests_of_other_clients_are_answered(fake_server: Server, client: str) -> None:
    """As Go and Mono send them, twice over one connection; a body that waits for a 100 is told to come."""
    head, body = ASKED[client]
    with connected(fake_server) as connection, connection.makefile("rb") as received:
        for _ in range(2):
            connection.sendall(head)
            if b"Expect: " in head:
                assert received.readline() + received.readline() == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(body)
            status, answer = read_answer(received)

            assert status == 200
            assert answer["finish_reason"] == "no_answer"


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", PRIOR_KNOWLEDGE], ids=["TLS", "HTTP/2"]
)
def test_what_is_no_http_is_a_bad_request(fake_server: Server, sent: bytes) -> None:
    """In the contract's words, with a trace id."""
    with connected(fake_server) as connection:
        connection.sendall(sent)
        status, error = parse_answer(read_all(connection))

    assert (status, error["code"]) == ("400", "BAD_REQUEST")


def test_idle_connections_make_way(fake_server: Server) -> None:
    """More of them than a process holds: the next one is answered, and its files do not grow beyond."""
    soft_limit, _ = psutil.Process(fake_server.process.pid).rlimit(psutil.RLIMIT_NOFILE)
    maximum = min(1000, soft_limit // 2)
    with ExitStack() as stack:
        for _ in range(maximum + 200):
            stack.enter_context(connected(fake_server))
        health = httpx.get(f"{fake_server.url}/health")
        open_files = max(process.num_fds() for process in find_family(fake_server.process))

    assert health.status_code == 200
    assert open_files < maximum + 100
