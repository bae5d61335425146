"""deploy/kubernetes: one service per pod, all in one pod, on GPUs, and the next version beside the serving one."""

import shutil
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from rag.config.environment import load_settings
from tests.unit.kubernetes_manifests import INSTANCE, KUBERNETES, ROOT, Manifest, Rendered, render

MODEL_SERVICES: Final = {"embedder": "Embedder", "reranker": "Reranker", "generator": "Generator"}


def test_one_service_runs_in_each_pod() -> None:
    """And each service that there is in one of them."""
    declared = yaml.safe_load((ROOT / "configuration.yaml").read_text("utf-8"))["services"].keys()
    rendered = render("base")

    served = {each.component: each.spec["args"][2] for each in rendered.containers() if each.is_server}

    assert served == {"front": "service:RagService"} | {key: f"service:{name}" for key, name in MODEL_SERVICES.items()}
    assert declared >= {each.removeprefix("service:") for each in served.values()}


def test_all_in_one_is_one_deployment_of_the_whole_image() -> None:
    """What the image runs by itself, and the front looks for no service outside."""
    rendered = render("overlays/all-in-one")
    front = rendered.container("front")
    settings = load_settings(rendered.environment(front))

    assert rendered.names("Deployment") == rendered.names("Service") == {"rag"}
    assert "args" not in front.spec
    assert (settings.embedder_url, settings.reranker_url, settings.generator_url) == (None, None, None)


def test_every_model_has_a_gpu() -> None:
    """The front has none; documents are embedded on one too."""
    gpus = {
        each.component: each.spec["resources"]["limits"].get("nvidia.com/gpu")
        for each in render("overlays/gpu").containers()
    }

    assert gpus == {**dict.fromkeys(MODEL_SERVICES, "1"), "ingestion": "1", "front": None, "weights": None}


def test_the_gpu_settings_are_those_of_the_profile() -> None:
    """Only the generator's share of its GPU differs, which it has for itself here."""
    lines = (ROOT / "deploy" / "gpu.env").read_text("utf-8").splitlines()
    profile = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    rendered = render("overlays/gpu")
    (given,) = (each["data"] for each in rendered.of("ConfigMap") if "RAG_EMBEDDER_MODEL" in each["data"])
    alone = "RAG_GENERATOR_GPU_MEMORY_FRACTION"

    assert given.keys() - profile.keys() == {"RAG_INDEX_DIR", "HF_HOME"}
    assert {name for name in profile if given[name] != profile[name]} == {alone}
    assert float(given[alone]) > float(profile[alone])


def test_the_weights_are_fetched_by_one_pod_and_read_by_all() -> None:
    """Where the hub's library looks for them."""
    mounts = {each.component: each.mounts()["/models"] for each in render("overlays/gpu").containers()}

    assert {component for component, each in mounts.items() if not each.get("readOnly")} == {"weights"}
    assert {each["persistentVolumeClaim"]["claimName"] for each in mounts.values()} == {"rag-weights"}


def take_over(tmp_path: Path) -> Rendered:
    """The canary of the GPU profile: the one line that its comment speaks of, changed."""
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    file = tmp_path / "kubernetes" / "overlays" / "canary" / "kustomization.yaml"
    file.write_text(file.read_text("utf-8").replace("- ../../base # or ../gpu", "- ../gpu # or ../gpu"), "utf-8")
    return render("overlays/canary", tmp_path / "kubernetes")


@pytest.mark.parametrize("stable", ["base", "overlays/gpu"])
def test_a_canary_is_a_front_and_a_generator_beside_the_stable_ones(stable: str, tmp_path: Path) -> None:
    """Nothing of the stable version is in it: to delete it is to roll back."""
    canary = render("overlays/canary") if stable == "base" else take_over(tmp_path)

    assert canary.names("Deployment") == canary.names("Service") == {"rag-canary", "rag-generator-canary"}
    assert {each["kind"] for each in canary.objects} == {
        "ConfigMap",
        "Service",
        "Deployment",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
        "Ingress",
    }
    assert all(each["metadata"]["name"].startswith("rag") for each in canary.objects)
    assert not {name(each) for each in canary.objects} & {name(each) for each in render(stable).objects}
    assert {each.labels[INSTANCE] for each in canary.containers()} == {"canary"}


def name(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def test_a_canary_differs_by_image_version_and_generator() -> None:
    """All else is the stable version's: quotas, identities, Embedder, Reranker, index."""
    rendered = {instance: render(overlay) for instance, overlay in (("stable", "base"), ("canary", "overlays/canary"))}
    fronts = {instance: each.container("front") for instance, each in rendered.items()}
    settings: dict[str, dict[str, Any]] = {
        instance: load_settings(each.environment(fronts[instance])).model_dump() for instance, each in rendered.items()
    }

    differ = {key for key in settings["stable"] if settings["stable"][key] != settings["canary"][key]}

    assert differ == {"model_version", "generator_url"}
    assert settings["canary"]["generator_url"] == "http://rag-generator-canary:3000/v1"
    assert fronts["canary"].spec["image"] != fronts["stable"].spec["image"]
    assert fronts["canary"].mounts() == fronts["stable"].mounts()


def test_a_share_of_the_requests_goes_to_the_canary() -> None:
    """By its annotations, on the same host and paths as the stable Ingress."""
    (canary,), (stable,) = render("overlays/canary").of("Ingress"), render("base").of("Ingress")
    annotations = canary["metadata"]["annotations"]

    assert annotations["nginx.ingress.kubernetes.io/canary"] == "true"
    assert 0 <= int(annotations["nginx.ingress.kubernetes.io/canary-weight"]) <= 100
    assert routes(canary) == dict.fromkeys(routes(stable), "rag-canary")


def routes(ingress: Manifest) -> dict[tuple[str, str], str]:
    return {
        (rule["host"], path["path"]): path["backend"]["service"]["name"]
        for rule in ingress["spec"]["rules"]
        for path in rule["http"]["paths"]
    }
