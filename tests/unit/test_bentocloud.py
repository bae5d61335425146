"""deploy/bentocloud: BentoML, which does not report unknown lines, reads every line, and the services start."""

import warnings
from pathlib import Path
from typing import Any, Final, get_type_hints

import pytest
import yaml

from rag.config.environment import load_settings
from rag.config.settings import Settings

# BentoML has no public name for what it makes of the files; an upgrade that moves these is to be seen here.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # BentoML 1.4 asks pathspec for patterns by their old name
    from _bentoml_sdk.service.config import ServiceConfig
    from bentoml._internal.cloud.deployment import DeploymentAPI
    from bentoml._internal.cloud.schemas.modelschemas import DeploymentStrategy
    from bentoml._internal.cloud.schemas.schemasv2 import CreateDeploymentSchema, UpdateDeploymentSchema
    from bentoml._internal.utils import deep_merge
    from bentoml._internal.utils.cattr import bentoml_cattr

ROOT: Final = Path(__file__).parents[2]
# What stands in for the values of the secret `rag-secrets`.
SECRETS: Final = {"RAG_REDIS_URL": "rediss://limits:6379/0"}
# Of BentoCloud's documents, "Autoscaling policies"; the schema takes any text.
BEHAVIORS: Final = {"fast", "stable", "disabled"}

File = dict[str, Any]  # Any: YAML


def read(name: str) -> File:
    loaded: File = yaml.safe_load((ROOT / "deploy" / "bentocloud" / f"{name}.yaml").read_text("utf-8"))
    return loaded


def read_canary() -> File:
    """The one version beside the stable one."""
    (version,) = read("canary")["canary"]["versions"].values()
    assert isinstance(version, dict)
    return version


def targets() -> dict[str, File]:
    """Both versions; each has Bento, secrets, environment and services."""
    return {"stable": read("rag"), "canary": read_canary()}


def settings_of(target: File, service: str) -> Settings:
    """What an instance of the service reads; its own environment comes before the deployment's."""
    given = {each["name"]: each["value"] for each in (*target["envs"], *target["services"][service].get("envs", []))}
    return load_settings({**SECRETS, **given})


def structured(file: File, schema: type) -> File:
    """What BentoML would send."""
    config = bentoml_cattr.structure(file, schema)
    DeploymentAPI._fix_and_validate_schema(config)
    sent: File = bentoml_cattr.unstructure(config)
    return sent


def test_every_line_of_the_deployment_is_sent() -> None:
    """BentoML leaves out what it does not know without a word."""
    assert structured(read("rag"), CreateDeploymentSchema) == read("rag")


def test_every_line_of_the_canary_is_sent() -> None:
    """Merged into the deployment that serves, as `bentoml deployment update` does it, and the rest stays."""
    merged = deep_merge(read("rag"), read("canary"))

    sent = structured(merged, UpdateDeploymentSchema)

    assert sent == {name: each for name, each in merged.items() if name != "name"}
    assert sent["canary"] == read("canary")["canary"]


def test_a_typo_would_be_found() -> None:
    """The checks above see what BentoML lets pass."""
    file = read("rag")
    file["services"]["Embedder"]["scaling"]["min_replica"] = 1

    assert structured(file, CreateDeploymentSchema) != file


@pytest.mark.parametrize("version", targets())
def test_every_service_is_deployed_and_no_other(version: str) -> None:
    """With a type of instance, bounds, and knobs that BentoML has."""
    configured = yaml.safe_load((ROOT / "configuration.yaml").read_text("utf-8"))["services"].keys()
    services = targets()[version]["services"]

    assert services.keys() == configured - get_type_hints(ServiceConfig).keys()
    for name, each in services.items():
        if name == "Ingestor":  # it would write the index, and there is no volume for it
            assert (each["scaling"]["min_replicas"], each["scaling"]["max_replicas"]) == (0, 1)
            assert each["deployment_strategy"] == DeploymentStrategy.Recreate.value
            assert settings_of(targets()[version], name).uploads == "off"
            continue
        assert 1 <= each["scaling"]["min_replicas"] < each["scaling"]["max_replicas"]
        assert set(each["scaling"]["policy"].values()) <= BEHAVIORS
        assert each["deployment_strategy"] == DeploymentStrategy.RollingUpdate.value
        assert each["config_overrides"].keys() == {"traffic"}
        assert each["config_overrides"]["traffic"].keys() == {"concurrency"}


@pytest.mark.parametrize("version", targets())
def test_the_services_start_as_production(version: str) -> None:
    """With the secrets filled in, which are named and not given."""
    target = targets()[version]

    assert {settings_of(target, service).env for service in target["services"]} == {"production"}
    assert target["secrets"] == ["rag-secrets", "rag-identities"]
    assert not SECRETS.keys() & {each["name"] for each in target["envs"]}


@pytest.mark.parametrize("version", targets())
def test_there_is_another_instance_before_one_is_full(version: str) -> None:
    """Seven tenths of what a front lets in and of what a generator drafts at once."""
    target = targets()[version]
    settings = settings_of(target, "RagService")
    concurrency = {
        name: each["config_overrides"]["traffic"]["concurrency"] for name, each in target["services"].items()
    }

    assert concurrency["RagService"] == int(0.7 * settings.max_concurrent_requests)
    assert concurrency["Generator"] == int(0.7 * settings.generator_max_running)


def test_the_canary_is_another_bento_with_another_version_for_a_share_of_the_requests() -> None:
    """Of the same deployment, and else like the stable one."""
    stable, canary = targets()["stable"], targets()["canary"]
    fronts = [settings_of(each, "RagService").model_dump() for each in (stable, canary)]

    assert read("canary")["name"] == stable["name"]
    assert canary["bento"] != stable["bento"]
    assert 0 <= canary["weight"] <= 100
    assert {name for name in fronts[0] if fronts[0][name] != fronts[1][name]} == {"model_version"}
