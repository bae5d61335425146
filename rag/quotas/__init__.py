"""Who has used how much: requests and tokens in a sliding window, in this process or over all of them.

Written out, because `limits` from PyPI counts one moving window at a time: it neither takes from two at once or from
none, nor puts the true usage in the place of a reservation.
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
    """Limits over all processes where a server is named, otherwise within this one; connects with the first request.

    `on_local` is called for each request that this process decides alone because the server is lost.
    """
    if redis_url is None:
        return LocalLimiter(quotas)
    local = LocalLimiter(quotas) if redis_lost == "fail_local" else None
    return SharedLimiter(QuotaServer(redis_url), quotas, local=local, on_local=on_local)
