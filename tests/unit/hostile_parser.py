"""Run by `test_reading_files.py`: the child that reads files, with readers that do to it what parsers may do."""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from rag.errors import ParseError
from rag.ingestion import child
from rag.parsing import READERS as OWN_READERS
from rag.parsing.blocks import Block, Draft

_read_files = 0


def _crash(data: bytes) -> Draft:
    ctypes.string_at(0)
    raise AssertionError


def _loop(data: bytes) -> Draft:
    while True:
        time.sleep(60)


def _eat(data: bytes) -> Draft:
    taken = []
    while True:
        taken.append(bytearray(2**24))


def _eat_and_hide(data: bytes) -> Draft:
    try:
        return _eat(data)
    except MemoryError:
        raise ParseError("the file is broken") from None


def _exit(data: bytes) -> Draft:
    os._exit(3)


def _be_killed(data: bytes) -> Draft:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _chatter(data: bytes) -> Draft:
    os.write(1, b"a line that is no answer\n")
    print("another")
    return Draft([Block("Heard.")])


def _lie(data: bytes) -> Draft:
    for descriptor in range(3, 20):
        try:
            os.write(descriptor, b"no answer\n")
        except OSError:
            continue
    return Draft([Block("Said.")])


def _wear(data: bytes) -> Draft:
    """Read one file; a second one in the same process is too much."""
    global _read_files  # noqa: PLW0603
    _read_files += 1
    if _read_files > 1:
        os._exit(1)
    return Draft([Block("Read.")])


def _tell_process(data: bytes) -> Draft:
    return Draft([Block(str(os.getpid()))])


def _tell_environment(data: bytes) -> Draft:
    return Draft([Block(" ".join(os.environ))])


def _wait(data: bytes) -> Draft:
    """Say in the file named by this one who reads, and go on for ever."""
    Path(data.decode()).write_text(str(os.getpid()))
    return _loop(data)


READERS: dict[str, Any] = {
    ".crash": _crash,
    ".loop": _loop,
    ".eat": _eat,
    ".hide": _eat_and_hide,
    ".exit": _exit,
    ".killed": _be_killed,
    ".chatter": _chatter,
    ".lie": _lie,
    ".wear": _wear,
    ".process": _tell_process,
    ".environment": _tell_environment,
    ".wait": _wait,
}

if __name__ == "__main__":
    child.main(sys.argv[1:], {**OWN_READERS, **READERS})
