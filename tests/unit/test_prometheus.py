"""deploy/prometheus: Prometheus accepts the files; each alert can fire, uses existing metrics, and says what to do."""

import importlib.util
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest
import yaml

from load.processes import ROOT
from schemas.errors import ERROR_TABLE, ErrorCode
from tests.watched import (
    PROMETHEUS,
    Entry,
    list_dashboard_queries,
    list_families,
    list_names,
    list_selectors,
    read_rules,
)

PROMTOOL: Final = ROOT / ".data" / "tools" / "promtool"
RULES: Final = read_rules()
ALERTS: Final = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED: Final = {rule["record"] for rule in RULES if "record" in rule}
STORIES: Final[list[Entry]] = yaml.safe_load((PROMETHEUS / "alerts_test.yaml").read_text("utf-8"))["tests"]
QUERIES: Final = [*(rule["expr"] for rule in RULES), *list_dashboard_queries()]
# What Prometheus itself makes, and the exporters that a cluster has: kube-state-metrics, cAdvisor, DCGM.
OTHERS: Final = {
    "up",
    "ALERTS",
    "kube_pod_container_status_restarts_total",
    "kube_pod_container_status_last_terminated_reason",
    "container_memory_working_set_bytes",
    "container_cpu_usage_seconds_total",
    "DCGM_FI_DEV_GPU_UTIL",
    "DCGM_FI_DEV_FB_USED",
    "DCGM_FI_DEV_FB_FREE",
}
# What scraping adds to the labels of every series: see deploy/kubernetes/base/pod-monitor.yaml.
TARGET_LABELS: Final = {"namespace", "job", "instance", "app_kubernetes_io_instance"}


def list_vllm_series() -> set[str]:
    """By the text of vLLM's own list: to import it takes seconds."""
    spec = importlib.util.find_spec("vllm")
    assert spec is not None
    assert spec.origin is not None
    text = (Path(spec.origin).parent / "v1" / "metrics" / "loggers.py").read_text("utf-8")
    names = re.findall(r'name="(vllm:\w+)"', text)
    return {f"{name}{suffix}" for name in names for suffix in ("", "_total", "_bucket", "_sum", "_count")}


OURS: Final = {name: labels for names, labels in list_families() for name in names}
VLLMS: Final = list_vllm_series()

alerts = pytest.mark.parametrize("alert", ALERTS)


def run_promtool(*arguments: str | Path) -> None:
    assert PROMTOOL.exists(), "make check gets it"
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def list_samples(story: Entry) -> list[dict[str, str]]:
    """The labels of each alert that is to fire in the story."""
    samples = [sample for query in story["promql_expr_test"] for sample in query.get("exp_samples", [])]
    return [
        dict(re.findall(r'(\w+)="([^"]*)"', sample["labels"]))
        for sample in samples
        if sample["labels"].startswith("ALERTS{")
    ]


def find_story(alert: str) -> tuple[Entry, dict[str, str]]:
    """The first story in which the alert fires, and its labels there."""
    return next((story, labels) for story in STORIES for labels in list_samples(story) if labels["alertname"] == alert)


def is_about(query: Entry, alert: str) -> bool:
    (selector,) = list_selectors(query["expr"])
    names = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
    return selector.name == "ALERTS" and re.fullmatch(names.get("alertname", ".*"), alert) is not None


def test_prometheus_takes_configuration_and_rules() -> None:
    """By Prometheus's own check, which reads the rules that the configuration names."""
    run_promtool("check", "config", PROMETHEUS / "prometheus.yaml")


def test_alerts_fire_as_their_stories_tell() -> None:
    """Prometheus's own unit tests, on made-up series."""
    run_promtool("test", "rules", PROMETHEUS / "alerts_test.yaml")


@alerts
def test_each_alert_has_a_story_before_and_after_its_cause(alert: str) -> None:
    """An alert that never fires, or always, is worse than none."""
    story, _ = find_story(alert)

    assert any(is_about(query, alert) and not query.get("exp_samples") for query in story["promql_expr_test"])


@alerts
def test_each_alert_says_what_is_wrong_and_how_bad_it_is(alert: str) -> None:
    """Whoever is woken knows whether to get up."""
    assert ALERTS[alert]["labels"]["severity"] in {"critical", "warning"}
    assert ALERTS[alert]["annotations"]["summary"]
    assert ALERTS[alert]["annotations"]["description"]


def test_alerts_lead_to_sections_of_the_runbook() -> None:
    """By the anchors that its headings get."""
    text = (ROOT / "deploy" / "RUNBOOK.md").read_text("utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}

    urls = {alert["annotations"]["runbook_url"] for alert in ALERTS.values()}
    assert urls <= {f"deploy/RUNBOOK.md#{anchor}" for anchor in anchors}


@alerts
def test_annotations_speak_of_labels_that_the_alert_has(alert: str) -> None:
    """A label that the query has summed away is an empty word in the message."""
    spoken_of = set(re.findall(r"\$labels\.(\w+)", " ".join(ALERTS[alert]["annotations"].values())))

    assert spoken_of <= set(find_story(alert)[1])


def test_the_objective_counts_what_is_not_the_callers_fault() -> None:
    """5xx, and the limits of the provider that we chose; not what a caller brings about."""
    (rule,) = (rule for rule in RULES if rule.get("record") == "rag:queries_failed:rate5m")
    (selector,) = list_selectors(rule["expr"])
    (matcher,) = selector.matchers.matchers
    ours = {code for code, spec in ERROR_TABLE.items() if spec.status >= 500} | {ErrorCode.UPSTREAM_RATE_LIMITED}

    assert set(matcher.value.split("|")) == ours


@pytest.mark.parametrize("promql", QUERIES)
def test_every_series_that_is_looked_at_exists(promql: str) -> None:
    """In our closed list, in vLLM's, among what is recorded, or in the short list of others."""
    assert list_names(promql) <= OURS.keys() | VLLMS | RECORDED | OTHERS


@pytest.mark.parametrize("promql", QUERIES)
def test_every_label_that_is_matched_exists(promql: str) -> None:
    """A misspelt label matches nothing, silently."""
    for selector in list_selectors(promql):
        if selector.name in OURS:
            assert {matcher.name for matcher in selector.matchers.matchers} <= OURS[selector.name] | TARGET_LABELS
