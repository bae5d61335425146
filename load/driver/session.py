"""Run a session: find or start the target, warm it up, and make one run after the other."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import Final

import httpx

from load.driver.arrivals import draw_arrivals
from load.driver.client import Client, open_client
from load.driver.memory import MemoryProbe
from load.driver.options import Options
from load.driver.own_server import KEY, TENANTS, running_own_server, show_settings
from load.driver.planning import Ask, make_generator, plan
from load.driver.progress import Progress, showing
from load.driver.questions import Deck, read_pool
from load.driver.record import Session
from load.driver.run import RunResult, run_closed, run_open
from load.driver.scenarios import Scenario
from load.driver.targets import RagTarget
from load.machine import describe_machine, installed_versions

_FACTS_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the load goes; `settings` and `probe` are known of a server that is ours."""

    url: str
    key: str | None
    probe: MemoryProbe | None = None
    settings: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One planned run; `rate_per_s` is None for a closed loop."""

    scenario: str
    asks: list[Ask]
    rate_per_s: float | None


async def drive(options: Options, environment: Mapping[str, str]) -> Session:
    """Raises: DataError: the questions are not readable; ServerError: our own server did not become ready."""
    date = datetime.now(UTC).isoformat(timespec="seconds")
    warm_up, *plans = _make_plans(options, _choose_tenants(options))  # may fail, so before a server is started
    with _find_place(options, environment) as place:
        server = await _ask_about(place)
        async with open_client(place.url, RagTarget(place.key), timeout_s=options.timeout_s) as client:
            await _warm_up(client, warm_up)
            runs = [await _run(client, plan, place, options) for plan in plans]
    return Session(
        date=date,
        seed=options.seed,
        target=options.url or f"a server of its own on {'fake' if options.is_fake else 'the local'} models",
        objective=options.objective,
        timeout_s=options.timeout_s,
        machine=describe_machine(),
        versions=installed_versions(),
        server=server,
        settings=place.settings or {},
        runs=tuple(runs),
    )


def _make_plans(options: Options, tenants: tuple[str, ...]) -> Iterator[Plan]:
    """Yield the warm-up, then each scenario at each rate; all share one deck, so no run warms the caches of another."""
    deck = Deck(read_pool(options.questions), make_generator(options.seed, "questions"))

    def deal(scenario: Scenario, times_s: list[float], name: str) -> list[Ask]:
        return plan(scenario, deck, tenants, times_s, rng=make_generator(options.seed, name), prefix=f"load-{name}")

    first = options.scenarios[0]
    yield Plan("warm-up", deal(first, [0.0] * options.warm_up, "warm-up"), None)
    rates = (None,) if options.streams else options.rates_per_s
    for number, (scenario, rate) in enumerate(product(options.scenarios, rates)):
        name = f"{options.seed}-{number}-{scenario.name}"
        times_s = [0.0] * options.requests
        if rate is not None:
            times_s = draw_arrivals(rate, options.duration_s, make_generator(name, "times"), scenario.burst)
        yield Plan(scenario.name, deal(scenario, times_s, name), rate)


def _choose_tenants(options: Options) -> tuple[str, ...]:
    """Return the given tenants, else those that the scenarios need on our own server, else only the default tenant."""
    if options.tenants:
        return options.tenants
    return TENANTS[: max(each.tenants for each in options.scenarios)] if options.url is None else TENANTS[:1]


@contextmanager
def _find_place(options: Options, environment: Mapping[str, str]) -> Iterator[Place]:
    if options.url:
        yield Place(options.url, options.key)
    else:
        print("load: starting a server", file=sys.stderr)
        tenants = _choose_tenants(options)
        with running_own_server(options.out, environment, tenants=tenants, is_fake=options.is_fake) as server:
            settings = show_settings(environment, is_fake=options.is_fake)
            yield Place(server.url, KEY, MemoryProbe(server.process.pid), settings)


async def _ask_about(place: Place) -> dict[str, object]:
    """Return the service's /models/current; empty if it does not answer that."""
    headers = {"x-api-key": place.key} if place.key else {}
    try:
        async with httpx.AsyncClient(base_url=place.url, headers=headers, timeout=_FACTS_TIMEOUT_S) as http:
            told = (await http.get("/models/current")).raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        print(f"load: {place.url}/models/current says nothing: {type(error).__name__}", file=sys.stderr)
        return {}
    return told if isinstance(told, dict) else {}


async def _warm_up(client: Client, plan: Plan) -> None:
    """Send the warm-up requests one at a time, and discard their outcomes."""
    async with showing(progress := Progress(plan.scenario, len(plan.asks))):
        await run_closed(client, plan.asks, progress, scenario=plan.scenario, streams=1)


async def _run(client: Client, plan: Plan, place: Place, options: Options) -> RunResult:
    pace = f"{plan.rate_per_s:g}/s" if plan.rate_per_s is not None else f"{options.streams} streams"
    async with showing(progress := Progress(f"{plan.scenario}, {pace}", len(plan.asks))):
        if plan.rate_per_s is None:
            return await run_closed(
                client, plan.asks, progress, scenario=plan.scenario, streams=options.streams, probe=place.probe
            )
        return await run_open(
            client,
            plan.asks,
            progress,
            scenario=plan.scenario,
            rate_per_s=plan.rate_per_s,
            duration_s=options.duration_s,
            probe=place.probe,
        )
