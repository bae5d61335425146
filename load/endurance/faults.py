"""`python -m load.endurance.faults`: report what callers see during a fault, and how soon the service recovers.

Each fault hits a server on fake models that callers of every kind keep busy. `tests/integration/test_dead_services.py`
tests model services that die or hang, because that needs real models.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil
import redis

from load.driver.own_server import TENANTS
from load.endurance.callers import KINDS, NO_ANSWER, Tally, find_log_errors, send, send_all
from load.endurance.scene import INDEX, INDEX_BYTES, METRICS, OPEN_FILES, Scene, Stage, run_server, running_stage
from load.endurance.vitals import find_front
from load.moved_clock import NoMovedClockError
from load.processes import ServerError
from load.small_disk import NoSmallDiskError, empty, fill

CLIENTS: Final = 8
LASTS_S: Final = 5.0
IDLE_CONNECTIONS: Final = 200
GIVE_UP_S: Final = 120.0
SPARE_BYTES: Final = 2 << 20
INDEX_SPARE_BYTES: Final = 100 << 10
_POLL_S: Final = 0.2
_ABOUT: Final = """# Faults
What callers of every kind (`load/endurance/callers.py`, 8 at a time) are told while something breaks, and how long it
takes until five questions in a row are answered; the first row is where nothing breaks. `make faults` makes this page
again, as root, because it mounts small disks; {day}, {cores} cores, which others may have used too, fake models, limits
in Valkey, `RAG_REDIS_LOST=fail_local`. *none*: the connection was closed, or refused.
"""
_PROBE: Final = next(kind for kind in KINDS if kind.name == "whole answers")

Fault = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Observed:
    """Statuses that those got who listened, seconds until all was well (None: never), and errors in the log."""

    answers: Counter[int]
    well_after_s: float | None
    errors: Counter[str]


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


async def crowd_valkey(scene: Scene) -> None:
    """Another client fills it, and it makes room by dropping whatever key it likes."""

    def fill_up() -> None:
        give_up_at = time.monotonic() + LASTS_S
        with redis.Redis.from_url(scene.valkey_url) as client:
            client.config_set("maxmemory-policy", "allkeys-random")
            client.config_set("maxmemory", client.info("memory")["used_memory"] + SPARE_BYTES)
            while time.monotonic() < give_up_at:
                with client.pipeline(transaction=False) as many:
                    for number in range(200):
                        many.set(f"other:{time.monotonic_ns()}:{number}", bytes(1024))
                    many.execute(raise_on_error=False)  # it may be too full for a while to make room
            client.config_set("maxmemory", 0)
            client.config_set("maxmemory-policy", "noeviction")
            client.flushall()

    await asyncio.to_thread(fill_up)


def failing_over(*, cuts: bool) -> Fault:
    """The old primary only reads, and a while later its address leads to the new one."""

    async def fail_over(scene: Scene) -> None:
        await asyncio.to_thread(scene.valkey.demote)
        await asyncio.sleep(LASTS_S)
        await asyncio.to_thread(scene.valkey.switch, cuts=cuts)

    return fail_over


def moving_clock(seconds: int) -> Fault:
    async def move(scene: Scene) -> None:
        assert scene.clock is not None
        scene.clock.move(seconds)
        await asyncio.sleep(LASTS_S)

    return move


async def fill_metrics(scene: Scene) -> None:
    disk = scene.folder / METRICS
    fill(disk)
    await asyncio.sleep(LASTS_S)
    empty(disk)


async def fill_metrics_and_kill_front(scene: Scene) -> None:
    """The next one begins while there is no space."""
    disk = scene.folder / METRICS
    fill(disk)
    scene.stack.callback(empty, disk)
    await kill_front(scene)


async def fill_index(scene: Scene) -> None:
    """Documents are added, which ends for want of space; then there is some, and they are added again."""
    disk = scene.folder / INDEX
    statuses = []
    for spare_bytes in (INDEX_SPARE_BYTES, INDEX_BYTES):
        fill(disk, but_bytes=spare_bytes)
        statuses.append(await asyncio.to_thread(_add_documents, scene))
        empty(disk)
    assert statuses == [1, 0]


def _add_documents(scene: Scene) -> int:
    documents = scene.folder / "documents"
    documents.mkdir()
    for number in range(20):
        text = "\n\n".join(f"Rule {number}: part {part} has {part + number} days of leave." for part in range(100))
        (documents / f"{number}.txt").write_text(text, "utf-8")
    command = [sys.executable, "-m", "rag.ingestion", "add", "--tenant", TENANTS[0], str(documents)]
    try:
        return subprocess.run(command, env=scene.environment, capture_output=True, check=False).returncode  # noqa: S603 - our own command
    finally:
        shutil.rmtree(documents)


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
    """Whoever started it starts it again at once, until it gets the port."""

    def start_again() -> None:
        give_up_at = time.monotonic() + GIVE_UP_S
        while time.monotonic() < give_up_at:
            with suppress(ServerError):
                scene.stack.enter_context(run_server(scene.folder, scene.environment, "again", scene.port))
                return

    scene.server.process.kill()
    starting = threading.Thread(target=start_again)
    scene.stack.callback(starting.join)
    starting.start()


FAULTS: Final[Mapping[str, Fault]] = {
    "nothing": wait_only,
    "the front is killed": kill_front,
    f"the front is stopped for {LASTS_S:.0f} s": stop_front,
    "Valkey forgets everything": flush_valkey,
    f"Valkey says nothing for {LASTS_S:.0f} s": freeze_valkey,
    f"Valkey takes no write for {LASTS_S:.0f} s": fill_valkey,
    f"another client fills Valkey for {LASTS_S:.0f} s, which evicts": crowd_valkey,
    f"Valkey fails over: {LASTS_S:.0f} s of READONLY, then all connections are cut": failing_over(cuts=True),
    "the same, and connections to the old primary are not cut": failing_over(cuts=False),
    "each index file in turn is cut to half": cut_index,
}
STAGES: Final[Sequence[tuple[Stage, Mapping[str, Fault]]]] = (
    ("usual", FAULTS),
    ("few files", {f"{IDLE_CONNECTIONS} idle connections, {OPEN_FILES} files at most": crowd}),
    ("full log", {"no line of the log can be written": wait_only}),
    (
        "moved clock",
        {"the clock goes an hour forward": moving_clock(3600), "the clock goes an hour back": moving_clock(0)},
    ),
    ("small index", {"the index's disk is full while documents are added": fill_index}),
    (
        "small metrics",
        {
            f"the metrics' disk is full for {LASTS_S:.0f} s": fill_metrics,
            "the metrics' disk is full, and the front is killed": fill_metrics_and_kill_front,
        },
    ),
    ("usual", {"the supervisor is killed, and its manager starts another": kill_supervisor}),
)


def main() -> int:
    """Apply all faults, print a row for each, and return the exit status."""
    print(_ABOUT.format(day=datetime.now(UTC).date(), cores=os.cpu_count()))
    print("| what happens | answers meanwhile, to all kinds of callers | well again after, s | errors in the log |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for number, (stage, faults) in enumerate(STAGES):
            try:
                with running_stage(Path(folder) / str(number), stage) as scene:
                    for name, fault in faults.items():
                        print(f"| {name} | {_render(asyncio.run(observe(scene, fault)))} |", flush=True)
            except (NoMovedClockError, NoSmallDiskError) as error:
                print(f"no {stage}: {error}", file=sys.stderr)
    return 0


async def observe(scene: Scene, fault: Fault) -> Observed:
    """The first questions import and open what they need, and are no part of it."""
    await _wait_until_well(scene.port, time.monotonic())
    before, tally = find_log_errors(scene.server.log_path), Tally()
    async with _busy(scene.port, tally):
        await fault(scene)
        began = time.monotonic()
        well_after_s = await _wait_until_well(scene.port, began)
    answers: Counter[int] = Counter()
    for (name, status), count in tally.counts.items():
        if not name.startswith("leaves"):
            answers[status] += count
    return Observed(answers, well_after_s, find_log_errors(scene.server.log_path) - before)


def _render(observed: Observed) -> str:
    """The cells of its row."""
    counts = sorted(observed.answers.items(), key=lambda each: (each[0] == NO_ANSWER, each[0]))
    told = ", ".join(f"{'none' if status == NO_ANSWER else status}: {count}" for status, count in counts)
    well = "never" if observed.well_after_s is None else f"{observed.well_after_s:.1f}"
    return f"{told} | {well} | {json.dumps(observed.errors) if observed.errors else 'none'}"


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
