"""What the alerts and the dashboard watch: their queries, and the series in them."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import promql_parser
import yaml
from prometheus_client import Counter, Gauge, Histogram
from promql_parser import VectorSelector

from load.processes import ROOT
from rag.observability import metrics

PROMETHEUS: Final = ROOT / "deploy" / "prometheus"
GRAFANA: Final = ROOT / "deploy" / "grafana"
# The suffixes that Prometheus's text format gives to a family's series.
SUFFIXES: Final = {Counter: ("_total",), Gauge: ("",), Histogram: ("_bucket", "_sum", "_count")}
# What Grafana puts in the place of its variables; within strings PromQL does not mind them.
GRAFANA_DURATION: Final = re.compile(r"\[\$__\w+\]")

# One of the rules of alerts.yaml, or of the stories of alerts_test.yaml.
Entry = dict[str, Any]


def read_rules() -> list[Entry]:
    """Alerts, and what is recorded for them."""
    text = (PROMETHEUS / "alerts.yaml").read_text("utf-8")
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def read_dashboard() -> Entry:
    dashboard: Entry = json.loads((GRAFANA / "dashboard.json").read_text("utf-8"))
    return dashboard


def list_dashboard_queries() -> list[str]:
    """PromQL of panels and annotations, as Prometheus gets it but for the variables in strings."""
    dashboard = read_dashboard()
    targets = [target for panel in dashboard["panels"] for target in panel.get("targets", [])]
    queries = [entry["expr"] for entry in (*targets, *dashboard["annotations"]["list"])]
    return [GRAFANA_DURATION.sub("[5m]", query) for query in queries]


def list_selectors(promql: str) -> list[VectorSelector]:
    """Each place where the query names a series.

    Raises:
        ValueError: it is no PromQL.
    """
    found: list[VectorSelector] = []

    def note(expression: object) -> None:
        if isinstance(expression, VectorSelector):
            found.append(expression)

    promql_parser.walk(promql_parser.parse(promql), note)
    return found


def list_names(promql: str) -> set[str]:
    """The series that the query names."""
    return {selector.name for selector in list_selectors(promql) if selector.name}


def list_families() -> Iterator[tuple[set[str], set[str]]]:
    """For each metric of ours: the names of its series, and their labels."""
    for metric in vars(metrics).values():
        if isinstance(metric, (Counter, Gauge, Histogram)):
            (family,) = metric.describe()
            labels = {*metric._labelnames, *(["le"] if isinstance(metric, Histogram) else [])}
            yield {f"{family.name}{suffix}" for suffix in SUFFIXES[type(metric)]}, labels
