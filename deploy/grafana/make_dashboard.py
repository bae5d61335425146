"""Makes dashboard.json of dashboard.yaml: a panel is a few lines there, and a screenful of Grafana's own JSON.

python deploy/grafana/make_dashboard.py
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).parent
PANELS: Final = FOLDER / "dashboard.yaml"
OUTPUT: Final = FOLDER / "dashboard.json"
DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
# The servers that are chosen at the top. "All" matches what has no such label, too: compose has no namespaces.
CHOSEN: Final = 'namespace=~"$namespace",job=~"$job",instance=~"$instance"'
COLUMNS: Final = 24
STAT: Final = {"width": 4, "height": 4}
OTHER: Final = {"width": 8, "height": 8}

# JSON, as Grafana and YAML have it.
Json = dict[str, Any]


def list_queries(panel: Mapping[str, Any]) -> dict[str, str]:
    """PromQL by the name of its series, as it stands in the panel or made of its histogram."""
    if "histogram" not in panel:
        queries: dict[str, str] = panel["queries"]
        return queries
    name, label = panel["histogram"]["name"], panel["histogram"].get("by")
    labels, series = (f"le, {label}", f"{{{{{label}}}}} ") if label else ("le", "")
    return {
        f"{series}p{share * 100:g}": (
            f"histogram_quantile({share}, sum by ({labels}) (rate({name}_bucket{{FROM}}[$__rate_interval])))"
        )
        for share in panel["histogram"]["shares"]
    }


def draw(panel: Mapping[str, Any]) -> Json:
    """A panel in Grafana's words, without its place."""
    kind, stacked = panel.get("kind", "timeseries"), panel.get("stacked", False)
    as_table = {"instant": True, "range": False, "format": "table"} if kind == "table" else {}
    lines = {
        "axisSoftMin": 0,
        "fillOpacity": 30 if stacked else 0,
        "stacking": {"mode": "normal" if stacked else "none"},
    }
    return {
        "type": kind,
        "title": panel["title"],
        "description": panel["help"],
        "datasource": DATASOURCE,
        "fieldConfig": {
            "defaults": {"unit": panel["unit"], "custom": lines if kind == "timeseries" else {}},
            "overrides": [],
        },
        "options": {"tooltip": {"mode": "multi"}} if kind == "timeseries" else {},
        "targets": [
            {
                "refId": chr(ord("A") + position),
                "datasource": DATASOURCE,
                "expr": promql.replace("FROM", CHOSEN),
                "legendFormat": series,
                **as_table,
            }
            for position, (series, promql) in enumerate(list_queries(panel).items())
        ],
    }


def lay_out(rows: Mapping[str, list[Mapping[str, Any]]]) -> Iterator[Json]:
    """The rows one under another, the panels of each from left to right."""
    y = 0
    for title, panels in rows.items():
        yield {"type": "row", "title": title, "panels": [], "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}}
        x, y, line = 0, y + 1, 0
        for panel in panels:
            size = STAT if panel.get("kind") == "stat" else OTHER
            width, height = panel.get("width", size["width"]), size["height"]
            if x + width > COLUMNS:
                x, y, line = 0, y + line, 0
            yield {**draw(panel), "gridPos": {"x": x, "y": y, "w": width, "h": height}}
            x, line = x + width, max(line, height)
        y += line


def make_choice(name: str, query: str) -> Json:
    """A choice at the top among the values of a label: of several, and of all at first."""
    return {
        "name": name,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,  # when the time range changes
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def render() -> str:
    """The whole file."""
    versions = f"count by (model_version) (rag_build_info{{{CHOSEN}}}"
    dashboard = {
        "uid": "rag",
        "title": "RAG",
        "description": "Made by deploy/grafana/make_dashboard.py.",
        "schemaVersion": 39,  # of Grafana 11; newer ones migrate it by themselves
        "editable": False,
        "time": {"from": "now-3h", "to": "now"},
        "refresh": "30s",
        "graphTooltip": 1,  # one crosshair through all panels
        "annotations": {
            "list": [
                {
                    "name": "Releases",
                    "datasource": DATASOURCE,
                    "enable": True,
                    "iconColor": "blue",
                    "expr": f"{versions}) unless {versions} offset 5m)",
                    "titleFormat": "{{model_version}}",
                    "step": "60s",
                }
            ]
        },
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus"},
                make_choice("namespace", "label_values(rag_build_info, namespace)"),
                make_choice("job", 'label_values(up{namespace=~"$namespace",job=~"(.*/)?rag.*"}, job)'),
                make_choice("instance", 'label_values(up{namespace=~"$namespace",job=~"$job"}, instance)'),
            ]
        },
        "panels": [
            {"id": number, **panel}
            for number, panel in enumerate(lay_out(yaml.safe_load(PANELS.read_text("utf-8"))), 1)
        ],
    }
    return json.dumps(dashboard, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    OUTPUT.write_text(render(), "utf-8")
