"""Measure `/health` and the server's memory while strangers hold and feed connections that never complete a request.

The attackers run in a separate process; on two cores they occupy the second one.
"""

import asyncio
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from load.bench.driving import Round, probe
from load.driver.memory import MemoryProbe
from load.server import FAKE_MODELS, running_server

GOAL_P99_MS: Final = 50.0
PROBES: Final = 300
_HEAD: Final = b"GET /health HTTP/1.1\r\nHost: rag\r\n"
_MEBIBYTE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Attack:
    """Connections that each send `start`, then `piece` every `every_s` until the server closes, and then reconnect."""

    connections: int
    start: bytes = b""
    piece: bytes = b""
    every_s: float = 0.0


ATTACKS: Final[Mapping[str, Attack | None]] = {
    "nobody": None,
    "8 headers without end": Attack(8, _HEAD + b"X-Endless: ", b"x" * 65536),
    "8 heads without end": Attack(8, _HEAD, b"X-One-More: x\r\n" * 4096),
    "8 that speak no HTTP": Attack(8, b"\x16\x03\x01", b"x" * 65536),
    "500 heads, a byte a second": Attack(500, _HEAD + b"X-Slow: ", b"x", 1.0),
    "2000 that say nothing": Attack(2000, every_s=1.0),
}


def print_strangers() -> None:
    """Measure and print the table in Markdown."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAG_")}
    print(f"| strangers | /health p50, ms | p99, ms (goal {GOAL_P99_MS:.0f}) | memory of all processes, MiB |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        environment = {**inherited, **FAKE_MODELS, "RAG_INDEX_DIR": f"{folder}/index"}
        with running_server(Path(folder) / "server", environment) as server:
            for name, attack in ATTACKS.items():
                with _running(attack, server.url):
                    health: Round = asyncio.run(probe(f"{server.url}/health", requests=PROBES))
                    memory = MemoryProbe(server.process.pid).read(0)
                p50_ms, p99_ms = health.percentile_ms(50), health.percentile_ms(99)
                told_bytes = memory.rss_bytes if memory else 0
                print(f"| {name} | {p50_ms:.1f} | {p99_ms:.1f} | {told_bytes / _MEBIBYTE:.0f} |", flush=True)


@contextmanager
def _running(attack: Attack | None, url: str) -> Iterator[None]:
    if attack is None:
        yield
        return
    process = get_context("spawn").Process(target=_run, args=(attack, url), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def _run(attack: Attack, url: str) -> None:
    asyncio.run(_attack_together(attack, url))


async def _attack_together(attack: Attack, url: str) -> None:
    await asyncio.gather(*(_attack(attack, url) for _ in range(attack.connections)))


async def _attack(attack: Attack, url: str) -> None:
    parts = urlsplit(url)
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write(attack.start)
            while not reader.at_eof():  # any response is ignored
                writer.write(attack.piece)
                await writer.drain()
                await asyncio.sleep(attack.every_s)
            writer.close()
