"""Run by `test_index_store.py`: processes that change an index and die at different steps.

The n-th folder of a group is changed by a process that is killed before its n-th durable step, the first one while it
embeds. When a process survives to the end, its number is printed and the group is done. `--` separates groups. One
interpreter forks all processes, because the imports cost more than the work.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import bm25s  # noqa: F401  # imported on first use otherwise, in every process that is forked here

from rag.index.store import IndexStore
from rag.types import Chunk, EncodedTexts
from tests.unit.index_fakes import FakeEncoder, FaultyDisk, change

NEW_DOCUMENTS = {"old": ["changed text"], "new": ["one", "two"]}


class DyingEncoder(FakeEncoder):
    def encode_chunks(self, chunks: Sequence[Chunk]) -> EncodedTexts:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().encode_chunks(chunks)


def count_deaths(folders: Sequence[str]) -> int:
    for step, folder in enumerate(folders):
        child = os.fork()
        if child == 0:
            encoder = DyingEncoder() if step == 0 else FakeEncoder()
            change(IndexStore(Path(folder), FaultyDisk(step, dies=True)), NEW_DOCUMENTS, encoder=encoder)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return step
    raise AssertionError("a change has more steps than there are folders")


if __name__ == "__main__":
    groups = [group.split("\n") for group in "\n".join(sys.argv[1:]).split("\n--\n")]
    sys.stdout.write(" ".join(str(count_deaths(group)) for group in groups))
