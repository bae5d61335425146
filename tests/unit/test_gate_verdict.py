"""The verdict apart from the figures: who answered, whether anything still did, the output, and invalid arguments."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from load.gate.comparison import Tolerances, compare
from load.gate.options import Options, parse_options
from load.gate.pairs import Pair
from load.gate.report import render_json, render_table
from load.gate.run import GateRun
from load.gate.verdict import Deployments, StableError, find_reasons, find_warnings
from schemas.response import CurrentModels
from tests.unit.test_gate_asking import MODELS
from tests.unit.test_gate_comparison import ANSWER, FAILS, GOOD, pair

STABLE = CurrentModels.model_validate(MODELS)
CANARY = STABLE.model_copy(update={"model_version": "w"})
NEW = replace(GOOD, response=ANSWER.model_copy(update={"model_version": "w"}))
URLS = ["--stable", "http://old:3000", "--canary", "http://new:3000"]
GIVE_UP_AFTER = Tolerances().fewest_bad


def find(pairs: list[Pair], canary: CurrentModels = CANARY) -> list[str]:
    comparison = compare(pairs, Tolerances())
    return list(find_reasons(pairs, comparison, Deployments(STABLE, canary), GIVE_UP_AFTER))


def make_run(pairs: list[Pair], options: Options) -> GateRun:
    deployments = Deployments(STABLE, CANARY)
    comparison = compare(pairs, options.tolerances)
    reasons = tuple(find_reasons(pairs, comparison, deployments, GIVE_UP_AFTER))
    return GateRun("2026-05-10", options, deployments, tuple(pairs), comparison, reasons, ())


def test_a_canary_of_one_version_without_a_worse_figure_passes() -> None:
    """No reason is the verdict."""
    assert find([pair(NEW)] * 20) == []


def test_a_canary_that_is_several_is_refused() -> None:
    """Its URL is that of the Ingress, or pods of two versions are behind it: it is not known who was measured."""
    assert find([pair(GOOD), *[pair(NEW)] * 19]) == ["its URL reaches more than one deployment: v answered too"]


def test_with_a_stable_one_that_is_several_nothing_is_compared() -> None:
    """Half of its answers may be the canary's."""
    with pytest.raises(StableError, match="w answered too"):
        find([pair(NEW, stable=NEW), *[pair(NEW)] * 19])


def test_a_canary_that_answers_no_more_is_refused() -> None:
    """Even where the stable one had as many failures before, so that the figures are the same."""
    pairs = [*[pair(NEW, stable=FAILS)] * GIVE_UP_AFTER, *[pair(FAILS)] * GIVE_UP_AFTER]

    assert find(pairs) == [f"its last {GIVE_UP_AFTER} requests have failed: UPSTREAM_ERROR"]


def test_with_a_stable_one_that_answers_no_more_nothing_is_compared() -> None:
    """Nobody can be worse than it."""
    with pytest.raises(StableError, match="UPSTREAM_ERROR"):
        find([pair(NEW, stable=FAILS)] * GIVE_UP_AFTER)


def test_nothing_to_compare_is_warned_of() -> None:
    """The same version with another index is something to compare."""
    rebuilt = STABLE.index["demo"].model_copy(update={"version": "000002-00000000"})
    other = STABLE.model_copy(update={"index": {"demo": rebuilt}})

    assert len(list(find_warnings(Deployments(STABLE, STABLE), "demo"))) == 1
    assert list(find_warnings(Deployments(STABLE, other), "demo")) == []
    assert list(find_warnings(Deployments(STABLE, CANARY), "demo")) == []


def test_a_tenant_without_documents_is_warned_of() -> None:
    """All answers are abstentions then, and agree."""
    assert len(list(find_warnings(Deployments(STABLE, CANARY), "acme"))) == 2


def test_the_table_has_both_versions_and_every_check() -> None:
    """What refuses is marked in its line."""
    table = render_table(make_run([pair(FAILS)] * 20, parse_options(URLS)))

    lines = table.splitlines()
    assert ["model_version", "v", "w"] in [line.split() for line in lines]
    assert ["index", "of", "demo", "000001-5d1844a5", "000001-5d1844a5"] in [line.split() for line in lines]
    assert [line.split()[0] for line in lines if line.endswith("REFUSED")] == ["errors"]
    assert "from 10 of 200 on (5.0%)" in lines[-1]


def test_the_file_holds_everything() -> None:
    """Verdict, figures, and each pair with its answers."""
    told = json.loads(render_json(make_run([pair(FAILS), *[pair(NEW)] * 19], parse_options(URLS))))

    assert (told["schema"], told["passed"], told["reasons"]) == ("load-gate/1", True, [])
    assert (told["deployments"]["canary"]["model_version"], told["options"]["canary"]) == ("w", "http://new:3000")
    assert [check["name"] for check in told["checks"]][:3] == ["errors", "broken contract", "no_answer"]
    assert (told["pairs"][0]["canary"]["error"], told["pairs"][0]["agreement"]) == ("UPSTREAM_ERROR", [])
    assert told["pairs"][1]["canary"]["response"]["answer"] == ANSWER.answer


def test_options_have_defaults_that_run() -> None:
    """Two URLs are enough."""
    options = parse_options(URLS)

    assert (options.requests, options.tenant, options.tolerances) == (200, "demo", Tolerances())
    assert parse_options([*URLS, "--max-ttft-ratio", "1.5"]).tolerances.ttft_ratio == 1.5


@pytest.mark.parametrize(
    "argv",
    [
        *([], URLS[:2], [*URLS, "--canary", "ftp://x"], [*URLS, "--stable", "rag:3000"], [*URLS, "--stable", "http://"]),
        *([*URLS, "--requests", "9"], [*URLS, "--requests", "many"], [*URLS, "--concurrency", "0"]),
        *([*URLS, "--min-agreement", "1.1"], [*URLS, "--max-e2e-ratio", "0"], [*URLS, "--chance", "0"]),
        *([*URLS, "--tenant", "a/b"], [*URLS, "--json", "no-such-folder/gate.json"]),
    ],
    ids=lambda argv: " ".join(argv[4:]) or "too few",
)  # fmt: skip
def test_what_cannot_be_run_ends_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is asked, with a line that says why; so few requests that all could be luck are among it."""
    with pytest.raises(SystemExit) as ended:
        parse_options(argv)

    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_the_report_goes_where_there_is_a_folder(tmp_path: Path) -> None:
    """It is looked for before hours of asking."""
    assert parse_options([*URLS, "--json", str(tmp_path / "gate.json")]).json == tmp_path / "gate.json"
