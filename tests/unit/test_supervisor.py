"""The control sockets of the process that starts the services: BentoML's default is unsafe, ours is private."""

import stat
from pathlib import Path
from typing import Any

import pytest
from bentoml._internal.utils import circus

from rag.serving import supervisor


class Made(Exception):
    """Ends the construction of a supervisor once its endpoints are known."""


@pytest.fixture
def endpoints(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What circus itself is given as endpoints."""
    seen: dict[str, str] = {}

    def construct(_: Any, *args: Any, **kwargs: Any) -> None:  # Any: circus has no types
        seen.update({name: kwargs[name] for name in ("endpoint", "pubsub_endpoint")})
        raise Made

    monkeypatch.setattr(circus.Arbiter, "__init__", construct)
    monkeypatch.setattr(supervisor, "_construct", construct)
    return seen


def test_bentoml_itself_would_listen_on_loopback(endpoints: dict[str, str]) -> None:
    """If this fails, BentoML has changed: `listen_privately` may no longer be needed."""
    with pytest.raises(Made):
        circus.create_standalone_arbiter([])

    assert all(endpoint.startswith("tcp://127.0.0.1:") for endpoint in endpoints.values())


def test_commands_are_taken_in_a_folder_of_its_user_alone(endpoints: dict[str, str]) -> None:
    """No port: the supervisor does whatever it is told, so only its own user may reach it."""
    supervisor.listen_privately()

    with pytest.raises(Made):
        circus.create_standalone_arbiter([])

    assert all(endpoint.startswith("ipc:///") for endpoint in endpoints.values())
    folders = {Path(endpoint.removeprefix("ipc://")).parent for endpoint in endpoints.values()}
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in folders] == [0o700]
    for folder in folders:
        folder.rmdir()
