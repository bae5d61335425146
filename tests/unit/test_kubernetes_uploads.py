"""deploy/kubernetes/components/uploads: one pod takes documents and writes the index, and only the front reaches it."""

import shutil
from pathlib import Path
from typing import Final

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest

from rag.config.environment import load_settings
from rag.config.settings import UPLOAD_MAX_BYTES
from schemas.documents import UPLOAD_FILES_MAX
from tests.unit.kubernetes_manifests import COMPONENT, KUBERNETES, NAME, Rendered, render, selects
from tests.unit.test_kubernetes import KUBERNETES_VERSION

INGESTOR: Final = {NAME: "rag", COMPONENT: "ingestor"}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """An overlay of one's own that takes the component."""
    root = tmp_path_factory.mktemp("uploads") / "kubernetes"
    shutil.copytree(KUBERNETES, root)
    overlay = root / "overlays" / "mine"
    overlay.mkdir()
    text = "resources: [../../base]\ncomponents: [../../components/uploads]\n"
    overlay.joinpath("kustomization.yaml").write_text(text, "utf-8")
    return render("overlays/mine", root)


def test_kubernetes_knows_every_field_of_the_ingestor(rendered: Rendered) -> None:
    """A field that the API server does not know is dropped there."""
    for each in rendered.objects:
        if each["kind"] != "PodMonitor":
            kubernetes_validate.validate(each, KUBERNETES_VERSION, strict=True)


def test_one_pod_writes_and_fronts_read(rendered: Rendered) -> None:
    """Two would wait for each other's lock: the old one ends before the new one begins."""
    ingestor, front = rendered.container("ingestor"), rendered.container("front")

    assert ingestor.workload["spec"]["replicas"] == 1
    assert ingestor.workload["spec"]["strategy"] == {"type": "Recreate"}
    assert not ingestor.mounts()["/data/index"].get("readOnly", False)
    assert front.mounts()["/data/index"]["readOnly"]


def test_the_front_sends_documents_on_and_the_ingestor_takes_them(rendered: Rendered) -> None:
    """By its address; both read the same settings of models, and the Ingestor no identities."""
    front, ingestor = (load_settings(rendered.environment(rendered.container(name))) for name in ("front", "ingestor"))
    (service,) = (each for each in rendered.of("Service") if each["metadata"]["name"] == "rag-ingestor")

    assert service["spec"]["selector"].items() <= rendered.container("ingestor").labels.items()
    assert (front.uploads, front.ingestor_url) == ("on", f"http://{service['metadata']['name']}:3000")
    assert (ingestor.uploads, ingestor.identities_file) == ("on", None)
    assert ingestor.embedder_model == front.embedder_model
    assert load_settings(render("base").environment(render("base").container("front"))).uploads == "off"


def test_the_ingestor_is_as_contained_as_every_server(rendered: Rendered) -> None:
    """The file that all other servers get is not applied to it: it says the same."""
    ingestor, front = rendered.container("ingestor"), rendered.container("front")
    names = ("automountServiceAccountToken", "enableServiceLinks", "terminationGracePeriodSeconds", "securityContext")

    assert {name: ingestor.pod[name] for name in names} == {name: front.pod[name] for name in names}
    assert ingestor.spec["securityContext"] == front.spec["securityContext"]
    assert ingestor.spec["image"] == front.spec["image"]


def test_only_front_and_prometheus_reach_the_ingestor(rendered: Rendered) -> None:
    """It asks nobody who he is."""
    (policy,) = (each["spec"] for each in rendered.of("NetworkPolicy") if each["metadata"]["name"] == "rag-ingestor")
    (rule,) = policy["ingress"]
    (front,) = (each["spec"] for each in rendered.of("NetworkPolicy") if each["metadata"]["name"] == "rag-front")

    assert selects(policy["podSelector"], INGESTOR)
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert "egress" not in policy
    assert [each["podSelector"]["matchLabels"][NAME] for each in rule["from"]] == ["rag", "prometheus"]
    assert rule["ports"] == [{"port": 3000}]
    assert selects(front["egress"][0]["to"][0]["podSelector"], INGESTOR)


def test_prometheus_looks_at_the_ingestor(rendered: Rendered) -> None:
    """Its jobs are counted there."""
    (monitor,) = rendered.of("PodMonitor")

    assert selects(monitor["spec"]["selector"], INGESTOR)


def test_the_ingress_takes_the_largest_upload(rendered: Rendered) -> None:
    """It passes it on while it arrives; what is too large the service says."""
    (ingress,) = (each for each in rendered.of("Ingress") if each["metadata"]["name"] == "rag-documents")
    given = ingress["metadata"]["annotations"]
    size = given["nginx.ingress.kubernetes.io/proxy-body-size"]

    assert given["nginx.ingress.kubernetes.io/proxy-request-buffering"] == "off"
    assert int(size.removesuffix("m")) * 2**20 > UPLOAD_FILES_MAX * UPLOAD_MAX_BYTES


def test_the_component_is_described(rendered: Rendered) -> None:
    """Who looks for it finds it."""
    assert "components/uploads" in Path(KUBERNETES / "README.md").read_text("utf-8")
