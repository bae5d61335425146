"""A server with a wrong configuration does not start: it reports each problem in one line, and exits."""

from pathlib import Path

import pytest

from tests.servers import FAKE_MODELS, make_environment, run_module

pytestmark = pytest.mark.integration

SERVE = ("bentoml", "serve", "service:RagService", "--host", "127.0.0.1", "--port", "0")


def refusal(**settings: str) -> list[str]:
    """The lines that are ours of a start that fails."""
    done = run_module(*SERVE, environment=make_environment(**settings))
    assert done.returncode != 0
    assert "Traceback" not in done.stderr + done.stdout
    ours = ("settings: ", "models: ", "identities: ", "tenants: ")
    return [line for line in done.stderr.splitlines() if line.startswith(ours)]


def test_unknown_names_and_bad_values_stop_the_start_together() -> None:
    """Each has one line, with the name and the range, and without the value."""
    lines = refusal(**FAKE_MODELS, RAG_REQEST_TIMEOUT_S="20", RAG_QUEUE_TIMEOUT_S="-7", RAG_ENV="staging")

    assert len(lines) == 3
    assert any("RAG_REQEST_TIMEOUT_S" in line for line in lines)
    assert any("RAG_QUEUE_TIMEOUT_S" in line and "0.001" in line and "600" in line for line in lines)
    assert any("RAG_ENV" in line and "local" in line and "production" in line for line in lines)
    assert "-7" not in "".join(lines)


def test_production_lists_all_that_is_missing_at_once() -> None:
    """No identities, no Redis, fake models, an unpinned revision."""
    lines = refusal(
        RAG_ENV="production",
        RAG_EMBEDDER_MODEL="fake:",
        RAG_RERANKER_MODEL="fake:",
        RAG_GENERATOR_MODEL="hf:Qwen/Qwen3-8B",
    )

    missing = (
        "RAG_IDENTITIES_FILE",
        "RAG_REDIS_URL",
        "RAG_EMBEDDER_MODEL",
        "RAG_RERANKER_MODEL",
        "RAG_GENERATOR_MODEL",
    )
    assert [any(name in line for line in lines) for name in missing] == [True] * 5
    assert len(lines) == 5


def test_a_model_that_is_not_there_stops_the_start() -> None:
    """One line that names it and says what makes it."""
    (line,) = refusal(**{**FAKE_MODELS, "RAG_EMBEDDER_MODEL": "bento:missing:q4"})

    assert "missing:q4" in line
    assert "make setup" in line


def test_a_missing_identities_file_stops_the_start() -> None:
    """A service that nobody can be let into is not what was meant."""
    (line,) = refusal(**FAKE_MODELS, RAG_IDENTITIES_FILE="nowhere.yaml")

    assert line.startswith("identities: ")


def test_a_broken_tenants_file_stops_the_start(tmp_path: Path) -> None:
    """Thresholds that were asked for are not forgotten; one line names the file and the field, and shows no value."""
    file = tmp_path / "tenants.yaml"
    file.write_text("tenants: {demo: {quoted_enough: 7777}}", "utf-8")

    (line,) = refusal(**FAKE_MODELS, RAG_TENANTS_FILE=str(file))

    assert line.startswith(f"tenants: {file}: ")
    assert "quoted_enough" in line
    assert "7777" not in line
