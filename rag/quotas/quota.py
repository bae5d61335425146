"""How much of both quotas a caller has in the window."""

from dataclasses import dataclass, replace

from rag.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Quotas:
    """Requests per principal and tenant, tokens per tenant, both in a sliding window."""

    window_s: float
    requests: int
    tokens: int

    @property
    def window_us(self) -> int:
        return round(self.window_s * 1_000_000)

    def override(self, requests: int | None, tokens: int | None) -> "Quotas":
        return replace(self, requests=requests or self.requests, tokens=tokens or self.tokens)

    def require_possible(self, tokens: int) -> None:
        """Raises: BadRequest: no waiting will ever make this request fit."""
        assert tokens >= 0
        if tokens > self.tokens:
            raise BadRequest("The request needs more tokens than the whole quota; ask for fewer output tokens.")
