"""Run the gate once: draw questions, ask both deployments in pairs, and judge the replies."""

import random
from asyncio import TaskGroup
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from load.driver.planning import Ask, make_generator, plan
from load.driver.progress import Progress, Watcher, showing
from load.driver.questions import Deck, read_pool
from load.driver.scenarios import Kind, Scenario
from load.gate.asking import Deployment, UnreachableError, open_deployment
from load.gate.comparison import Comparison, compare
from load.gate.options import Options
from load.gate.pairs import Pair, Reply
from load.gate.verdict import Deployments, Side, StableError, find_reasons, find_warnings, has_failed

# No question is repeated verbatim, because an answer from a cache says nothing about the deployment.
SCENARIO: Final = Scenario("gate", "streamed or whole, as a coin decides", (Kind(), Kind(route="whole")), repeated=0.0)


class CanaryError(Exception):
    """The canary does not describe itself, so it was asked nothing else."""


@dataclass(frozen=True, slots=True)
class GateRun:
    """The questions and results of one run: `reasons` to refuse the canary, `warnings` that weaken the verdict."""

    date: str
    options: Options
    deployments: Deployments
    pairs: tuple[Pair, ...]
    comparison: Comparison
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]


class Contest:
    """Asks both deployments, in an order that a coin decides."""

    def __init__(self, stable: Deployment, canary: Deployment, coin: random.Random) -> None:
        self._sides: list[tuple[Side, Deployment]] = [("stable", stable), ("canary", canary)]
        self._coin = coin

    async def ask(self, ask: Ask, watcher: Watcher) -> Pair:
        """Ask one after the other, not concurrently: on one machine a slow canary would also slow the stable one."""
        replies: dict[Side, Reply] = {}
        for side, deployment in self._coin.sample(self._sides, 2):
            replies[side] = await deployment.ask(replace(ask, trace_id=f"{ask.trace_id}-{side}"), watcher)
        return Pair(str(ask.body["question"]), ask.route, replies["stable"], replies["canary"])

    async def ask_all(
        self, asks: Sequence[Ask], watcher: Watcher, *, concurrency: int, give_up_after: int
    ) -> list[Pair]:
        """Ask all questions, `concurrency` pairs at a time, and return the pairs in the order in which they ended.

        Stop after `give_up_after` failures of one deployment in a row, because a hanging one would take hours.
        """
        pairs: list[Pair] = []
        left = iter(asks)

        async def work() -> None:
            for ask in left:
                pairs.append(await self.ask(ask, watcher))
                if has_failed(pairs, "stable", give_up_after) or has_failed(pairs, "canary", give_up_after):
                    return

        async with TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(work())
        return pairs


async def run_gate(options: Options, key: str | None) -> GateRun:
    """Run the gate.

    Raises: DataError: there are no questions. StableError, CanaryError: that deployment cannot be compared.
    """
    date = datetime.now(UTC).isoformat(timespec="seconds")
    warm_up, asks = _make_asks(options)
    limits = {"timeout_s": options.timeout_s, "patience_s": options.patience_s}
    how = {"concurrency": options.concurrency, "give_up_after": options.tolerances.fewest_bad}
    async with (
        open_deployment(options.stable, key, **limits) as stable,
        open_deployment(options.canary, key, **limits) as canary,
    ):
        deployments = await _describe(stable, canary)
        contest = Contest(stable, canary, make_generator(options.seed, "turns"))
        async with showing(progress := Progress("warm-up", 2 * len(warm_up))):
            await contest.ask_all(warm_up, progress, **how)
        async with showing(progress := Progress("gate", 2 * len(asks))):
            pairs = await contest.ask_all(asks, progress, **how)
    comparison = compare(pairs, options.tolerances)
    return GateRun(
        date=date,
        options=options,
        deployments=deployments,
        pairs=tuple(pairs),
        comparison=comparison,
        reasons=tuple(find_reasons(pairs, comparison, deployments, how["give_up_after"])),
        warnings=tuple(find_warnings(deployments, options.tenant)),
    )


async def _describe(stable: Deployment, canary: Deployment) -> Deployments:
    try:
        described = await stable.describe()
    except UnreachableError as error:
        raise StableError(str(error)) from error
    try:
        return Deployments(described, await canary.describe())
    except UnreachableError as error:
        raise CanaryError(str(error)) from error


def _make_asks(options: Options) -> tuple[list[Ask], list[Ask]]:
    """Return the requests of the warm-up, and those that count, from one deck."""
    deck = Deck(read_pool(options.questions), make_generator(options.seed, "questions"))
    name = f"gate-{options.seed}"

    def deal(count: int, name: str) -> list[Ask]:
        return plan(SCENARIO, deck, [options.tenant], [0.0] * count, rng=make_generator(name), prefix=name)

    return deal(options.warm_up, f"{name}-warm-up"), deal(options.requests, name)
