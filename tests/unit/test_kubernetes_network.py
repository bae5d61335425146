"""deploy/kubernetes: nobody reaches anything but what is written down, and clients reach all of the contract."""

from collections.abc import Mapping
from typing import Final

import pytest

from rag.api.routes import METHODS
from rag.environment import load_settings
from rag.sse import PING_AFTER_S
from schemas.request import BODY_MAX_BYTES
from tests.unit.kubernetes_manifests import COMPONENT, NAME, Manifest, Rendered, render, selects

PORT: Final = 3000
REDIS_PORT: Final = 6379
HUB_PORT: Final = 443
NAMESPACE: Final = "kubernetes.io/metadata.name"
REDIS: Final = "a private address"
INTERNET: Final = "a public address"
# Pods by a name for this file: their namespace and their labels.
PODS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    **{
        component: ("rag", {NAME: "rag", COMPONENT: component})
        for component in ("front", "embedder", "reranker", "generator", "ingestion", "weights")
    },
    "ingress": ("ingress-nginx", {NAME: "ingress-nginx"}),
    "prometheus": ("monitoring", {NAME: "prometheus"}),
    "dns": ("kube-system", {"k8s-app": "kube-dns"}),
    "neighbour": ("default", {NAME: "rag", COMPONENT: "front"}),
    "intruder": ("rag", {}),
}
CIDRS: Final = {REDIS: "10.0.0.0/8", INTERNET: "0.0.0.0/0"}
MODELS: Final = ("embedder", "reranker", "generator")
SERVERS: Final = ("front", *MODELS)
# All that may be, as (who, whom, port); everything else may not.
OPEN: Final = {
    ("ingress", "front", PORT),
    *(("front", model, PORT) for model in MODELS),
    *(("prometheus", server, PORT) for server in SERVERS),
    ("front", "dns", 53),
    ("front", REDIS, REDIS_PORT),
}


def peer_fits(peer: Manifest, who: str) -> bool:
    if who in CIDRS:
        return bool(peer.get("ipBlock", {}).get("cidr") == CIDRS[who])
    if "ipBlock" in peer:
        return False
    namespace, labels = PODS[who]
    # A peer without namespaces means pods of the policy's own.
    there = (
        selects(peer["namespaceSelector"], {NAMESPACE: namespace})
        if "namespaceSelector" in peer
        else namespace == "rag"
    )
    return there and selects(peer.get("podSelector", {}), labels)


def lets(rendered: Rendered, direction: str, pod: str, other: str, port: int) -> bool:
    """Whether the policies of the pod's namespace let it send to (Egress), or take from (Ingress), the other one."""
    if pod in CIDRS or PODS[pod][0] != "rag":
        return True  # others' policies are others' business
    side = {"Ingress": "from", "Egress": "to"}[direction]
    meant = [
        each["spec"]
        for each in rendered.of("NetworkPolicy")
        if direction in each["spec"]["policyTypes"] and selects(each["spec"]["podSelector"], PODS[pod][1])
    ]
    return not meant or any(
        any(peer_fits(peer, other) for peer in rule[side]) and port in {each["port"] for each in rule["ports"]}
        for spec in meant
        for rule in spec.get(direction.lower(), [])
    )


def find_open(rendered: Rendered) -> set[tuple[str, str, int]]:
    everybody = (*PODS, *CIDRS)
    return {
        (who, whom, port)
        for who in everybody
        for whom in everybody
        for port in (PORT, 53, HUB_PORT, REDIS_PORT)
        if {who, whom} & {each for each, (namespace, _) in PODS.items() if namespace == "rag"}
        and lets(rendered, "Egress", who, whom, port)
        and lets(rendered, "Ingress", whom, who, port)
    }


def test_only_the_front_reaches_the_models_and_only_the_ingress_the_front() -> None:
    """Prometheus reaches all of them; the ingestion nothing, and what else runs in the namespace nothing either."""
    assert find_open(render("base")) == OPEN


def test_without_model_services_nobody_is_let_to_them() -> None:
    """Then it is the front alone that can be reached."""
    assert {who for _, who, _ in find_open(render("overlays/all-in-one"))} == {"front", "dns", REDIS}


def test_only_what_fetches_the_weights_reaches_the_internet() -> None:
    """And it reaches nothing else."""
    assert find_open(render("overlays/gpu")) == OPEN | {("weights", "dns", 53), ("weights", INTERNET, HUB_PORT)}


@pytest.mark.parametrize("overlay", ["base", "overlays/all-in-one", "overlays/gpu"])
def test_a_new_pod_reaches_nothing(overlay: str) -> None:
    """Whatever its labels are, until a policy names it."""
    closed = [each["spec"] for each in render(overlay).of("NetworkPolicy") if each["spec"]["podSelector"] == {}]

    assert closed == [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}]


def test_clients_reach_every_path_but_the_metrics() -> None:
    """Those say how much is asked, by whom it is limited, and what fails."""
    (ingress,) = render("base").of("Ingress")
    (rule,) = ingress["spec"]["rules"]
    paths = {each["path"]: each["pathType"] for each in rule["http"]["paths"]}

    def is_routed(path: str) -> bool:
        return any(path == each or (kind == "Prefix" and path.startswith(f"{each}/")) for each, kind in paths.items())

    assert {path for path in METHODS if not is_routed(path)} == {"/metrics"}
    assert paths.keys() <= {path.partition("/{")[0] for path in METHODS}


@pytest.mark.parametrize("overlay", ["base", "overlays/all-in-one", "overlays/gpu"])
def test_citations_lead_through_the_ingress(overlay: str) -> None:
    """Over TLS, which ends there: the server alone would take itself for http."""
    rendered = render(overlay)
    (ingress,) = rendered.of("Ingress")

    settings = load_settings(rendered.environment(rendered.container("front")))
    assert settings.public_url == f"https://{ingress['spec']['rules'][0]['host']}"


def test_the_ingress_passes_events_on_at_once_and_ends_no_stream() -> None:
    """It waits longer for the next byte than the service ever lets it, and takes every body that the service takes."""
    rendered = render("base")
    (ingress,) = rendered.of("Ingress")
    prefix = "nginx.ingress.kubernetes.io/"
    given = {key.removeprefix(prefix): value for key, value in ingress["metadata"]["annotations"].items()}
    settings = load_settings(rendered.environment(rendered.container("front")))

    assert given["proxy-buffering"] == "off"
    assert int(given["proxy-read-timeout"]) > max(settings.request_timeout_s, PING_AFTER_S)
    assert given["proxy-body-size"].endswith("k")
    assert int(given["proxy-body-size"].removesuffix("k")) * 1024 > BODY_MAX_BYTES
