"""deploy/kubernetes/overlays/milvus: the index in Milvus, reached by those who need it and by nobody else."""

from typing import Any, Final

import pytest

from tests.unit.kubernetes_manifests import COMPONENT, NAME, Manifest, render, selects

OVERLAY: Final = "overlays/milvus"
CLIENTS: Final = ("front", "ingestion")
MODELS: Final = ("embedder", "reranker", "generator")


def milvus() -> Manifest:
    (found,) = render(OVERLAY).of("Milvus")
    return found


def policies_of(component: str) -> list[dict[str, Any]]:
    labels = {NAME: "rag", COMPONENT: component}
    policies = [each["spec"] for each in render(OVERLAY).of("NetworkPolicy")]
    return [each for each in policies if each["podSelector"] and selects(each["podSelector"], labels)]


def may_ask_milvus(component: str) -> bool:
    rules = [rule for policy in policies_of(component) for rule in policy.get("egress", ())]
    pod = {"app.kubernetes.io/instance": milvus()["metadata"]["name"]}
    return any(
        19530 in {each["port"] for each in rule["ports"]} and "podSelector" in to and selects(to["podSelector"], pod)
        for rule in rules
        for to in rule["to"]
    )


def test_it_is_base_and_no_less() -> None:
    """Every object of base is there; the overlay adds Milvus and its policies."""
    kinds = {"Deployment", "CronJob", "Service", "Ingress", "NetworkPolicy"}
    added = {kind: render(OVERLAY).names(kind) - render("base").names(kind) for kind in kinds}

    assert all(render("base").names(kind) <= render(OVERLAY).names(kind) for kind in kinds)
    assert {kind: names for kind, names in added.items() if names} == {
        "NetworkPolicy": {"rag-index-clients", "rag-index-milvus"}
    }


@pytest.mark.parametrize("component", CLIENTS)
def test_those_who_need_it_are_told_where_it_is(component: str) -> None:
    """By a Secret: the address holds a password."""
    container = render(OVERLAY).container(component)
    given = {each["name"]: each for each in container.spec["env"]}

    assert given["RAG_INDEX_URL"]["valueFrom"]["secretKeyRef"] == {
        "name": "rag-index",
        "key": "RAG_INDEX_URL",
        "optional": False,  # without it they would take an empty folder for the index
    }
    assert may_ask_milvus(component)


@pytest.mark.parametrize("component", MODELS)
def test_the_models_neither_know_nor_reach_it(component: str) -> None:
    """They hold no documents."""
    container = render(OVERLAY).container(component)

    assert "RAG_INDEX_URL" not in {each["name"] for each in container.spec["env"]}
    assert not may_ask_milvus(component)


def test_only_its_clients_and_prometheus_reach_milvus() -> None:
    """It shuts out everything else in the namespace and outside."""
    (policy,) = (
        each["spec"] for each in render(OVERLAY).of("NetworkPolicy") if each["metadata"]["name"] == "rag-index-milvus"
    )
    own, clients, watchers = policy["ingress"]

    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert own["from"] == [{"podSelector": policy["podSelector"]}]
    assert [selects(clients["from"][0]["podSelector"], {NAME: "rag", COMPONENT: each}) for each in CLIENTS] == [
        True
    ] * 2
    assert [selects(clients["from"][0]["podSelector"], {NAME: "rag", COMPONENT: each}) for each in MODELS] == [
        False
    ] * 3
    assert [each["port"] for each in watchers["ports"]] == [9091]


def test_milvus_survives_the_loss_of_a_node_and_asks_for_a_password() -> None:
    """Two of what serves, three of what remembers; the data outlive the resource."""
    spec = milvus()["spec"]

    assert spec["mode"] == "cluster"
    assert {name: spec["components"][name]["replicas"] for name in ("proxy", "queryNode")} == {
        "proxy": 2,
        "queryNode": 2,
    }
    assert spec["dependencies"]["etcd"]["inCluster"]["values"]["replicaCount"] == 3
    assert spec["config"]["common"]["security"]["authorizationEnabled"] is True
    for kept in ("etcd", "storage"):
        assert spec["dependencies"][kept]["inCluster"]["deletionPolicy"] == "Retain"
        assert spec["dependencies"][kept]["inCluster"]["pvcDeletion"] is False
