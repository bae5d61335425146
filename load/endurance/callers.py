"""Send requests of every kind on raw sockets: read the answer, disconnect, read slowly, or send what is refused."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from load.driver.own_server import KEY

Manner = Literal["listens", "leaves", "reads slowly"]

# The status if there is no answer, for example because the server is gone; a 503 for want of a place is an answer.
NO_ANSWER: Final = 0
TIMEOUT_S: Final = 30.0
_QUESTIONS: Final = (
    "How many days of annual leave do full-time staff have?",
    "Nhân viên full-time có bao nhiêu ngày nghỉ phép năm?",
    "Who approves overtime?",
)
# Who was refused a connection.
_COMES_AGAIN_AFTER_S: Final = 0.2
_SLOW_BYTES: Final = 256
_SLOW_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of caller: what it sends, how it behaves, and which statuses are correct for it."""

    name: str
    requests: Sequence[bytes]
    right: frozenset[int]
    manner: Manner = "listens"


def make_request(
    path: str, body: bytes, *headers: str, key: str | None = KEY, length: int | None = None, method: str = "POST"
) -> bytes:
    """Return the bytes of an HTTP request."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: rag",
        "Connection: close",
        *headers,
        *([f"X-Api-Key: {key}"] if key else []),
        f"Content-Length: {len(body) if length is None else length}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _ask(path: str, **fields: object) -> tuple[bytes, ...]:
    bodies = [json.dumps({"question": question, **fields}).encode() for question in _QUESTIONS]
    return tuple(make_request(path, body, "Content-Type: application/json") for body in bodies)


def _refused(name: str, status: int, request: bytes) -> Kind:
    return Kind(name, (request,), frozenset({status}))


_JSON: Final = "Content-Type: application/json"
_ANSWERED: Final = frozenset({200, 503})
_GONE: Final = frozenset({NO_ANSWER, 200, 503})
KINDS: Final[Sequence[Kind]] = (
    Kind("streams to the end", _ask("/query/stream"), _ANSWERED),
    Kind("whole answers", _ask("/query", include_trace=True), _ANSWERED),
    Kind(
        "offers an upgrade",
        [each.replace(b"close", b"close, Upgrade\r\nUpgrade: h2c") for each in _ask("/query")],
        _ANSWERED,
    ),
    Kind("leaves a stream", _ask("/query/stream"), _GONE, "leaves"),
    Kind("leaves before the answer", _ask("/query"), _GONE, "leaves"),
    Kind("leaves amid its body", (make_request("/query", b'{"qu', _JSON, length=99),), _GONE, "leaves"),
    Kind("reads slowly", _ask("/query/stream", include_trace=True), _ANSWERED, "reads slowly"),
    _refused("has no key", 401, make_request("/query", b'{"question":"x"}', _JSON, key=None)),
    _refused("sends no JSON", 400, make_request("/query", b"{", _JSON)),
    _refused("sends another schema", 422, make_request("/query", b'{"question":" "}', _JSON)),
    _refused("sends too much", 413, make_request("/query", b'{"question":"' + b"x" * 70_000 + b'"}', _JSON)),
    _refused("sends too many headers", 431, make_request("/query", b"", *["X: x"] * 120)),
    _refused("asks for nothing there is", 404, make_request("/nothing", b"", method="GET")),
    _refused("speaks no HTTP", 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
)


@dataclass(slots=True)
class Tally:
    """Counts how often each kind of caller got each status."""

    counts: Counter[tuple[str, int]] = field(default_factory=Counter)

    def find_wrong(self, kinds: Sequence[Kind] = KINDS) -> dict[tuple[str, int], int]:
        """Return the counts of statuses that are not correct for their kind."""
        right = {kind.name: kind.right for kind in kinds}
        return {(name, status): count for (name, status), count in self.counts.items() if status not in right[name]}


async def send_all(port: int, *, requests: int, clients: int, tally: Tally, seed: int) -> None:
    """Send `requests` requests of random kinds, each on a new connection, `clients` at a time."""
    chance, left = random.Random(seed), iter(range(requests))  # noqa: S311  # load, not a secret

    async def run() -> None:
        for _ in left:
            kind = chance.choice(KINDS)
            status = await send(port, kind, chance)
            tally.counts[kind.name, status] += 1
            if status == NO_ANSWER and kind.manner != "leaves":
                await asyncio.sleep(_COMES_AGAIN_AFTER_S)

    await asyncio.gather(*(run() for _ in range(clients)))


async def send(port: int, kind: Kind, chance: random.Random) -> int:
    """Send one request of this kind, and return the status of the response, or `NO_ANSWER`."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
            writer.write(chance.choice(kind.requests))
            received = await _listen(reader, kind.manner, chance)
    except (OSError, TimeoutError):
        return NO_ANSWER
    finally:
        if writer is not None:
            writer.transport.abort() if kind.manner == "leaves" else writer.close()
    return int(received[9:12]) if received.startswith(b"HTTP/1.1 ") else NO_ANSWER


async def _listen(reader: asyncio.StreamReader, manner: Manner, chance: random.Random) -> bytes:
    """Read the response in this manner, and return its first piece, which contains the head."""
    if manner == "leaves":
        await asyncio.sleep(chance.uniform(0, 0.02))
        return b""
    size_bytes = _SLOW_BYTES if manner == "reads slowly" else 65536
    received = first = await reader.read(size_bytes)
    while received:
        if manner == "reads slowly":
            await asyncio.sleep(_SLOW_S)
        received = await reader.read(size_bytes)
    return first


def find_log_errors(log_path: Path) -> Counter[str]:
    """Count the events of level ERROR and above in the server's log."""
    events: Counter[str] = Counter()
    if not log_path.is_file():  # /dev/full has no end
        return events
    with log_path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if '"level": "ERROR"' in line or '"level": "CRITICAL"' in line:
                events[str(json.loads(line)["event"])] += 1
    return events
