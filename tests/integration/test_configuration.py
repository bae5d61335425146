"""configuration.yaml contains only what BentoML understands, because BentoML silently ignores typos."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any, get_type_hints

import pytest
import yaml
from _bentoml_sdk.service.config import ServiceConfig
from typing_extensions import is_typeddict  # BentoML's TypedDicts are made with it

from load.processes import ROOT
from rag.config.settings import LOCAL_GENERATOR
from tests.servers import make_environment

pytestmark = pytest.mark.integration

FILE = ROOT / "configuration.yaml"
# In a process of its own: importing the services reads the environment and opens the front's parts.
PRINT_SERVICES = "import service; print(*service.RagService.all_services())"


@pytest.fixture(scope="module")
def configuration() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
    return loaded


def unknown_keys(value: object, schema: object, path: str) -> Iterator[str]:
    """The keys of a mapping that a TypedDict does not have, at any depth; dots part the levels."""
    if not (isinstance(value, Mapping) and is_typeddict(schema)):
        return
    known = get_type_hints(schema)
    for key, inner in value.items():
        if key in known:
            yield from unknown_keys(inner, known[key], f"{path}.{key}")
        else:
            yield f"{path}.{key}"


def test_nothing_but_services_is_configured(configuration: dict[str, Any]) -> None:
    """`version: 2` crashes BentoML 1.4, and its default is what we have."""
    assert configuration.keys() == {"services"}


def test_every_service_of_ours_has_a_block_and_no_other(configuration: dict[str, Any]) -> None:
    """Beside these stand only keys that hold for all services."""
    done = subprocess.run(
        [sys.executable, "-c", PRINT_SERVICES],
        cwd=ROOT,
        env=make_environment(RAG_GENERATOR_MODEL=LOCAL_GENERATOR),
        capture_output=True,
        check=True,
    )

    blocks = configuration["services"].keys() - get_type_hints(ServiceConfig).keys()

    assert blocks == set(done.stdout.decode().splitlines()[-1].split())


def test_every_key_is_one_of_bentomls(configuration: dict[str, Any]) -> None:
    """At every depth, in the blocks of single services and in what holds for all."""
    known = get_type_hints(ServiceConfig)
    services = configuration["services"]
    shared = {key: value for key, value in services.items() if key in known}
    single = {key: value for key, value in services.items() if key not in known}

    unknown = list(unknown_keys(shared, ServiceConfig, "services"))
    for name, block in single.items():
        unknown += unknown_keys(block, ServiceConfig, f"services.{name}")

    assert unknown == []


def test_a_typo_would_be_found() -> None:
    """The check above sees what BentoML lets pass."""
    block = {"traffic": {"timeout": 1, "max_concurency": 2}, "worker": 1}

    assert sorted(unknown_keys(block, ServiceConfig, "S")) == ["S.traffic.max_concurency", "S.worker"]
