"""Sample the memory of the server during a run, if it runs on this machine."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import psutil

SAMPLE_EVERY_S: Final = 1.0
_MEBIBYTE: Final = 1 << 20
_GPU_QUERY: Final = ("--query-gpu=memory.used", "--format=csv,noheader,nounits")
_GPU_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class MemorySample:
    """One sample; `rss_bytes` is a sum that counts shared pages once per process, `gpu_bytes` is of the whole GPU."""

    at_s: float
    rss_bytes: int
    gpu_bytes: int | None


class MemoryProbe:
    """Reads the memory of one process and its descendants."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._gpu_command = shutil.which("nvidia-smi")

    def read(self, at_s: float) -> MemorySample | None:
        """Read a sample; None if the process is gone. Call this in a thread, because it takes milliseconds."""
        try:
            root = psutil.Process(self._pid)
            rss_bytes = sum(map(_read_rss, [root, *root.children(recursive=True)]))
        except psutil.NoSuchProcess:
            return None
        return MemorySample(at_s, rss_bytes, self._read_gpu())

    def _read_gpu(self) -> int | None:
        if self._gpu_command is None:
            return None
        try:
            told = subprocess.run(  # noqa: S603 - our own command
                [self._gpu_command, *_GPU_QUERY], capture_output=True, text=True, timeout=_GPU_TIMEOUT_S, check=True
            )
            return sum(int(line) for line in told.stdout.split()) * _MEBIBYTE
        except (OSError, ValueError, subprocess.SubprocessError):
            return None


@asynccontextmanager
async def sampling(probe: MemoryProbe | None, clock: Callable[[], float]) -> AsyncIterator[list[MemorySample]]:
    """Sample during the block, once a second; yields the list of samples, which grows."""
    samples: list[MemorySample] = []
    if probe is None:
        yield samples
        return

    async def sample() -> None:
        while (read := await asyncio.to_thread(probe.read, clock())) is not None:
            samples.append(read)
            await asyncio.sleep(SAMPLE_EVERY_S)

    task = asyncio.create_task(sample())
    try:
        yield samples
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _read_rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
