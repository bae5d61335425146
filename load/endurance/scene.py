"""Where faults happen: a server on fake models and what it lives on, each as usual but for one thing."""

import os
import resource
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from load.driver.own_server import TENANTS, make_settings, running_own_server
from load.moved_clock import MovedClock, moved_clock
from load.server import Server
from load.small_disk import mounted_disk
from load.valkey_pair import ValkeyPair, running_pair

OPEN_FILES: Final = 64
# In the folder of a server, what may be a disk of its own.
INDEX: Final = "fake/index"
INDEX_BYTES: Final = 8 << 20
METRICS: Final = "fake/server/bentoml"
METRICS_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Scene:
    """A server, its folder and environment, and the pair of Valkeys that it limits by.

    `clock` is the one that all of them live by, where it can be moved; what is in `stack` ends with the scene.
    """

    server: Server
    folder: Path
    environment: Mapping[str, str]
    valkey: ValkeyPair
    clock: MovedClock | None
    stack: ExitStack

    @property
    def valkey_url(self) -> str:
        return self.valkey.url

    @property
    def port(self) -> int:
        port = urlsplit(self.server.url).port
        assert port is not None
        return port


Stage = Literal["usual", "few files", "full log", "moved clock", "small index", "small metrics"]


@contextmanager
def running_stage(place: Path, stage: Stage) -> Iterator[Scene]:
    """Yields: a server that is as usual but for one thing.

    Raises: NoMovedClockError, NoSmallDiskError: this machine cannot have that thing.
    """
    with ExitStack() as stack:
        clock = stack.enter_context(moved_clock()) if stage == "moved clock" else None
        valkey = stack.enter_context(running_pair(clock.environment if clock else {}))
        environment = {**os.environ, "RAG_REDIS_URL": valkey.url, **(clock.environment if clock else {})}
        _prepare(stage, place, stack)
        usual = resource.getrlimit(resource.RLIMIT_NOFILE)
        if stage == "few files":  # what we start has the limit from us
            resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, usual[1]))
        try:
            server = stack.enter_context(run_server(place, environment))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, usual)
        whole = {**environment, **make_settings(place / "fake", is_fake=True)}
        yield Scene(server, place, whole, valkey, clock, stack)


def _prepare(stage: Stage, place: Path, stack: ExitStack) -> None:
    """What has to be there before the server is."""
    if stage == "full log":
        log = place / "fake" / "server" / "server.log"
        log.parent.mkdir(parents=True)
        log.symlink_to("/dev/full")
    elif stage == "small index":
        stack.enter_context(mounted_disk(place / INDEX, INDEX_BYTES))
    elif stage == "small metrics":
        stack.enter_context(mounted_disk(place / METRICS, METRICS_BYTES))


def run_server(
    place: Path, environment: Mapping[str, str], name: str = "server", port: int | None = None
) -> AbstractContextManager[Server]:
    return running_own_server(place, environment, tenants=TENANTS[:1], is_fake=True, name=name, port=port)
