"""The canary gate as a command, between two real servers on fake models with scripted generators."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from load.gate.__main__ import main
from load.processes import find_free_port
from load.server import Server, running_server
from tests.integration.conftest import HANDBOOK
from tests.scripted_model import Reply, ScriptedModel, delta, ending, fails, says
from tests.servers import FAKE_MODELS, PATIENT, UNLIMITED, ingest, make_environment, run_module

pytestmark = pytest.mark.integration

PAIRS: Final = 30
# Fake models answer within milliseconds, and a busy machine makes many of a few.
RATIO: Final = "3"
QUESTIONS: Final = (
    "How many days of annual leave do full-time staff have?",
    "How many days of annual leave do part-time staff have?",
    "When does sick leave need a note from a doctor?",
    "Where do visitors park?",
)
QUOTED: Final = "Full-time staff have 12 days of annual leave per year [S1]."
# What no passage says: nothing of it gets out where sentences are checked.
INVENTED: Final = "The headquarters moved to Lisbon in 1987 because of cheap harbour fees."
NO_ANSWER: Final = "The documents do not contain an answer to this question."
# Each piece costs the front some CPU time, and is no text.
LABOURED: Final = Reply(pieces=(*[delta("")] * 3000, delta(QUOTED), ending()))


@pytest.fixture(scope="module")
def environment(place: Path, model: ScriptedModel) -> dict[str, str]:
    """Both answer from the same index, by the same generator."""
    environment = make_environment(
        RAG_INDEX_DIR=str(place / "gate-index"), RAG_GENERATOR_URL=model.url, **FAKE_MODELS, **PATIENT, **UNLIMITED
    )
    documents = place / "gate-documents"
    documents.mkdir()
    (documents / "handbook.txt").write_text(HANDBOOK, "utf-8")
    ingest(documents, environment=environment)
    return environment


@pytest.fixture(scope="module")
def stable(place: Path, environment: dict[str, str]) -> Iterator[Server]:
    with running_server(place / "gate-stable", environment) as server:
        yield server


@pytest.fixture(scope="module")
def canary(place: Path, environment: dict[str, str]) -> Iterator[Server]:
    """A release that marks what it cannot support, and lets it go out."""
    with running_server(place / "gate-canary", {**environment, "RAG_VERIFICATION": "mark"}) as server:
        yield server


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """All but the two URLs; the report is left in `gate.json`."""
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join(json.dumps({"question": each}) + "\n" for each in QUESTIONS), "utf-8")
    asked = ["--requests", str(PAIRS), "--questions", str(questions), "--json", str(tmp_path / "gate.json")]
    return [*asked, "--max-ttft-ratio", RATIO, "--max-e2e-ratio", RATIO]


def urls(stable: str, canary: str) -> list[str]:
    return ["--stable", stable, "--canary", canary]


def read_report(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "gate.json").read_text("utf-8"))
    return report


def test_the_same_deployment_twice_passes(stable: Server, arguments: list[str], tmp_path: Path) -> None:
    """As the command is called; with a warning, for of two that are one there is nothing to learn."""
    done = run_module("load.gate", *urls(stable.url, stable.url), *arguments, environment=make_environment())

    pairs = read_report(tmp_path)["pairs"]
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("passed\n")
    assert "there is nothing to compare" in done.stderr
    assert [pair["agreement"][0]["is_equal"] for pair in pairs] == [True] * PAIRS
    assert {pair["route"] for pair in pairs} == {"stream", "whole"}


def test_another_version_that_is_no_worse_passes(
    stable: Server, canary: Server, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its answers may be shorter and its `model_version` another."""
    status = main([*urls(stable.url, canary.url), *arguments], {})

    told = capsys.readouterr()
    deployments = read_report(tmp_path)["deployments"]
    assert status == 0, told.out
    assert deployments["stable"]["model_version"] != deployments["canary"]["model_version"]
    assert "warning" not in told.err


@pytest.mark.parametrize(
    ("seed", "said", "refusals"),
    [
        (11, fails(500, "out of memory"), ["its last 10 requests have failed", "errors 100.0%"]),
        (12, says(INVENTED), ["broken contract 100.0%", "agreement 0.0%"]),
        (13, LABOURED, ["TTFT p50", "TTFT p95", "E2E p50", "E2E p95"]),
    ],
    ids=["fails", "cites nothing", "is slow"],
)
def test_a_canary_that_is_worse_is_refused(
    stable: Server,
    canary: Server,
    model: ScriptedModel,
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
    seed: int,
    said: Reply,
    refusals: list[str],
) -> None:
    """With status 1 and its own reasons, a line for each."""
    script(model, seed, said)

    status = main([*urls(stable.url, canary.url), *arguments, "--seed", str(seed)], {})

    out = capsys.readouterr().out
    assert status == 1, out
    assert_refused(out, refusals)


def test_a_generator_that_abstains_is_refused(
    stable: Server, model: ScriptedModel, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Although the build is the same, and an abstention keeps the contract."""
    script(model, 14, says(NO_ANSWER))

    status = main([*urls(stable.url, stable.url), *arguments, "--seed", "14"], {})

    out = capsys.readouterr().out
    assert status == 1, out
    assert_refused(out, ["no_answer 100.0%", "agreement 0.0%"])


def test_who_cannot_be_asked_decides_the_status(
    stable: Server, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A canary that is not there is refused; without the stable one nothing is said of the canary."""
    nobody = f"http://127.0.0.1:{find_free_port()}"

    without_canary = main([*urls(stable.url, nobody), *arguments], {})
    refused = capsys.readouterr().out
    without_stable = main([*urls(nobody, stable.url), *arguments], {})
    told = capsys.readouterr()

    assert (without_canary, without_stable) == (1, 2)
    assert refused == "refused: /models/current is not answered: ConnectError\n"
    assert told.out == ""
    assert "nothing was compared" in told.err


def script(model: ScriptedModel, seed: int, said: Reply) -> None:
    """The generator says this to the canary alone."""
    for number in range(PAIRS):
        model.script(f"gate-{seed}-{number}-canary", said)


def assert_refused(out: str, refusals: list[str]) -> None:
    """By these reasons, a line for each."""
    lines = [line.removeprefix("refused: ") for line in out.splitlines() if line.startswith("refused: ")]
    assert len(lines) == len(refusals), out
    assert all(line.startswith(reason) for line, reason in zip(lines, refusals, strict=True)), out
