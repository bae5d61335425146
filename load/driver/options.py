"""Parse and check the command line of the load driver."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from load.driver.metrics import Objective
from load.driver.scenarios import SCENARIOS, Scenario
from load.processes import ROOT

FOLDER: Final = ROOT / ".data" / "load"
OBJECTIVE: Final = "ttft:2000,e2e:10000"
SEED: Final = 20260510
# Longer than the service's deadline for a stream, so that the service times out first.
TIMEOUT_S: Final = 70.0


@dataclass(frozen=True, slots=True)
class Options:
    """The options; without a URL the driver starts its own server. The loop is closed if `streams` is above 0."""

    url: str | None
    is_fake: bool
    scenarios: tuple[Scenario, ...]
    rates_per_s: tuple[float, ...]
    duration_s: float
    streams: int
    requests: int
    warm_up: int
    seed: int
    objective: Objective
    timeout_s: float
    questions: Path | None
    key: str | None
    tenants: tuple[str, ...]
    out: Path


def parse_options(argv: Sequence[str]) -> Options:
    """Parse the arguments; end the process with a line on stderr if they are not valid."""
    parser = _make_parser()
    given = parser.parse_args(argv)
    if (given.streams > 0) != (given.requests > 0):
        parser.error("a closed loop needs both --streams and --requests, an open one neither")
    if given.is_fake and given.url:
        parser.error("--fake is for a server of our own")
    rates = given.rates_per_s or (given.rate,)
    del given.rate
    return Options(**{**vars(given), "rates_per_s": rates})


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m load.driver",
        description="Drives a server with load and reports how it held.",
        epilog="scenarios: " + "; ".join(f"{each.name}: {each.about}" for each in SCENARIOS.values()),
    )
    target = parser.add_argument_group("target; without a URL a server of our own on the local models")
    target.add_argument("--url", help="a running server of this service")
    target.add_argument("--fake", dest="is_fake", action="store_true", help="a server of our own, on fake models")
    target.add_argument("--key", help="API key")
    target.add_argument("--tenant", dest="tenants", type=_split, default=(), metavar="T[,T…]", help="whose documents")
    loads = parser.add_argument_group("load")
    loads.add_argument("--scenario", dest="scenarios", type=_find_scenarios, default="mixed", metavar="NAME[,NAME…]")
    loads.add_argument("--rate", type=_positive, default=1.0, help="requests per second (default: %(default)s)")
    loads.add_argument("--rates", dest="rates_per_s", type=_read_rates, default=(), metavar="R,R…", help="a sweep")
    loads.add_argument(
        "--duration", dest="duration_s", type=_positive, default=30.0, metavar="S", help="seconds of arrivals"
    )
    loads.add_argument("--streams", type=_count, default=0, metavar="N", help="a closed loop of so many at a time")
    loads.add_argument("--requests", type=_count, default=0, metavar="N", help="requests of a closed loop")
    loads.add_argument("--warm-up", type=_count, default=3, metavar="N", help="requests before, which do not count")
    loads.add_argument("--questions", type=Path, metavar="PATH", help="JSON lines, or a folder of XQuAD files")
    loads.add_argument("--seed", type=int, default=SEED)
    loads.add_argument(
        "--timeout", dest="timeout_s", type=_positive, default=TIMEOUT_S, metavar="S", help="of a client"
    )
    parser.add_argument(
        "--objective", type=Objective.parse, default=OBJECTIVE, help="of goodput, in ms (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, default=FOLDER, metavar="FOLDER", help="of the report (default: .data/load)"
    )
    return parser


def _split(text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    if not parts:
        raise argparse.ArgumentTypeError("nothing is named")
    return parts


def _find_scenarios(text: str) -> tuple[Scenario, ...]:
    unknown = [name for name in _split(text) if name not in SCENARIOS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    return tuple(SCENARIOS[name] for name in _split(text))


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"not above 0: {text}")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"below 0: {text}")
    return value


def _read_rates(text: str) -> tuple[float, ...]:
    return tuple(_positive(part) for part in _split(text))
