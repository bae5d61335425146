"""Run each step in a new process, whose memory contains nothing of earlier steps."""

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Final, ParamSpec, TypeVar

# A step that needs more ends with a MemoryError, instead of exhausting the machine.
MEMORY_LIMIT_BYTES: Final = 12 * 2**30

P = ParamSpec("P")
T = TypeVar("T")


def run_alone(step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a step in a new process, print its time and result, and return the result.

    Raises: whatever the step raises.
    """
    started = time.monotonic()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_limit_memory) as process:
        result = process.submit(step, *args, **kwargs).result()
    print(f"{step.__name__} {time.monotonic() - started:.1f} s: {result}", file=sys.stderr, flush=True)
    return result


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
