"""Plan a run before it starts: which requests are sent, for which tenant and when, all from one seed."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from load.driver.questions import Deck
from load.driver.scenarios import Kind, Leaving, Route, Scenario


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, sent `at_s` seconds after the start; `leaves_at_s` is relative to the time when it is sent."""

    at_s: float
    trace_id: str
    route: Route
    body: Mapping[str, object]
    leaves_at_first_text: bool = False
    leaves_at_s: float | None = None

    @property
    def is_patient(self) -> bool:
        """Whether the client waits for the end of its answer."""
        return not self.leaves_at_first_text and self.leaves_at_s is None


def make_generator(*names: object) -> random.Random:
    """Return a random generator seeded by the names: equal names give equal generators, others independent ones."""
    return random.Random("/".join(map(str, names)))  # noqa: S311 - a plan, not a secret


def plan(
    scenario: Scenario, deck: Deck, tenants: Sequence[str], times_s: Sequence[float], *, rng: random.Random, prefix: str
) -> list[Ask]:
    """Plan one request for each time, in order; trace ids begin with `prefix`."""
    assert tenants, "somebody's documents are asked"
    asks = []
    for number, at_s in enumerate(times_s):
        kind = rng.choices(scenario.kinds, [each.share for each in scenario.kinds])[0]
        leaving = kind.leaving or Leaving()
        asks.append(
            Ask(
                at_s,
                f"{prefix}-{number}",
                kind.route,
                _make_body(kind, deck.deal(kind.length, scenario.languages, scenario.repeated), tenants),
                leaving.at_first_text,
                None if leaving.within_s is None else rng.uniform(0, leaving.within_s),
            )
        )
    return asks


def plan_bodies(bodies: Sequence[Mapping[str, object]], times_s: Sequence[float], prefix: str) -> list[Ask]:
    """Plan requests from ready-made bodies, in order, cyclically if there are more times than bodies."""
    chosen = islice(cycle(bodies), len(times_s))
    return [
        Ask(at_s, f"{prefix}-{number}", "stream", body)
        for number, (at_s, body) in enumerate(zip(times_s, chosen, strict=True))
    ]


def _make_body(kind: Kind, question: str, tenants: Sequence[str]) -> dict[str, object]:
    body: dict[str, object] = {"question": question, "tenant_id": tenants[kind.tenant % len(tenants)]}
    if kind.max_output_tokens is not None:
        body["max_output_tokens"] = kind.max_output_tokens
    return body
