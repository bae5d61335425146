"""deploy/kubernetes: only listed connections are allowed, and clients can reach all of the contract."""

import shutil
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final

import pytest

from rag.api.routes import METHODS
from rag.api.sse import PING_AFTER_S
from rag.config.environment import load_settings
from schemas.request import BODY_MAX_BYTES
from tests.unit.kubernetes_manifests import COMPONENT, KUBERNETES, NAME, Manifest, Rendered, render, selects

PORT: Final = "3000/TCP"
REDIS_PORT: Final = "6379/TCP"
HUB_PORT: Final = "443/TCP"
DNS_PORTS: Final = ("53/UDP", "53/TCP")
NAMESPACE: Final = "kubernetes.io/metadata.name"
GATEWAY: Final = "gateway.networking.k8s.io/gateway-name"
REDIS: Final = "a private address"
INTERNET: Final = "a public address"
# NodeLocal DNSCache listens there on every node, in the node's own network.
NODE_DNS: Final = "the node's DNS cache"
# Where clouds give a node's credentials to whoever asks from the node.
METADATA: Final = "the node's metadata"
# Pods by a name for this file: their namespace and their labels.
PODS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    **{
        component: ("rag", {NAME: "rag", COMPONENT: component})
        for component in ("front", "embedder", "reranker", "generator", "ingestion", "weights")
    },
    "ingress": ("ingress-nginx", {NAME: "ingress-nginx"}),
    "gateway": ("rag-gateway", {GATEWAY: "rag"}),
    "prometheus": ("monitoring", {NAME: "prometheus"}),
    "dns": ("kube-system", {"k8s-app": "kube-dns"}),
    "dns cache": ("kube-system", {"k8s-app": "node-local-dns"}),
    "neighbour": ("default", {NAME: "rag", COMPONENT: "front"}),
    "intruder": ("rag", {}),
}
# What is no pod for a policy, by an address of it.
ADDRESSES: Final = {
    REDIS: ip_address("10.20.30.40"),
    INTERNET: ip_address("203.0.113.7"),
    NODE_DNS: ip_address("169.254.20.10"),
    METADATA: ip_address("169.254.169.254"),
}
MODELS: Final = ("embedder", "reranker", "generator")
SERVERS: Final = ("front", *MODELS)
Open = set[tuple[str, str, str]]


def find_names(pod: str) -> Open:
    """What a pod reaches that may look names up, wherever the cluster has its DNS."""
    return {(pod, dns, port) for dns in ("dns", "dns cache", NODE_DNS) for port in DNS_PORTS}


# All that may be, as (who, whom, port); everything else may not.
OPEN: Final = {
    ("ingress", "front", PORT),
    *(("front", model, PORT) for model in MODELS),
    *(("prometheus", server, PORT) for server in SERVERS),
    *find_names("front"),
    ("front", REDIS, REDIS_PORT),
}


def block_fits(block: Manifest, who: str) -> bool:
    """An address alone is meant by it: what it says of pods is the network plugin's affair."""
    return (
        who in ADDRESSES
        and ADDRESSES[who] in ip_network(block["cidr"])
        and not any(ADDRESSES[who] in ip_network(each) for each in block.get("except", []))
    )


def peer_fits(peer: Manifest, who: str) -> bool:
    if "ipBlock" in peer:
        return block_fits(peer["ipBlock"], who)
    if who in ADDRESSES:
        return False
    namespace, labels = PODS[who]
    # A peer without namespaces means pods of the policy's own.
    there = (
        selects(peer["namespaceSelector"], {NAMESPACE: namespace})
        if "namespaceSelector" in peer
        else namespace == "rag"
    )
    return there and selects(peer.get("podSelector", {}), labels)


def lets(rendered: Rendered, direction: str, pod: str, other: str, port: str) -> bool:
    """Whether the policies of the pod's namespace let it send to (Egress), or take from (Ingress), the other one."""
    if pod in ADDRESSES or PODS[pod][0] != "rag":
        return True  # others' policies are others' business
    side = {"Ingress": "from", "Egress": "to"}[direction]
    meant = [
        each["spec"]
        for each in rendered.of("NetworkPolicy")
        if direction in each["spec"]["policyTypes"] and selects(each["spec"]["podSelector"], PODS[pod][1])
    ]
    return not meant or any(
        any(peer_fits(peer, other) for peer in rule[side])
        and port in {f"{each['port']}/{each.get('protocol', 'TCP')}" for each in rule["ports"]}
        for spec in meant
        for rule in spec.get(direction.lower(), [])
    )


def find_open(rendered: Rendered, redis_port: str = REDIS_PORT) -> Open:
    everybody = (*PODS, *ADDRESSES)
    return {
        (who, whom, port)
        for who in everybody
        for whom in everybody
        for port in {PORT, *DNS_PORTS, HUB_PORT, "80/TCP", REDIS_PORT, redis_port}
        if {who, whom} & {each for each, (namespace, _) in PODS.items() if namespace == "rag"}
        and lets(rendered, "Egress", who, whom, port)
        and lets(rendered, "Ingress", whom, who, port)
    }


def test_only_the_front_reaches_the_models_and_only_the_ingress_the_front() -> None:
    """Prometheus reaches all of them; the ingestion nothing, and what else runs in the namespace nothing either."""
    assert find_open(render("base")) == OPEN


def test_without_model_services_nobody_is_let_to_them() -> None:
    """Then it is the front alone that can be reached."""
    assert {who for _, who, _ in find_open(render("overlays/all-in-one"))} == {
        "front",
        REDIS,
        *(dns for _, dns, _ in find_names("front")),
    }


def test_only_what_fetches_the_weights_reaches_the_internet() -> None:
    """And it reaches nothing else; the node's credentials are no internet."""
    assert find_open(render("overlays/gpu")) == OPEN | find_names("weights") | {("weights", INTERNET, HUB_PORT)}


@pytest.mark.parametrize("port", [6378, 6380, 10000, 25061])
def test_another_port_of_the_redis_is_one_number_in_one_file(port: int, tmp_path: Path) -> None:
    """The component replaces the one that `base` opens: the front reaches it and no longer 6379, nobody else does."""
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    component = tmp_path / "kubernetes" / "components" / "managed-redis" / "kustomization.yaml"
    before = component.read_text("utf-8")
    component.write_text(before.replace("- port: 6380", f"- port: {port}"), "utf-8")
    overlay = tmp_path / "kubernetes" / "overlays" / "mine"
    overlay.mkdir()
    overlay.joinpath("kustomization.yaml").write_text(
        "resources: [../../base]\ncomponents: [../../components/managed-redis]\n", "utf-8"
    )

    found = find_open(render("overlays/mine", tmp_path / "kubernetes"), f"{port}/TCP")

    assert before.count("- port: ") == 1
    assert found == OPEN - {("front", REDIS, REDIS_PORT)} | {("front", REDIS, f"{port}/TCP")}


def test_only_one_policy_speaks_of_the_redis() -> None:
    """So that its port is changed in one place."""
    policies = render("base").of("NetworkPolicy")

    assert [each["metadata"]["name"] for each in policies if "6379" in str(each)] == ["rag-redis"]


def test_behind_the_gateway_api_the_front_is_open_to_its_proxies_alone() -> None:
    """And no longer to those of ingress-nginx."""
    assert find_open(render("overlays/gateway")) == OPEN - {("ingress", "front", PORT)} | {("gateway", "front", PORT)}


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
