"""deploy/grafana: the dashboard is what its generator makes, shows all our metrics, and Grafana can draw it."""

import runpy
from itertools import combinations
from typing import Any, Final

import yaml

from tests.watched import GRAFANA, list_dashboard_queries, list_families, list_names, read_dashboard

PANELS: Final[list[dict[str, Any]]] = read_dashboard()["panels"]


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    return not (beside or above)


def test_the_dashboard_is_up_to_date() -> None:
    """`python deploy/grafana/make_dashboard.py` makes it anew."""
    made = runpy.run_path(str(GRAFANA / "make_dashboard.py"))["render"]()

    assert (GRAFANA / "dashboard.json").read_text("utf-8") == made


def test_every_metric_of_ours_is_shown() -> None:
    """A metric that nobody looks at need not be."""
    shown = {name for promql in list_dashboard_queries() for name in list_names(promql)}

    assert [names for names, _ in list_families() if not names & shown] == []


def test_panels_lie_beside_each_other() -> None:
    """On Grafana's grid of 24 columns; where two overlap, it moves one away."""
    places = [panel["gridPos"] for panel in PANELS]

    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert [pair for pair in combinations(places, 2) if overlap(*pair)] == []


def test_panels_have_numbers_of_their_own() -> None:
    """Links to a panel name it by its number."""
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


def test_each_panel_says_what_to_look_for() -> None:
    """And asks the Prometheus that is chosen at the top."""
    for panel in (panel for panel in PANELS if panel["type"] != "row"):
        assert panel["title"]
        assert panel["description"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}


def test_variables_of_queries_are_chosen_at_the_top() -> None:
    """What Grafana does not know it leaves as it stands, and the query finds nothing."""
    chosen = {variable["name"] for variable in read_dashboard()["templating"]["list"]}
    used = {word for promql in list_dashboard_queries() for word in promql.split('"') if word.startswith("$")}

    assert {word.removeprefix("$") for word in used} <= chosen


def test_there_is_one_source_of_data() -> None:
    """Provisioned, so that the dashboard shows something without a click."""
    (source,) = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]

    assert source["type"] == "prometheus"
    assert source["isDefault"]
