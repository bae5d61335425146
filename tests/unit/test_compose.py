"""deploy/compose: Compose accepts the file, exposes nothing, and its parts find each other."""

import json
import re
import tomllib
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import yaml
from compose_spec import PyCompose

from load.processes import ROOT
from rag.config.settings import PREFIX, Settings
from tests.watched import GRAFANA, PROMETHEUS

FOLDER: Final = ROOT / "deploy" / "compose"
TEXT: Final = (FOLDER / "compose.yaml").read_text("utf-8")
# `${NAME:-default}`, `${NAME:?what is missing}`
PLACEHOLDER: Final = re.compile(r"\$\{(\w+):([-?])([^}]*)\}")
COMPOSE: Final[dict[str, Any]] = yaml.safe_load(
    PLACEHOLDER.sub(lambda found: found[3] if found[2] == "-" else "given", TEXT)
)
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
# The others do one thing and end.
SERVERS: Final = ("rag", "valkey", "milvus", "prometheus", "grafana")

services = pytest.mark.parametrize("name", SERVICES)
servers = pytest.mark.parametrize("name", SERVERS)


def list_mounts() -> list[tuple[str, str, str]]:
    """Service, source and target of each volume."""
    volumes = [(name, volume.split(":")) for name, service in SERVICES.items() for volume in service.get("volumes", ())]
    return [(name, parts[0], ":".join(parts[1:])) for name, parts in volumes]


def test_compose_takes_the_file() -> None:
    """By the specification's types; what a service refers to is there."""
    PyCompose.from_json(json.dumps(COMPOSE)).validate()


@services
def test_images_are_pinned(name: str) -> None:
    """By a whole version."""
    assert re.search(r":v?\d+\.\d+\.\d+(-\w+)?$", SERVICES[name]["image"])


def test_the_image_is_of_this_version() -> None:
    """A release changes both."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert {SERVICES[name]["image"] for name in ("rag", "index-owner", "ingest", "ingestor")} == {f"rag:{version}"}


@services
def test_ports_are_this_machines_alone(name: str) -> None:
    """The service is open, for one tenant: nobody else may reach it."""
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


@services
def test_containers_can_do_little(name: str) -> None:
    """The root file system is read-only, and only the one that gives the volume away has a capability."""
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["CHOWN"] if name == "index-owner" else [])
    assert "no-new-privileges:true" in service["security_opt"]


@servers
def test_servers_are_watched_and_bounded(name: str) -> None:
    """One that hangs is seen, one that leaks takes nothing from the others, and one that ends comes back."""
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["mem_limit"]
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_secrets_come_from_outside() -> None:
    """Each place for one has a name that must be given, and no default."""
    secret = {name for name, kind, _ in PLACEHOLDER.findall(TEXT) if kind == "?"}
    values = re.findall(r"^ +\w*(?:PASSWORD|AUTH|KEY|SECRET|REDIS_URL)\w*: (.+)$", TEXT, re.MULTILINE)

    assert secret == {"VALKEY_PASSWORD", "GRAFANA_PASSWORD"}
    assert len(values) == 3
    assert all(PLACEHOLDER.search(value) for value in values)


def test_settings_are_the_services_own() -> None:
    """The service refuses to start on a RAG_ name that it does not know."""
    names = {
        name for service in SERVICES.values() for name in service.get("environment", {}) if name.startswith(PREFIX)
    }

    assert {name.removeprefix(PREFIX).lower() for name in names} <= set(Settings.model_fields)


def test_what_is_mounted_exists() -> None:
    """Of a file that is missing, Docker makes a folder."""
    sources = [source for _, source, _ in list_mounts() if source.startswith(".")]

    assert len(sources) == 4
    assert [source for source in sources if not (FOLDER / source).exists()] == []


def test_only_ingestion_writes_the_index() -> None:
    """The front reads what it publishes."""
    index = {(name, target) for name, source, target in list_mounts() if source == "index"}

    writers = {"index-owner", "ingest", "ingestor"}
    assert index == {("rag", "/data/index:ro"), *((name, "/data/index") for name in writers)}


def test_milvus_is_there_only_if_asked_for() -> None:
    """It takes gigabytes; without the profile the index is in files."""
    assert SERVICES["milvus"]["profiles"] == ["milvus"]
    assert [name for name, service in SERVICES.items() if "milvus" in service.get("depends_on", {})] == []


def test_prometheus_and_grafana_find_what_they_ask() -> None:
    """By the names of the services, on the ports that these listen on."""
    prometheus = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text())
    (source,) = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]
    targets = [
        target for job in prometheus["scrape_configs"] for each in job["static_configs"] for target in each["targets"]
    ]

    for address in (*targets, urlsplit(source["url"]).netloc):
        service, port = address.split(":")
        assert [published.rsplit(":", 1)[1] for published in SERVICES[service]["ports"]] == [port]


def test_the_dashboard_is_where_grafana_looks() -> None:
    """Else it starts without one, and says so in its log alone."""
    (provider,) = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "rag.yaml").read_text())["providers"]

    assert ("grafana", "../grafana/dashboard.json", f"{provider['options']['path']}/dashboard.json:ro") in list_mounts()
