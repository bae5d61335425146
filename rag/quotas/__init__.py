"""Enforce quotas: requests and tokens in a sliding window, counted per process or shared by all processes.

We do not use `limits` from PyPI, because it counts one moving window at a time: it can neither take from two windows
atomically nor replace a reservation with the actual usage.
"""

from collections.abc import Callable
from typing import Literal

from rag.ports import RateLimiter
from rag.quotas.local import LocalLimiter
from rag.quotas.quota import Quotas
from rag.quotas.server import QuotaServer
from rag.quotas.shared import SharedLimiter

__all__ = ["LocalLimiter", "Quotas", "SharedLimiter", "open_limiter"]


def open_limiter(
    quotas: Quotas,
    *,
    redis_url: str | None = None,
    redis_lost: Literal["fail_closed", "fail_local"] = "fail_local",
    on_local: Callable[[], None] = lambda: None,
) -> RateLimiter:
    """Return a limiter that all processes share if `redis_url` is set, else one for this process only.

    The shared limiter connects with the first request. If the server is lost, `fail_local` lets this process decide
    alone, and calls `on_local` for each such request; `fail_closed` raises NotReady.
    """
    if redis_url is None:
        return LocalLimiter(quotas)
    local = LocalLimiter(quotas) if redis_lost == "fail_local" else None
    return SharedLimiter(QuotaServer(redis_url), quotas, local=local, on_local=on_local)
