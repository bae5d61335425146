"""Whether it is worth asking a server that failed: not for a while, then by one caller at a time."""

import time
from collections.abc import Callable


class Breaker:
    """Remembers the last failure; everybody else is spared the wait that one caller had."""

    def __init__(self, *, pause_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause_s = pause_s
        self._clock = clock
        self._ask_again_at: float | None = None

    def try_pass(self) -> bool:
        """After the pause, True for one caller; were it never to report back, for the next one a pause later."""
        if self._ask_again_at is None:
            return True
        now = self._clock()
        if now < self._ask_again_at:
            return False
        self._ask_again_at = now + self._pause_s
        return True

    def report_failure(self) -> bool:
        """True where it is news."""
        is_news = self._ask_again_at is None
        self._ask_again_at = self._clock() + self._pause_s
        return is_news

    def report_success(self) -> bool:
        """True where it is news."""
        is_news = self._ask_again_at is not None
        self._ask_again_at = None
        return is_news
