"""Every metric that the alerts and the dashboard use exists on the real server after its first queries."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rag.index.version import TenantIndex
from tests.integration.asking import Rag
from tests.watched import list_dashboard_queries, list_names, read_rules

pytestmark = pytest.mark.integration

QUESTION = "How many days of annual leave do full-time staff have?"


def scrape(rag: Rag) -> dict[str, float]:
    """The series of `/metrics` by name; of those of one name, the last."""
    families = text_string_to_metric_families(rag.http.get("/metrics").text)
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_every_series_that_is_looked_at_is_there(real: Rag) -> None:
    """Ours and vLLM's: a name that an upgrade has changed would leave its alert silent."""
    real.answer(QUESTION)
    real.stream(QUESTION)
    queries = [*(rule["expr"] for rule in read_rules()), *list_dashboard_queries()]
    names = {name for promql in queries for name in list_names(promql)}

    looked_at = {name for name in names if name.startswith(("rag_", "vllm:"))}
    assert looked_at - scrape(real).keys() == set()


def test_the_index_that_is_shown_is_the_one_that_serves(real: Rag, example_index: TenantIndex) -> None:
    """Though the model services show the same metrics on the same page, and have no index."""
    shown = scrape(real)

    assert shown["rag_indexes"] == 1
    assert shown["rag_index_chunks"] == example_index.version.chunks
    assert shown["rag_index_digest"] > 0
