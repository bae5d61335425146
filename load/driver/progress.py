"""Show the progress of a run: one line a second, on stderr."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol, TextIO

from load.driver.outcome import Ending, Outcome

SHOW_EVERY_S: Final = 1.0


class Watcher(Protocol):
    """Gets a call when a request is sent, and one when it has ended."""

    def on_sent(self) -> None: ...
    def on_ended(self, outcome: Outcome) -> None: ...


class Progress:
    """A `Watcher` that counts requests and endings."""

    def __init__(self, title: str, planned: int) -> None:
        self._title = title
        self._planned = planned
        self._sent = 0
        self._ended: Counter[Ending] = Counter()

    def on_sent(self) -> None:
        self._sent += 1

    def on_ended(self, outcome: Outcome) -> None:
        self._ended[outcome.ending] += 1

    def describe(self) -> str:
        """Return one line, without endings that did not occur."""
        endings = "  ".join(f"{ending} {self._ended[ending]}" for ending in Ending if self._ended[ending])
        in_flight = self._sent - self._ended.total()
        return f"{self._title}: sent {self._sent}/{self._planned}  in flight {in_flight}  {endings}".rstrip()


@asynccontextmanager
async def showing(progress: Progress, out: TextIO = sys.stderr) -> AsyncIterator[None]:
    """Show the progress every second during the block and once after it; on a terminal always in the same line."""
    start, end = ("\r\x1b[K", "") if out.isatty() else ("", "\n")

    async def show() -> None:
        while True:
            await asyncio.sleep(SHOW_EVERY_S)
            print(f"{start}{progress.describe()}", end=end, file=out, flush=True)

    task = asyncio.create_task(show())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        print(f"{start}{progress.describe()}", file=out, flush=True)
