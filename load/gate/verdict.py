"""Decide whether the canary may get more traffic, and give the reasons; pure functions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from load.gate.comparison import Comparison
from load.gate.pairs import Pair, Reply
from schemas.response import CurrentModels

Side = Literal["stable", "canary"]


class StableError(Exception):
    """The stable deployment does not answer, so there is nothing to compare the canary with."""


@dataclass(frozen=True, slots=True)
class Deployments:
    """The /models/current of both deployments."""

    stable: CurrentModels
    canary: CurrentModels


def has_failed(pairs: Sequence[Pair], side: Side, times: int) -> bool:
    """Return whether the last `times` requests to that deployment all ended without an answer."""
    replies = [pair.stable if side == "stable" else pair.canary for pair in pairs[-times:]]
    return len(replies) == times and all(reply.error for reply in replies)


def find_reasons(
    pairs: Sequence[Pair], comparison: Comparison, deployments: Deployments, give_up_after: int
) -> Iterator[str]:
    """Yield one line for each reason to refuse the canary, none if it passes.

    Raises: StableError: the stable deployment no longer answers, or other versions answer at its URL.
    """
    if has_failed(pairs, "stable", give_up_after):
        raise StableError(f"its last {give_up_after} requests have failed: {pairs[-1].stable.error}")
    if others := _find_others([pair.stable for pair in pairs], deployments.stable):
        raise StableError(f"its URL reaches more than one deployment: {others} answered too")
    if others := _find_others([pair.canary for pair in pairs], deployments.canary):
        yield f"its URL reaches more than one deployment: {others} answered too"
    if has_failed(pairs, "canary", give_up_after):
        yield f"its last {give_up_after} requests have failed: {pairs[-1].canary.error}"
    yield from (check.describe() for check in comparison.refusing)


def find_warnings(deployments: Deployments, tenant: str) -> Iterator[str]:
    """Yield one line for each circumstance that weakens the verdict."""
    stable, canary = deployments.stable, deployments.canary
    if (stable.model_version, stable.index.get(tenant)) == (canary.model_version, canary.index.get(tenant)):
        yield f"both are {stable.model_version} with the same index of {tenant}: there is nothing to compare"
    for name, models in (("stable one", stable), ("canary", canary)):
        if tenant not in models.index:
            yield f"the {name} has no documents of {tenant}, or the key may not read them"


def _find_others(replies: Sequence[Reply], stated: CurrentModels) -> str:
    """Return the versions that answered, other than the stated one."""
    heard = {reply.response.model_version for reply in replies if reply.response}
    return ", ".join(sorted(heard - {stated.model_version}))
