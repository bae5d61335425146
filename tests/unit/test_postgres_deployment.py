"""PostgreSQL in deploy/compose and deploy/kubernetes: who writes has another role than who reads, and both find it."""

import json
import re
import shutil
from pathlib import Path
from typing import Any, Final

import yaml
from compose_spec import PyCompose

from load.processes import ROOT
from rag.config.settings import Settings
from rag.index.opening import open_engine
from rag.index.postgres.engine import PostgresEngine
from tests.unit.kubernetes_manifests import KUBERNETES, render

PLACEHOLDER: Final = re.compile(r"\$\{(\w+):([-?])([^}]*)\}")


class _Loader(yaml.SafeLoader):
    """Reads Compose's own tag: what it marks is taken away when files are merged."""


_Loader.add_constructor("!reset", lambda *_: None)


def read_compose(name: str) -> dict[str, Any]:
    text = (ROOT / "deploy" / "compose" / name).read_text("utf-8")
    found: dict[str, Any] = yaml.load(PLACEHOLDER.sub("given", text), _Loader)
    return found


def test_compose_takes_the_profile_and_its_parts_are_those_of_the_main_file() -> None:
    """What it adds to is there; the database is pinned, has no port, and stands behind a healthcheck."""
    services = read_compose("postgres.yaml")["services"]
    database = services.pop("postgres")
    PyCompose.from_json(json.dumps({"services": {"postgres": database | {"configs": []}}})).validate()

    assert services.keys() <= read_compose("compose.yaml")["services"].keys()
    assert re.search(r":\d+\.\d+\.\d+-pg\d+$", database["image"])
    assert "ports" not in database
    assert database["healthcheck"]["test"]
    assert services["ingest"]["network_mode"] is None


def test_fronts_read_by_a_role_that_cannot_write() -> None:
    """Only the Ingestor and the command have the owner's password; the settings and the engine take each URL."""
    services = read_compose("postgres.yaml")["services"]
    urls = {name: each["environment"]["RAG_INDEX_URL"] for name, each in services.items() if name != "postgres"}

    assert {name for name, url in urls.items() if "//rag_front:" in url} == {"rag"}
    assert {name for name, url in urls.items() if "//rag_owner:" in url} == {"ingestor", "ingest"}
    for url in urls.values():
        settings = Settings(index_url=url)
        assert isinstance(open_engine(settings.secret_index_url, settings.index_dir), PostgresEngine)


def test_the_component_gives_each_pod_the_url_of_its_role(tmp_path: Path) -> None:
    """From two Secrets; and the policy lets those pods, and no others, reach the database."""
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    overlay = tmp_path / "kubernetes" / "overlays" / "mine"
    overlay.mkdir()
    overlay.joinpath("kustomization.yaml").write_text(
        "resources: [../../base]\ncomponents: [../../components/uploads, ../../components/postgres]\n", "utf-8"
    )

    rendered = render("overlays/mine", tmp_path / "kubernetes")

    secrets = {
        each.component: variable["valueFrom"]["secretKeyRef"]["name"]
        for each in rendered.containers()
        for variable in each.spec["env"]
        if variable["name"] == "RAG_INDEX_URL"
    }
    (policy,) = (each for each in rendered.of("NetworkPolicy") if each["metadata"]["name"] == "rag-index")
    assert secrets == {
        "front": "rag-index-reader",
        "ingestion": "rag-index-writer",
        "ingestor": "rag-index-writer",
    }
    assert set(policy["spec"]["podSelector"]["matchExpressions"][1]["values"]) == secrets.keys()
    assert policy["spec"]["egress"][0]["ports"] == [{"port": 5432}]
