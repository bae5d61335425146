"""Define what is compared: the replies of both deployments to one question; nothing here waits or reads a clock."""

from dataclasses import dataclass

from load.driver.scenarios import Route
from schemas.response import QueryResponse


@dataclass(frozen=True, slots=True)
class Reply:
    """The final reply to one question.

    `error` is a code where no whole answer came, `fault` the rule of the contract that the answer breaks; `response` is
    None after an error, and where the answer cannot be read. Times are those of the last try, `refused` are the
    codes of those before it. `ttft_s` is None for what is not streamed.
    """

    trace_id: str
    e2e_s: float
    ttft_s: float | None = None
    error: str | None = None
    fault: str | None = None
    response: QueryResponse | None = None
    refused: tuple[str, ...] = ()

    @property
    def abstains(self) -> bool:
        """Whether the answer is `no_answer`."""
        return self.response is not None and self.response.finish_reason == "no_answer"


@dataclass(frozen=True, slots=True)
class Pair:
    """One question by one route, asked of both deployments."""

    question: str
    route: Route
    stable: Reply
    canary: Reply

    @property
    def both_answered(self) -> bool:
        """Whether there are two answers to compare, abstentions included."""
        return self.stable.response is not None and self.canary.response is not None
