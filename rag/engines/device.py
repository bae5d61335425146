"""Which device and number format the models run on here; decided once, from the hardware."""

import ctypes
import os
import sys
from typing import Literal

Dtype = Literal["bfloat16", "float32"]


def return_memory() -> None:
    """Gives back what loading a model took beside the model itself: 280 MB with the local embedder."""
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def count_cores() -> int:
    """Those that this process may use, where the system tells; at least one."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_cores() -> None:
    """Takes half of the cores, for a service that runs beside others on one machine.

    The threads of one forward pass wait for each other at every layer. With as many of them as cores in each of
    several busy processes there is always one that does not run: vLLM fell from 14 tokens a second to 2.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, count_cores() // 2)))


def multiply_alone() -> None:
    """Has numpy multiply in the calling thread alone: for a service whose products are small, beside busy ones.

    A second thread makes the comparison of a question's tokens with a passage's no faster, and has to be waited for
    where the generator keeps all cores busy: 20 passages took 2 ms, and now and then 70.
    """
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    threadpool_limits(1, user_api="blas")


def best_device() -> str:
    """`cuda` where there is one, else `cpu`."""
    import torch  # noqa: PLC0415

    return "cuda" if torch.cuda.is_available() else "cpu"


def best_dtype() -> Dtype:
    """bfloat16 on a GPU and on a CPU with instructions for it, else float32.

    Without them bfloat16 is emulated: on an AVX-512 CPU without AMX the local embedder makes 6 passages a second in
    bfloat16 and 18 in float32; with AMX it is 40 and 9.
    """
    import torch  # noqa: PLC0415

    if torch.cuda.is_available():
        return "bfloat16"
    capabilities = torch.cpu.get_capabilities()
    return "bfloat16" if capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") else "float32"
