"""Choose device, number format and threads for the models, from the hardware of this machine."""

import ctypes
import os
import sys
from typing import Literal

Dtype = Literal["bfloat16", "float32"]


def return_memory() -> None:
    """Return memory that was needed only while loading a model to the system: 280 MB with the local embedder."""
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def count_cores() -> int:
    """Return the number of cores that this process may use (on Linux; elsewhere all cores); at least one."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_cores() -> None:
    """Limit the threads to half of the cores, for a service that shares its machine with other busy services.

    The threads of one forward pass wait for each other at every layer. If each of several busy processes has as many
    threads as there are cores, one of them is always not running: vLLM fell from 14 tokens a second to 2.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, count_cores() // 2)))


def multiply_alone() -> None:
    """Make numpy multiply in the calling thread only, for a service with small matrix products beside busy services.

    A second thread does not speed up the comparison of a question's tokens with a passage's, and while the generator
    keeps all cores busy it delays it: 20 passages took 2 ms, but occasionally 70.
    """
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    threadpool_limits(1, user_api="blas")


def best_device() -> str:
    """Return `cuda` if it is available, else `cpu`."""
    import torch  # noqa: PLC0415

    return "cuda" if torch.cuda.is_available() else "cpu"


def best_dtype() -> Dtype:
    """Return bfloat16 for a GPU or a CPU with instructions for it, else float32.

    Without such instructions bfloat16 is emulated: on an AVX-512 CPU without AMX the local embedder reads 6 passages a
    second in bfloat16 and 18 in float32; with AMX it reads 40 and 9.
    """
    import torch  # noqa: PLC0415

    if torch.cuda.is_available():
        return "bfloat16"
    capabilities = torch.cpu.get_capabilities()
    return "bfloat16" if capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") else "float32"
