"""Break the circuit to a failed server: pause all calls, then let one caller at a time try again."""

import time
from collections.abc import Callable


class Breaker:
    """Remembers the last failure, so that other callers do not wait for the same dead server."""

    def __init__(self, *, pause_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause_s = pause_s
        self._clock = clock
        self._ask_again_at: float | None = None

    def try_pass(self) -> bool:
        """Return whether this caller may try: after a pause one may; if it never reports, another one a pause later."""
        if self._ask_again_at is None:
            return True
        now = self._clock()
        if now < self._ask_again_at:
            return False
        self._ask_again_at = now + self._pause_s
        return True

    def report_failure(self) -> bool:
        """Start a pause, and return whether this is the first failure since the last success."""
        is_news = self._ask_again_at is None
        self._ask_again_at = self._clock() + self._pause_s
        return is_news

    def report_success(self) -> bool:
        """End the pause, and return whether this is the first success since a failure."""
        is_news = self._ask_again_at is not None
        self._ask_again_at = None
        return is_news
