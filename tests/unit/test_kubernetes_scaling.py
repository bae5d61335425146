"""deploy/kubernetes: the number of pods follows from the service's metrics, and never falls to zero."""

import importlib.util
import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client import REGISTRY

from rag.config.environment import load_settings
from rag.observability import metrics
from tests.unit.kubernetes_manifests import KUBERNETES, OVERLAYS, ROOT, Manifest, Rendered, render

ADAPTER: Final = KUBERNETES / "prometheus-adapter.yaml"
PROMTOOL: Final = ROOT / ".data" / "tools" / "promtool"
SIGNALS: Final = {
    "front": {"rag_queries_running_per_place"},
    "embedder": {"rag_batch_wait_seconds_mean"},
    "reranker": {"rag_batch_wait_seconds_mean"},
    "generator": {"vllm_num_requests_waiting", "vllm_num_requests_running"},
}

overlays = pytest.mark.parametrize("overlay", OVERLAYS)


def targets(scaler: Manifest) -> dict[str, str]:
    return {
        each["pods"]["metric"]["name"]: each["pods"]["target"]["averageValue"] for each in scaler["spec"]["metrics"]
    }


def read_rules() -> dict[str, Manifest]:
    """What the adapter makes, by the name that the autoscalers know it by."""
    values = yaml.safe_load(ADAPTER.read_text("utf-8"))
    return {each["name"]["as"]: each for each in values["rules"]["custom"]}


def component_of(rendered: Rendered, name: str) -> str:
    (found,) = (each for each in rendered.containers() if each.id == f"Deployment/{name}")
    return found.component


@overlays
def test_every_deployment_is_scaled_and_kept(overlay: str) -> None:
    """By one autoscaler, which alone says how many; and a drained node takes one of its pods at a time."""
    rendered = render(overlay)
    deployments = rendered.of("Deployment")
    scaled = [each["spec"]["scaleTargetRef"]["name"] for each in rendered.of("HorizontalPodAutoscaler")]
    kept = {each["metadata"]["name"]: each["spec"] for each in rendered.of("PodDisruptionBudget")}

    assert sorted(scaled) == sorted(kept) == sorted(rendered.names("Deployment"))
    for deployment in deployments:
        budget = kept[deployment["metadata"]["name"]]
        assert budget["selector"] == deployment["spec"]["selector"]
        assert budget["maxUnavailable"] == 1
        assert "replicas" not in deployment["spec"]


@overlays
def test_every_service_is_scaled_by_its_own_signal(overlay: str) -> None:
    """None by its processor: a front is full and a generator slow at any load of theirs."""
    rendered = render(overlay)

    signals = {
        component_of(rendered, each["spec"]["scaleTargetRef"]["name"]): targets(each).keys()
        for each in rendered.of("HorizontalPodAutoscaler")
    }

    assert signals == {component: SIGNALS[component] for component in signals}


@overlays
def test_a_pod_may_fail(overlay: str) -> None:
    """There is a second one of each, but of the canary's, whose clients have the stable ones to go to."""
    least = 1 if overlay == "overlays/canary" else 2

    for each in render(overlay).of("HorizontalPodAutoscaler"):
        assert least == each["spec"]["minReplicas"] < each["spec"]["maxReplicas"]


@pytest.mark.parametrize("overlay", ["base", "overlays/gpu", "overlays/canary"])
def test_there_is_another_generator_before_one_is_full(overlay: str) -> None:
    """The target is below what it drafts at once, which the profiles set."""
    rendered = render(overlay)
    most = load_settings(rendered.environment(rendered.container("generator"))).generator_max_running
    (scaler,) = (each for each in rendered.of("HorizontalPodAutoscaler") if "generator" in each["metadata"]["name"])

    assert int(targets(scaler)["vllm_num_requests_running"]) == round(0.7 * most)


def test_the_adapter_makes_every_signal_and_no_other() -> None:
    """What nobody makes, an autoscaler waits for without a word."""
    assert read_rules().keys() == set().union(*SIGNALS.values())


def test_the_signals_are_made_of_metrics_that_there_are() -> None:
    """Ours as they are declared, vLLM's as its source names them."""
    ours = {sample for each in REGISTRY.collect() for sample in (each.name, f"{each.name}_count", f"{each.name}_sum")}
    spec = importlib.util.find_spec("vllm")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    source = Path(spec.submodule_search_locations[0], "v1", "metrics", "loggers.py").read_text("utf-8")

    named = {
        series
        for rule in read_rules().values()
        for text in (rule["seriesQuery"], rule["metricsQuery"])
        for series in re.findall(r"\b(?:rag_|vllm:)\w+", text)
    }

    assert metrics.RUNNING in REGISTRY._collector_to_names  # they are declared by now
    assert {each for each in named if each.startswith("rag_")} <= ours
    assert all(f'"{each}"' in source for each in named if each.startswith("vllm:"))


def fill_queries() -> dict[str, str]:
    """The adapter's queries, by signal, as it would put them for the pods of one namespace."""
    series = {name: re.search(r"(?:rag_|vllm:)\w+", rule["seriesQuery"]) for name, rule in read_rules().items()}
    return {
        name: rule["metricsQuery"]
        .replace("<<.Series>>", found.group())
        .replace("<<.LabelMatchers>>", 'namespace="rag"')
        .replace("<<.GroupBy>>", "pod")
        for name, rule in read_rules().items()
        if (found := series[name])
    }


def steady(name: str, value: float, **labels: str) -> dict[str, str]:
    return entry(name, f"{value}+0x40", labels)


def growing(name: str, a_scrape: float, **labels: str) -> dict[str, str]:
    return entry(name, f"0+{a_scrape}x40", labels)


def entry(name: str, values: str, labels: dict[str, str]) -> dict[str, str]:
    shown = ",".join(f'{key}="{value}"' for key, value in {"namespace": "rag", "pod": "a", **labels}.items())
    return {"series": f"{name}{{{shown}}}", "values": values}


@pytest.mark.parametrize(
    ("signal", "series", "expected"),
    [
        pytest.param(
            "rag_queries_running_per_place",
            [steady("rag_queries_running", 6), steady("rag_places", 8)],
            0.75,
            id="six of eight places taken",
        ),
        pytest.param(
            "rag_batch_wait_seconds_mean",
            [
                growing("rag_batch_wait_seconds_sum", 0.5, function="score"),
                growing("rag_batch_wait_seconds_count", 5, function="score"),
                growing("rag_batch_wait_seconds_sum", 0.1, function="entail"),
                growing("rag_batch_wait_seconds_count", 1, function="entail"),
            ],
            0.1,
            id="a tenth of a second, over all functions",
        ),
        pytest.param(
            "rag_batch_wait_seconds_mean",
            [
                steady("rag_batch_wait_seconds_sum", 9, function="score"),
                steady("rag_batch_wait_seconds_count", 3, function="score"),
            ],
            0,
            id="nothing to wait for is no wait, and not unknown",
        ),
        pytest.param("vllm_num_requests_waiting", [steady("vllm:num_requests_waiting", 3)], 3, id="three wait"),
        pytest.param("vllm_num_requests_running", [steady("vllm:num_requests_running", 11)], 11, id="eleven run"),
    ],
)
def test_a_signal_is_what_it_is_called(
    signal: str, series: list[dict[str, str]], expected: float, tmp_path: Path
) -> None:
    """Prometheus itself works it out, for one pod and for none of another namespace."""
    elsewhere = [{**each, "series": each["series"].replace('"rag"', '"other"')} for each in series]
    case: dict[str, Any] = {
        "interval": "15s",
        "input_series": [*series, *elsewhere],
        "promql_expr_test": [
            {
                "expr": fill_queries()[signal],
                "eval_time": "10m",
                "exp_samples": [{"labels": '{pod="a"}', "value": expected}],
            }
        ],
    }
    file = tmp_path / "signals.yaml"
    file.write_text(json.dumps({"tests": [case]}), "utf-8")

    done = subprocess.run([PROMTOOL, "test", "rules", file], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
