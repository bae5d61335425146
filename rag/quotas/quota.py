"""Define the sizes of the request quota and of the token quota."""

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
        """The length of the window in whole microseconds."""
        return round(self.window_s * 1_000_000)

    def override(self, requests: int | None, tokens: int | None) -> "Quotas":
        """Return these quotas with a principal's own values in place; None keeps the default."""
        return replace(self, requests=requests or self.requests, tokens=tokens or self.tokens)

    def require_possible(self, tokens: int) -> None:
        """Check that the request can fit at all.

        Raises: BadRequest: it needs more tokens than the whole quota, so waiting does not help.
        """
        assert tokens >= 0
        if tokens > self.tokens:
            raise BadRequest("The request needs more tokens than the whole quota; ask for fewer output tokens.")
