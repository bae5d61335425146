"""deploy/kubernetes by the Gateway API: the same way in as the Ingress is, and the same shares for a canary.

Which fields there are is said by gateway_models.py; who reaches whom is in test_kubernetes_network.py.
"""

import re
import shutil
from typing import Final

import pytest
import yaml
from pydantic import ValidationError

from rag.config.environment import load_settings
from tests.unit.gateway_models import Gateway, HttpRoute
from tests.unit.kubernetes_manifests import KUBERNETES, NAME, Manifest, Rendered, render, selects

ROUTES: Final = ("gateway/stable", "gateway/canary")
HEADER: Final = "x-rag-canary"
# What a request may take to come and an answer to go, beside the service's own deadline: headers 15 s, and as much.
WAY_S: Final = 30

routes = pytest.mark.parametrize("folder", ROUTES)


def read_route(folder: str) -> HttpRoute:
    (route,) = render(folder).of("HTTPRoute")
    return HttpRoute.model_validate(route)


def read_gateway(folder: str) -> Gateway:
    (gateway,) = render(folder).of("Gateway")
    return Gateway.model_validate(gateway)


def by_name(rendered: Rendered) -> dict[tuple[str, str], Manifest]:
    return {(each["kind"], each["metadata"]["name"]): each for each in rendered.objects}


@routes
def test_the_gateway_api_knows_every_field(folder: str) -> None:
    """There is a Gateway and a route in each, and nothing besides but the Gateway's namespace."""
    gateway, route = read_gateway(folder), read_route(folder)

    assert {each["kind"] for each in render(folder).objects} == {"Namespace", "Gateway", "HTTPRoute"}
    assert {gateway.metadata.labels[NAME], route.metadata.labels[NAME]} == {"rag"}


@pytest.mark.parametrize(
    ("line", "typo"),
    [
        ("timeouts: {request: 90s}", "timeout: {request: 90s}"),
        ("timeouts: {request: 90s}", "timeouts: {request: 90}"),
        ("weight: 100", "weigth: 100"),
        ("type: Exact", "type: exact"),
    ],
)
def test_a_typo_would_be_found(line: str, typo: str) -> None:
    """The check above sees what the API server would drop or refuse."""
    text = yaml.safe_dump(render("gateway/stable").of("HTTPRoute")[0]).replace(
        "timeouts:\n      request: 90s", "timeouts: {request: 90s}"
    )
    assert line in text

    with pytest.raises(ValidationError):
        HttpRoute.model_validate(yaml.safe_load(text.replace(line, typo, 1)))


@routes
def test_the_route_hangs_on_the_gateway(folder: str) -> None:
    """Which lets in the routes of our namespace alone, by TLS, for the same host."""
    gateway, route = read_gateway(folder), read_route(folder)
    (listener,), (parent,) = gateway.spec.listeners, route.spec.parent_refs
    (namespace,) = render("base").of("Namespace")

    assert (parent.name, parent.namespace) == (gateway.metadata.name, gateway.metadata.namespace)
    assert parent.section_name == listener.name
    assert route.spec.hostnames == [listener.hostname]
    assert route.metadata.namespace == namespace["metadata"]["name"]
    assert listener.allowed_routes.namespaces.selector.match_labels == {
        "kubernetes.io/metadata.name": route.metadata.namespace
    }


@routes
def test_clients_reach_by_the_route_what_they_reach_by_the_ingress(folder: str) -> None:
    """The same paths of the same host; so what is said of those holds for these."""
    (ingress,) = render("base").of("Ingress")
    (rule,) = ingress["spec"]["rules"]
    kinds = {"Exact": "Exact", "Prefix": "PathPrefix"}
    route = read_route(folder)
    everybody = route.spec.rules[0]

    assert route.spec.hostnames == [rule["host"]]
    assert {(each.path.type, each.path.value) for each in everybody.matches} == {
        (kinds[each["pathType"]], each["path"]) for each in rule["http"]["paths"]
    }
    assert all(each.headers == [] for each in everybody.matches)


@routes
def test_the_gateway_ends_no_stream(folder: str) -> None:
    """It gives a request longer than the service ever takes for it."""
    rendered = render("base")
    settings = load_settings(rendered.environment(rendered.container("front")))
    longest_s = max(settings.request_timeout_s, settings.stream_timeout_s)

    for rule in read_route(folder).spec.rules:
        found = re.fullmatch(r"(\d+)s", rule.timeouts.request)
        assert found is not None
        assert int(found[1]) >= longest_s + WAY_S


@routes
def test_every_backend_is_a_port_of_a_service(folder: str) -> None:
    """Of the stable version, and while there is a canary of that one too: what is missing is answered with 500."""
    services = render("base").of("Service")
    if folder == "gateway/canary":
        services += render("overlays/gateway-canary").of("Service")
    known = {(each["metadata"]["name"], port["port"]) for each in services for port in each["spec"]["ports"]}

    named = {(each.name, each.port) for rule in read_route(folder).spec.rules for each in rule.backend_refs}

    assert named <= known
    assert {name for name, _ in named} == ({"rag"} if folder == "gateway/stable" else {"rag", "rag-canary"})


def test_a_share_of_the_requests_goes_to_the_canary() -> None:
    """In percent, and none before the gate has asked it; the rest of the stable route is as it was."""
    stable, canary = read_route("gateway/stable").spec, read_route("gateway/canary").spec
    shares = {each.name: each.weight for each in canary.rules[0].backend_refs}

    assert list(shares) == ["rag", "rag-canary"]  # CANARY.md shifts them by their places
    assert sum(shares.values()) == 100
    assert shares["rag-canary"] == 0
    assert canary.rules[0].model_copy(update={"backend_refs": stable.rules[0].backend_refs}) == stable.rules[0]
    assert (canary.parent_refs, canary.hostnames) == (stable.parent_refs, stable.hostnames)


def test_a_header_decides_for_one_request() -> None:
    """Of two rules with the same path a gateway takes the one that also asks for a header."""
    canary = read_route("gateway/canary").spec
    paths = {(each.path.type, each.path.value) for each in canary.rules[0].matches}

    decided = {}
    for rule in canary.rules[1:]:
        (backend,) = rule.backend_refs
        ((name, value),) = {(header.name, header.value) for match in rule.matches for header in match.headers}
        assert name == HEADER
        assert all(match.headers for match in rule.matches)
        decided[value] = (backend.name, {(match.path.type, match.path.value) for match in rule.matches})

    assert {value: name for value, (name, _) in decided.items()} == {"always": "rag-canary", "never": "rag"}
    for _, asked in decided.values():
        assert {value for _, value in asked} == {"/query", "/v1/query", "/models/current"}
        assert asked <= paths


def test_the_overlay_is_base_without_its_ingress() -> None:
    """Else only one policy differs: who may reach the front (test_kubernetes_network.py)."""
    base, behind = by_name(render("base")), by_name(render("overlays/gateway"))

    assert base.keys() - behind.keys() == {("Ingress", "rag")}
    assert behind.keys() <= base.keys()
    assert {key for key in behind if behind[key] != base[key]} == {("NetworkPolicy", "rag-front")}


def test_the_canary_is_the_other_one_without_its_ingress() -> None:
    """The route is no part of it: to delete the canary takes nobody's way in."""
    canary, behind = by_name(render("overlays/canary")), by_name(render("overlays/gateway-canary"))

    assert behind == {key: each for key, each in canary.items() if key[0] != "Ingress"}


def test_the_proxies_are_let_in_by_the_label_that_the_gateway_gives_them() -> None:
    """In the namespace of the Gateway, where the Gateway API has them made."""
    gateway = read_gateway("gateway/stable").metadata
    (policy,) = (
        each["spec"]
        for each in render("overlays/gateway").of("NetworkPolicy")
        if each["metadata"]["name"] == "rag-front"
    )
    peer = policy["ingress"][0]["from"][0]

    assert selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": gateway.namespace})
    assert selects(peer["podSelector"], {"gateway.networking.k8s.io/gateway-name": gateway.name})


@pytest.mark.parametrize("stable", ["gpu", "all-in-one"])
def test_every_profile_can_stand_behind_the_gateway(stable: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """By the one line that the overlay's comment speaks of, changed."""
    folder = tmp_path_factory.mktemp("behind") / "kubernetes"
    shutil.copytree(KUBERNETES, folder)
    file = folder / "overlays" / "gateway" / "kustomization.yaml"
    file.write_text(file.read_text("utf-8").replace("- ../../base # or", f"- ../{stable} # or"), "utf-8")

    behind = render("overlays/gateway", folder)

    assert behind.of("Ingress") == []
    assert by_name(behind).keys() | {("Ingress", "rag")} == by_name(render(f"overlays/{stable}")).keys()
