"""`model_version`: two deployments that may answer differently never share one."""

import pytest

from rag import model_card as version
from rag.config.environment import load_settings
from rag.config.settings import Settings
from rag.model_card import make_card
from rag.tenants import load_policies
from rag.types import ModelInfo

FAKES = {
    "RAG_EMBEDDER_MODEL": "fake:",
    "RAG_RERANKER_MODEL": "fake:",
    "RAG_VERIFIER_MODEL": "fake:",
    "RAG_GENERATOR_MODEL": "fake:",
}


def settings(**environ: str) -> Settings:
    return load_settings({**FAKES, **environ})


def model_version(**environ: str) -> str:
    return make_card(settings(**environ), load_policies(settings(**environ))).model_version


def test_the_same_deployment_has_the_same_version() -> None:
    """Whenever and wherever it is started, and whatever cannot change an answer."""
    assert model_version() == model_version(RAG_LOG_LEVEL="DEBUG", RAG_MAX_CONCURRENT_REQUESTS="3")


def test_the_configured_part_stands_before_the_fingerprint() -> None:
    """`<name>+<fingerprint>`."""
    name, _, fingerprint = model_version(RAG_MODEL_VERSION="rag-v7").partition("+")

    assert name == "rag-v7"
    assert len(fingerprint) == 8


@pytest.mark.parametrize("part", ["PROMPT_VERSION", "CHUNKER_VERSION", "VERSION"])
def test_another_prompt_chunker_or_version_is_another_deployment(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them can change an answer."""
    before = model_version()
    monkeypatch.setattr(version, part, "another")

    assert model_version() != before


@pytest.mark.parametrize("model", ["FakeEmbedder", "FakeScorer", "FakeEntailment", "FakeGenerator"])
def test_another_revision_of_a_model_is_another_deployment(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Embedder, reranker, verifier and generator alike."""
    before = model_version()
    monkeypatch.setattr(getattr(version, model), "info", ModelInfo("same-name", "another revision", 256))

    assert model_version() != before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RAG_GENERATOR_URL", "http://127.0.0.1:9/v1"),
        ("RAG_VERIFICATION", "drop"),
        ("RAG_VERIFIER_MODEL", ""),
        ("RAG_ENTAILED_FROM", "0.9"),
        ("RAG_RERANK_K", "3"),
        ("RAG_GENERATOR_MODEL", "none"),
    ],
)
def test_another_setting_that_changes_answers_is_another_deployment(name: str, value: str) -> None:
    """Somebody else's generator included."""
    assert model_version(**{name: value}) != model_version()


def test_a_deployment_without_a_generator_says_so() -> None:
    """`/models/current` names what answers: quotations, and no model."""
    without = settings(RAG_GENERATOR_MODEL="none")
    card = make_card(without, load_policies(without))

    assert (card.runtime, card.generator.name) == ("extractive", "none")
