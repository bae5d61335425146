"""Other users of the machine can reach only the HTTP port of a server."""

import os
import socket
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from load.processes import find_family
from load.server import Server, running_server
from tests.servers import find_ports, make_environment

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else"),
]

SOMEBODY_ELSE: Final = 65534


def become_somebody_else() -> None:
    os.setgroups([])
    os.setgid(SOMEBODY_ELSE)
    os.setuid(SOMEBODY_ELSE)


def find_open(paths: Sequence[str]) -> list[str]:
    """The Unix sockets that let this process in."""
    opened = []
    for path in paths:
        with socket.socket(socket.AF_UNIX) as connection, suppress(PermissionError):
            connection.connect(path)
            opened.append(path)
    return opened


def find_socket_paths(server: Server) -> set[str]:
    """Every Unix socket of the server that has an address."""
    connections = [each for process in find_family(server.process) for each in process.net_connections("unix")]
    return {each.laddr for each in connections if each.laddr}


def assert_private(server: Server, *, sockets_at_least: int) -> None:
    assert find_ports(server.process) == {urlsplit(server.url).port}
    assert_sockets_private(server, at_least=sockets_at_least)


def assert_sockets_private(server: Server, *, at_least: int) -> None:
    paths = sorted(find_socket_paths(server))
    with ProcessPoolExecutor(1, get_context("fork"), initializer=become_somebody_else) as child:
        opened = child.submit(find_open, paths).result()

    assert len(paths) >= at_least
    assert all(Path(path).exists() for path in paths)
    assert opened == []


def test_nobody_else_can_reach_the_services_or_the_supervisor(scripted_server: Server) -> None:
    """The supervisor runs any command it is told, and the services unpickle what they are sent."""
    assert_private(scripted_server, sockets_at_least=3)  # commands, events, the Embedder


def test_a_model_service_alone_is_as_private(place: Path, scripted_environment: dict[str, str]) -> None:
    """On a host of its own it has a supervisor too."""
    environment = make_environment(RAG_EMBEDDER_MODEL=scripted_environment.get("RAG_EMBEDDER_MODEL", ""))
    with running_server(place / "embedder", environment, service="Embedder", ready_path="/readyz") as server:
        assert_private(server, sockets_at_least=2)


def test_vllms_sockets_are_private_too(real_server: Server) -> None:
    """Its engine unpickles what comes over them.

    The ports that only the engine has are gloo's, one for each group of its one process. Nobody is waited for on them,
    and there is no way to have the groups without them; but the engine would take, and keep, any connection to them.
    """
    engines = [each for each in find_family(real_server.process) if "EngineCore" in each.name()]
    engine_ports = {connection.laddr.port for each in engines for connection in each.net_connections("inet")}

    assert find_ports(real_server.process) - engine_ports == {urlsplit(real_server.url).port}
    assert_sockets_private(real_server, at_least=5)
    assert engine_ports
    assert [port for port in engine_ports if is_reached(port)] == []


def is_reached(port: int) -> bool:
    """Whoever asks: the kernel answers nobody."""
    with suppress(TimeoutError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True
    return False
