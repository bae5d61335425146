"""deploy/kubernetes as rendered by kustomize, and as its pods, Services and policies would see it."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
KUBERNETES: Final = ROOT / "deploy" / "kubernetes"
KUBECTL: Final = Path(sys.executable).with_name("kubectl")
OVERLAYS: Final = ("base", "overlays/all-in-one", "overlays/gpu", "overlays/canary")
NAME: Final = "app.kubernetes.io/name"
COMPONENT: Final = "app.kubernetes.io/component"
INSTANCE: Final = "app.kubernetes.io/instance"
# What stands in for the values of the Secrets, which are not in the repository.
SECRETS: Final[Mapping[str, str]] = {
    "RAG_REDIS_URL": "rediss://limits:6379/0",
    "RAG_INDEX_URL": "file:///data/index",
    "RAG_GENERATOR_API_KEY": "key",
    "RAG_GENERATOR_HEADERS": '{"api-key": "key"}',
    "RAG_EMBEDDER_API_KEY": "key",
    "RAG_RERANKER_API_KEY": "key",
}

Manifest = dict[str, Any]  # Any: JSON
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Container:
    """One container with what surrounds it."""

    workload: Manifest
    pod: Manifest
    spec: Manifest
    labels: Labels

    @property
    def id(self) -> str:
        return f"{self.workload['kind']}/{self.workload['metadata']['name']}"

    @property
    def is_server(self) -> bool:
        return bool(self.workload["kind"] == "Deployment")

    @property
    def component(self) -> str:
        return self.labels[COMPONENT]

    def mounts(self) -> dict[str, Manifest]:
        """Its volumes by the path where they are; the mount's `readOnly` wins over the volume's."""
        volumes = {each["name"]: each for each in self.pod["volumes"]}
        return {each["mountPath"]: {**volumes[each["name"]], **each} for each in self.spec["volumeMounts"]}


@dataclass(frozen=True, slots=True)
class Rendered:
    """All objects of one overlay."""

    objects: tuple[Manifest, ...]

    def of(self, kind: str) -> list[Manifest]:
        return [each for each in self.objects if each["kind"] == kind]

    def names(self, kind: str) -> set[str]:
        return {each["metadata"]["name"] for each in self.of(kind)}

    def containers(self) -> list[Container]:
        """Those of all Deployments and CronJobs."""
        return [*self._find_containers()]

    def container(self, component: str) -> Container:
        (found,) = (each for each in self.containers() if each.component == component)
        return found

    def _find_containers(self) -> Iterator[Container]:
        for workload in [*self.of("Deployment"), *self.of("CronJob")]:
            spec = workload["spec"]
            template = spec["template"] if "template" in spec else spec["jobTemplate"]["spec"]["template"]
            for container in template["spec"]["containers"]:
                yield Container(workload, template["spec"], container, template["metadata"]["labels"])

    def environment(self, container: Container) -> dict[str, str]:
        """What its process reads, with `SECRETS` in the place of what is secret."""
        settings = {each["metadata"]["name"]: each["data"] for each in self.of("ConfigMap")}
        found: dict[str, str] = {}
        for source in container.spec["envFrom"]:
            found.update(settings[source["configMapRef"]["name"]])
        for each in container.spec["env"]:
            origin = each.get("valueFrom", {})
            if "secretKeyRef" in origin:
                found[each["name"]] = SECRETS[origin["secretKeyRef"]["key"]]
            elif "resourceFieldRef" in origin:
                group, resource = origin["resourceFieldRef"]["resource"].split(".")
                found[each["name"]] = container.spec["resources"][group][resource]
            else:
                found[each["name"]] = each["value"]
        return found


@cache
def render(overlay: str, root: Path = KUBERNETES) -> Rendered:
    """What `kubectl apply -k` would send to the cluster."""
    done = subprocess.run([KUBECTL, "kustomize", root / overlay], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return Rendered(tuple(yaml.load_all(done.stdout, Loader=yaml.CSafeLoader)))


def selects(selector: Manifest, labels: Labels) -> bool:
    """Whether a label selector fits; an empty one fits everything."""
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        each["operator"] == "In" and labels.get(each["key"]) in each["values"]
        for each in selector.get("matchExpressions", [])
    )
