"""Read files in a process of its own: what a file does to its parser ends here, and not in the process that asked.

Run as `python -m rag.ingestion.child PARENT MEMORY_BYTES` by `rag.ingestion.reading`. A request is a line on stdin, the
path as a JSON string; the answer is a line on stdout, a `Reply`. An empty line goes out first, when all is imported.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from rag.errors import ParseError
from rag.parsing import READERS, Reader, parse
from rag.types import Document

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


@dataclass(frozen=True, slots=True)
class Reply:
    """The document, or the reason why there is none; `needs_memory`: there was too little for this file."""

    document: Document | None = None
    reason: str = ""
    needs_memory: bool = False


REPLIES: Final = TypeAdapter(Reply)


def main(arguments: Sequence[str], readers: Mapping[str, Reader] = READERS) -> None:
    """Answer until stdin ends; after a lack of memory the process ends, because its parsers may be in disorder."""
    parent, memory_bytes = map(int, arguments)
    _die_with(parent)
    _bound(memory_bytes)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a parser that prints does not speak for us
    answers.write(b"\n")
    answers.flush()
    for line in sys.stdin.buffer:
        reply = read(Path(json.loads(line)), readers)
        answers.write(REPLIES.dump_json(reply) + b"\n")
        answers.flush()
        if reply.needs_memory:
            return


def read(path: Path, readers: Mapping[str, Reader]) -> Reply:
    """Read one file."""
    try:
        return Reply(parse(path, readers))
    except ParseError as error:
        return Reply(reason=str(error), needs_memory=_lacks_memory(error))
    except MemoryError:
        return Reply(needs_memory=True)


def _lacks_memory(error: BaseException | None) -> bool:
    """Return whether this, or what led to it, is a MemoryError: to the parsers that is one more broken file."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _die_with(parent: int) -> None:
    """End when the thread that started this process ends, however it ends; the keyboard interrupts only the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended already
        sys.exit()


def _bound(memory_bytes: int) -> None:
    """Let this process take so much more memory than it has; leave no core behind.

    The bound is one of addresses: that of data counts only a part of them on some kernels. It is a soft one: the
    processes that parsers start set their own.
    """
    taken = _address_bytes()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):  # macOS has no such bound
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (taken + memory_bytes, most))


def _address_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except OSError:
        return 0
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main(sys.argv[1:])
