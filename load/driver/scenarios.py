"""Define the load scenarios as data: each is a mix of kinds of clients, described by shares, lengths and times."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from load.driver.arrivals import Burst

Language = Literal["en", "vi"]
Length = Literal["short", "long"]
Route = Literal["stream", "whole"]  # events as they come, or one body at the end


@dataclass(frozen=True, slots=True)
class Leaving:
    """When clients disconnect early: at the first text, or after a random time up to `within_s`."""

    at_first_text: bool = False
    within_s: float | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of client; `max_output_tokens` None means the service's default, `tenant` is a number from 0."""

    share: float = 1.0
    length: Length = "short"
    route: Route = "stream"
    max_output_tokens: int | None = None
    leaving: Leaving | None = None
    tenant: int = 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario; `repeated` is the share of questions that repeat an earlier one of the session verbatim."""

    name: str
    about: str
    kinds: tuple[Kind, ...] = (Kind(),)
    languages: tuple[Language, ...] = ("en", "vi")
    repeated: float = 0.2
    burst: Burst | None = None

    @property
    def tenants(self) -> int:
        """The number of different tenants that it needs."""
        return 1 + max(kind.tenant for kind in self.kinds)


_ALL: Final = (
    Scenario("short", "questions of one sentence, streamed"),
    Scenario("long", "questions after half a page of background, streamed", (Kind(length="long"),)),
    Scenario("long-output", "long answers are allowed, streamed", (Kind(length="long", max_output_tokens=1024),)),
    Scenario(
        "bursts",
        "short questions, four times the rate for the first second of every five",
        burst=Burst(period_s=5, share=0.2, factor=4),
    ),
    Scenario(
        "abandoning",
        "half of the clients leave: at the first text, or within two seconds",
        (
            Kind(share=0.5),
            Kind(share=0.25, leaving=Leaving(at_first_text=True)),
            Kind(share=0.25, leaving=Leaving(within_s=2.0)),
        ),
    ),
    Scenario(
        "tenants", "one tenant asks four times as much as the other", (Kind(share=0.8), Kind(share=0.2, tenant=1))
    ),
    Scenario(
        "batch", "short questions of a batch job: whole answers, nothing repeated", (Kind(route="whole"),), repeated=0.0
    ),
    Scenario(
        "mixed",
        "mostly short questions, some long ones, a batch job, and some who leave",
        (
            Kind(share=0.6),
            Kind(share=0.15, length="long"),
            Kind(share=0.15, route="whole"),
            Kind(share=0.05, leaving=Leaving(at_first_text=True)),
            Kind(share=0.05, leaving=Leaving(within_s=2.0)),
        ),
    ),
    Scenario("english", "short questions in English, streamed", languages=("en",)),
    Scenario("vietnamese", "short questions in Vietnamese, streamed", languages=("vi",)),
)
SCENARIOS: Final[Mapping[str, Scenario]] = {scenario.name: scenario for scenario in _ALL}
