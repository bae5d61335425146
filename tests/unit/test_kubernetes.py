"""deploy/kubernetes: Kubernetes knows every object, and every pod is started, probed, isolated and ended correctly.

The overlays are tested in test_kubernetes_overlays.py, the network policies in test_kubernetes_network.py, and the
number of pods in test_kubernetes_scaling.py.
"""

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest
import yaml

from rag.config.environment import environment_name, load_settings
from rag.config.model_ref import ModelRef
from rag.config.settings import PREFIX, Settings
from rag.ingestion.arguments import parse_arguments
from tests.unit.kubernetes_manifests import (
    NAME,
    OVERLAYS,
    SECRETS,
    Container,
    Rendered,
    render,
    selects,
)

# The oldest version that Kubernetes itself still maintains.
KUBERNETES_VERSION: Final = "1.35"
# Below, users of the node and of other images are to be expected (CKV_K8S_40).
USER_FROM: Final = 10_000
# What BentoML's timeout of a request is above the longest deadline (service.py).
BENTOML_MARGIN_S: Final = 30

overlays = pytest.mark.parametrize("overlay", OVERLAYS)
FOUND: Final = [(overlay, render(overlay), each) for overlay in OVERLAYS for each in render(overlay).containers()]


def parametrize(chosen: Iterable[tuple[str, Rendered, Container]]) -> pytest.MarkDecorator:
    cases = [pytest.param(rendered, each, id=f"{overlay}-{each.id}") for overlay, rendered, each in chosen]
    return pytest.mark.parametrize(("rendered", "container"), cases)


containers = parametrize(FOUND)
servers = parametrize(each for each in FOUND if each[2].is_server)


@overlays
def test_kubernetes_knows_every_field(overlay: str) -> None:
    """A field that the API server does not know is dropped there, and nobody hears of it."""
    problems = []
    for each in render(overlay).objects:
        if each["kind"] == "PodMonitor":
            continue  # the Prometheus operator's; see below
        try:
            kubernetes_validate.validate(each, KUBERNETES_VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            problems.append(f"{each['kind']}/{each['metadata']['name']}: {list(error.path)}: {error.message}")

    assert problems == []


def test_a_typo_would_be_found() -> None:
    """The check above sees what the API server would let pass."""
    deployment = yaml.safe_load(yaml.safe_dump(render("base").of("Deployment")[0]))
    deployment["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}

    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(deployment, KUBERNETES_VERSION, strict=True)


@pytest.mark.parametrize("overlay", ["base", "overlays/all-in-one", "overlays/gpu"])
def test_prometheus_looks_at_every_server_and_at_nothing_else(overlay: str) -> None:
    """By a port that each of them has; the canary's are found by the stable PodMonitor."""
    rendered = render(overlay)
    (monitor,) = rendered.of("PodMonitor")
    spec = monitor["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]

    seen = [each for each in rendered.containers() if selects(spec["selector"], each.labels)]

    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert spec.keys() == {"jobLabel", "selector", "podTargetLabels", "podMetricsEndpoints"}
    assert endpoint["path"] == "/metrics"
    assert seen == [each for each in rendered.containers() if each.is_server]
    assert all(endpoint["port"] in {port["name"] for port in each.spec["ports"]} for each in seen)
    assert all(selects(spec["selector"], each.labels) for each in render("overlays/canary").containers())


@servers
def test_every_server_is_probed(rendered: Rendered, container: Container) -> None:
    """The front on the contract's paths, whose liveness touches no dependency; a model service on BentoML's."""
    probes = {kind: container.spec[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    alive, ready = ("/health", "/ready") if container.component == "front" else ("/livez", "/readyz")

    assert {kind: each["path"] for kind, each in probes.items()} == {
        "startup": alive,
        "liveness": alive,
        "readiness": ready,
    }
    assert {each["port"] for each in probes.values()} == {"http"}


@containers
def test_every_container_says_what_it_takes(rendered: Rendered, container: Container) -> None:
    """Memory is promised in full: a pod that may take more than it asked for is the first to be killed."""
    requests, limits = container.spec["resources"]["requests"], container.spec["resources"]["limits"]

    assert requests.keys() == limits.keys() >= {"cpu", "memory"}
    assert {name: each for name, each in requests.items() if name != "cpu"} == {
        name: each for name, each in limits.items() if name != "cpu"
    }
    assert int(requests["cpu"]) <= int(limits["cpu"])


@containers
def test_no_container_can_do_more_than_it_must(rendered: Rendered, container: Container) -> None:
    """The profile `restricted` of Kubernetes, to which the namespace holds the pods, and a read-only root."""
    pod = container.pod
    ids = ("runAsUser", "runAsGroup", "fsGroup")

    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers", "initContainers"} & pod.keys()
    assert not any("hostPath" in each for each in pod["volumes"])
    assert container.spec["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"].keys() == {*ids, "runAsNonRoot", "fsGroupChangePolicy", "seccompProfile"}
    assert len({pod["securityContext"][name] for name in ids}) == 1
    assert pod["securityContext"]["runAsUser"] > USER_FROM
    assert pod["automountServiceAccountToken"] is False
    assert "emptyDir" in container.mounts()["/tmp"]


@containers
def test_kubernetes_adds_no_settings(rendered: Rendered, container: Container) -> None:
    """For the Service rag-embedder it would set RAG_EMBEDDER_PORT, and unknown RAG_ names stop the start."""
    assert container.pod["enableServiceLinks"] is False


@servers
def test_a_stream_ends_before_its_pod_does(rendered: Rendered, container: Container) -> None:
    """The pod leaves the Services, then what runs comes to its end, then it may be killed; at no other point."""
    settings = load_settings(rendered.environment(container))
    left_s = container.pod["terminationGracePeriodSeconds"] - container.spec["lifecycle"]["preStop"]["sleep"]["seconds"]

    assert left_s > max(settings.request_timeout_s, settings.stream_timeout_s) + BENTOML_MARGIN_S


@servers
def test_a_roll_out_takes_no_pod_away_before_the_next_one_is_ready(rendered: Rendered, container: Container) -> None:
    """And it waits longer for a pod than the pod may take to start."""
    spec, startup = container.workload["spec"], container.spec["startupProbe"]

    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert spec["progressDeadlineSeconds"] > startup["periodSeconds"] * startup["failureThreshold"]


@servers
def test_the_pods_of_a_service_are_spread(rendered: Rendered, container: Container) -> None:
    """Over nodes and over zones, each service by itself."""
    spread = container.pod["topologySpreadConstraints"]

    assert {each["topologyKey"] for each in spread} == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    assert all(selects(each["labelSelector"], container.labels) for each in spread)
    assert all(set(each["matchLabelKeys"]) - {"pod-template-hash"} < container.labels.keys() for each in spread)


@containers
def test_the_settings_of_every_pod_hold_together(rendered: Rendered, container: Container) -> None:
    """Each of them starts; the front as `production`, the others with the same models, which are pinned."""
    settings = load_settings(rendered.environment(container))
    front = load_settings(rendered.environment(rendered.container("front")))
    models = ("index_dir", "embedder_model", "reranker_model", "verifier_model", "generator_model")

    assert (front.env, front.redis_lost) == ("production", "fail_closed")
    assert [getattr(settings, name) for name in models] == [getattr(front, name) for name in models]
    assert all(ModelRef.parse(getattr(front, name)).pinned for name in models[1:] if getattr(front, name))


@overlays
def test_no_secret_is_in_the_files(overlay: str) -> None:
    """Secrets are named and never given; what is secret comes from them alone."""
    rendered = render(overlay)
    secret = {environment_name(name) for name, field in Settings.model_fields.items() if "SecretStr" in str(field)}
    given: set[str] = set().union(*(each["data"] for each in rendered.of("ConfigMap")))
    environment = {each["name"]: each for container in rendered.containers() for each in container.spec["env"]}

    assert secret == SECRETS.keys()
    assert rendered.of("Secret") == []
    assert not given & secret
    assert all("value" not in environment[name] for name in secret)
    assert "secret" in rendered.container("front").mounts()["/etc/rag"]


@overlays
def test_only_the_ingestion_writes_the_index(overlay: str) -> None:
    """The fronts only read it, and the model services do not have it."""
    rendered = render(overlay)
    index_dir = str(load_settings(rendered.environment(rendered.container("front"))).index_dir)

    mounts = {each.component: each.mounts().get(index_dir) for each in rendered.containers()}
    found = {component: each for component, each in mounts.items() if each}
    readers = {component: each.get("readOnly", False) for component, each in found.items()}

    assert readers == {"front": True} | ({} if overlay == "overlays/canary" else {"ingestion": False})
    assert {each["persistentVolumeClaim"]["claimName"] for each in found.values()} == {"rag-index"}


def test_the_index_follows_the_folder_of_each_tenant(tmp_path: Path) -> None:
    """Each is synced, also after one that failed, and the Job fails; an empty folder never empties an index."""
    _, _, script = render("base").container("ingestion").spec["args"]
    documents, programs = tmp_path / "documents", tmp_path / "bin"
    for folder in (documents / "acme", documents / "demo", programs):
        folder.mkdir(parents=True)
    stand_in = programs / "python"
    stand_in.write_text('#!/bin/sh\necho "$@"\ncase "$*" in *acme*) exit 1;; esac\n')
    stand_in.chmod(0o755)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}"}
    ran = subprocess.run(
        ["sh", "-c", script.replace("/documents", str(documents))],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    called = [parse_arguments(line.split()[2:]) for line in ran.stdout.splitlines()]

    assert ran.returncode == 1
    assert [(each.command, each.tenant, each.allow_empty) for each in called] == [
        ("sync", "acme", False),
        ("sync", "demo", False),
    ]


@overlays
def test_every_claim_and_every_service_that_is_named_exists(overlay: str) -> None:
    """In the same namespace; the canary uses the stable one's too."""
    rendered, stable = render(overlay), render("base")
    claims = stable.names("PersistentVolumeClaim") | rendered.names("PersistentVolumeClaim")
    services = stable.names("Service") | rendered.names("Service")
    front = load_settings(rendered.environment(rendered.container("front")))
    urls = [url for url in (front.embedder_url, front.reranker_url, front.generator_url) if url]
    mounts = [each for container in rendered.containers() for each in container.mounts().values()]

    assert {each["metadata"].get("namespace", "rag") for each in rendered.objects} == {"rag"}
    assert {each["persistentVolumeClaim"]["claimName"] for each in mounts if "persistentVolumeClaim" in each} <= claims
    assert {url.removeprefix("http://").split(":")[0] for url in urls} <= services
    assert {url.split(":")[2].removesuffix("/v1") for url in urls} <= {"3000"}


@overlays
def test_a_service_leads_to_the_pods_of_one_deployment(overlay: str) -> None:
    """Stable and canary run in one namespace: neither Service takes the other's pods."""
    pods = {each.id: each for each in (*render(overlay).containers(), *render("base").containers())}
    pods |= {each.id: each for each in render("overlays/canary").containers()}

    for service in render(overlay).of("Service"):
        (target,) = (
            each for each in pods.values() if selects({"matchLabels": service["spec"]["selector"]}, each.labels)
        )
        (port,) = service["spec"]["ports"]

        assert target.id == f"Deployment/{service['metadata']['name']}"
        assert port["port"] == 3000
        assert port["targetPort"] in {each["name"] for each in target.spec["ports"]}


@overlays
def test_all_pods_of_an_overlay_run_one_image(overlay: str) -> None:
    """With a tag that says which, or a digest; and one user, who made the index that the fronts read."""
    found = render(overlay).containers()
    (image,) = {each.spec["image"] for each in found}
    (user,) = {each.pod["securityContext"]["runAsUser"] for each in found}

    assert re.search(r"@sha256:[0-9a-f]{64}$|:\d[\w.-]*$", image)
    assert user == render("base").container("front").pod["securityContext"]["runAsUser"]


@overlays
def test_every_setting_is_one_of_ours_and_every_object_bears_our_name(overlay: str) -> None:
    """A typo in a name would stop the start; what is not labelled is not found again."""
    rendered = render(overlay)
    known = {environment_name(field) for field in Settings.model_fields}
    given: set[str] = set().union(*(each["data"] for each in rendered.of("ConfigMap")))

    assert {each for each in given if each.startswith(PREFIX)} <= known
    assert {each["metadata"]["labels"][NAME] for each in rendered.objects} == {"rag"}
