"""Shared by the quota tests: the window, the tolerance for slow machines, and when a refused request may be retried."""

from collections.abc import Callable
from typing import Any

import pytest

from rag.errors import RateLimited
from rag.ports import RateLimiter

WINDOW_S = 600
# What a slow machine may need between two lines of a test; far below every time that the tests let pass.
SLACK_S = 25

MakeShared = Callable[..., RateLimiter]


async def refusal(limiter: RateLimiter, tokens: int = 1, *, principal: str = "p", tenant: str = "demo") -> float:
    """After how many seconds the refused request may come again."""
    with pytest.raises(RateLimited) as caught:
        await limiter.reserve(principal, tenant, tokens)
    assert caught.value.retry_after_s is not None
    return caught.value.retry_after_s


def about(seconds: float) -> Any:
    return pytest.approx(seconds - SLACK_S / 2, abs=SLACK_S / 2 + 0.001)
