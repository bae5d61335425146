"""Parse and check the command line of the gate: the two deployments, the questions, and the tolerances."""

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import httpx

from load.driver.options import SEED, TIMEOUT_S
from load.gate.comparison import Tolerances
from schemas.request import TENANT_PATTERN

KEY_VARIABLE: Final = "GATE_API_KEY"
# Twice the window of the default quotas, because both deployments may share them in Redis.
PATIENCE_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Options:
    """The options; `requests` go to each deployment, `patience_s` limits the retries of one refused question."""

    stable: str
    canary: str
    requests: int
    concurrency: int
    warm_up: int
    tenant: str
    questions: Path | None
    seed: int
    timeout_s: float
    patience_s: float
    json: Path | None
    tolerances: Tolerances


def parse_options(argv: Sequence[str]) -> Options:
    """Parse the arguments; end the process with status 2 and a line on stderr if they are not valid."""
    parser = _make_parser()
    given = vars(parser.parse_args(argv))
    tolerances = Tolerances(**{each.name: given.pop(each.name) for each in fields(Tolerances)})
    if given["requests"] < tolerances.fewest_bad:
        parser.error(f"fewer than {tolerances.fewest_bad} requests can show nothing that could not be chance")
    if given["json"] is not None and not given["json"].parent.is_dir():
        parser.error(f"there is no folder {given['json'].parent}")
    return Options(**given, tolerances=tolerances)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m load.gate",
        description="Sends the same questions to a stable deployment and to a canary and compares the answers. "
        "Exits with 0 where the canary passes, 1 where it is refused, 2 where nothing could be compared.",
        epilog=f"{KEY_VARIABLE} in the environment is the API key for both. Each URL must reach one deployment alone.",
    )
    parser.add_argument("--stable", type=_url, required=True, metavar="URL", help="what serves now")
    parser.add_argument("--canary", type=_url, required=True, metavar="URL", help="what is to serve")
    parser.add_argument("--json", type=Path, metavar="FILE", help="everything, questions and answers included")
    questions = parser.add_argument_group("questions")
    for flag, name, read, default, about in (
        ("--requests", "requests", _count, 200, "so many to each"),
        ("--concurrency", "concurrency", _count, 2, "so many at once, to both together"),
        ("--warm-up", "warm_up", _count, 3, "so many to each before, which do not count"),
        ("--tenant", "tenant", _tenant, "demo", "whose documents"),
        ("--questions", "questions", Path, None, "JSON lines, or a folder of XQuAD files"),
        ("--seed", "seed", int, SEED, "of questions and order"),
        ("--timeout", "timeout_s", _number(0.1, 3600), TIMEOUT_S, "seconds of a client"),
        ("--patience", "patience_s", _number(0, 3600), PATIENCE_S, "seconds that a refused question is asked again"),
    ):
        shown = "examples/documents" if default is None else default
        questions.add_argument(flag, dest=name, type=read, default=default, metavar="X", help=f"{about} ({shown})")
    tolerances = parser.add_argument_group("tolerances; shares are from 0 to 1")
    for flag, name, read, about in (
        ("--max-error-rate-increase", "error_rate_increase", _number(0, 1), "more requests without a whole answer"),
        ("--max-fault-rate-increase", "fault_rate_increase", _number(0, 1), "more answers that break the contract"),
        ("--max-no-answer-increase", "no_answer_increase", _number(0, 1), "more abstentions"),
        ("--max-ttft-ratio", "ttft_ratio", _number(0.1, 1000), "p50 and p95 to the first text, over the stable one's"),
        ("--max-e2e-ratio", "e2e_ratio", _number(0.1, 1000), "the same to the end of the answer"),
        ("--min-agreement", "min_agreement", _number(0, 1), "answers that say the same as the stable one's"),
        ("--chance", "chance", _number(1e-9, 0.5), "how often two that are alike may be refused"),
    ):
        default = getattr(Tolerances(), name)
        tolerances.add_argument(flag, dest=name, type=read, default=default, metavar="X", help=f"{about} ({default})")
    return parser


def _url(text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if url.scheme not in ("http", "https") or not url.host:
        raise argparse.ArgumentTypeError(f"no http:// or https:// URL: {text}")
    return text


def _tenant(text: str) -> str:
    if not re.match(TENANT_PATTERN, text):
        raise argparse.ArgumentTypeError("a tenant has 1 to 64 characters of A-Za-z0-9._-")
    return text


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"below 1: {text}")
    return value


def _number(least: float, most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = float(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"not from {least:g} to {most:g}: {text}")
        return value

    return number
