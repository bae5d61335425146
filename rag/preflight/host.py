"""Check the machine or container: user, memory, open files, folders, device."""

import os
import resource
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from rag.config.model_ref import ModelRef
from rag.config.settings import Settings
from rag.engines.device import best_device, count_cores
from rag.preflight.finding import Finding

GIB: Final = 1 << 30
# Measured with the local models: at most 4.8 GiB under load, 1.8 without a generator. A front alone holds no weights.
MEMORY_ALL_BYTES: Final = 6 * GIB
MEMORY_RANKING_BYTES: Final = 3 * GIB
MEMORY_FRONT_BYTES: Final = 1 * GIB
# A stream needs two sockets, one to the client and one to the generator.
OPEN_FILES: Final = 4096
DISK_BYTES: Final = 1 * GIB
# Control groups version 2, then version 1, which expresses "no limit" as a huge number.
_MEMORY_FILES: Final = ("memory.max", "memory/memory.limit_in_bytes")
_NO_LIMIT_BYTES: Final = 1 << 60


def check_host(settings: Settings | None, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Check the host; `settings` say which services run here, None means all of them."""
    yield judge_user(os.geteuid())
    yield judge_memory(read_memory_limit(Path("/sys/fs/cgroup")), needed_memory(settings))
    yield judge_open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    yield judge_folder("temporary folder", Path(tempfile.gettempdir()))
    yield judge_folder("BENTOML_HOME", Path(environ.get("BENTOML_HOME") or Path.home() / "bentoml"))
    yield judge_device(has_gpu=any(Path("/dev").glob("nvidia[0-9]*")))


def judge_user(uid: int) -> Finding:
    """Judge the user that runs the service, who should not be root."""
    if uid == 0:
        return Finding("warning", "user", "it runs as root", "set runAsNonRoot, and the user of the image")
    return Finding("ok", "user", f"uid {uid}")


def read_memory_limit(cgroup: Path) -> int | None:
    """Return the container's memory limit in bytes; None if there is none."""
    for name in _MEMORY_FILES:
        try:
            text = (cgroup / name).read_text("ascii").strip()
        except OSError:
            continue
        return int(text) if text.isdigit() and int(text) < _NO_LIMIT_BYTES else None
    return None


def needed_memory(settings: Settings | None) -> int:
    """Return the bytes of memory that the services running here need; None means all of them."""
    if settings is None:
        return MEMORY_ALL_BYTES
    if _is_spawned(settings.generator_model, settings.generator_url):
        return MEMORY_ALL_BYTES
    ranking = ((settings.embedder_model, settings.embedder_url), (settings.reranker_model, settings.reranker_url))
    return MEMORY_RANKING_BYTES if any(_is_spawned(*each) for each in ranking) else MEMORY_FRONT_BYTES


def _is_spawned(model: str | None, url: str | None) -> bool:
    return url is None and model is not None and ModelRef.parse(model).kind != "fake"


def judge_memory(limit_bytes: int | None, needed_bytes: int) -> Finding:
    """Compare the memory limit with the need; no limit is a warning."""
    needed = f"{needed_bytes / GIB:.0f} GiB"
    if limit_bytes is None:
        return Finding("warning", "memory", "no limit: a leak takes the whole machine", f"set one, from {needed} on")
    found = f"limit {limit_bytes / GIB:.1f} GiB"
    if limit_bytes < needed_bytes:
        return Finding("missing", "memory", f"{found}: it will be killed", f"give it {needed}")
    return Finding("ok", "memory", found)


def judge_open_files(limit: int) -> Finding:
    """Judge the limit on open files."""
    if limit not in (-1, resource.RLIM_INFINITY) and limit < OPEN_FILES:
        return Finding("warning", "open files", f"at most {limit}", f"raise the limit (ulimit -n) to {OPEN_FILES}")
    return Finding("ok", "open files", "no limit" if limit == resource.RLIM_INFINITY else f"at most {limit}")


def judge_folder(name: str, folder: Path) -> Finding:
    """Check write access by permissions, not by writing a file, because a check must leave nothing behind."""
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding("missing", name, f"{folder} cannot be written to", "mount an emptyDir there")
    free_bytes = shutil.disk_usage(folder).free
    found = f"{folder}, {free_bytes / GIB:.1f} GiB free"
    if free_bytes < DISK_BYTES:
        return Finding("warning", name, found, f"make room: {DISK_BYTES / GIB:.0f} GiB")
    return Finding("ok", name, found)


def judge_device(*, has_gpu: bool) -> Finding:
    """Check the device; torch is imported only if there is a GPU, because the import takes seconds."""
    if not has_gpu:
        return Finding("ok", "device", f"cpu, {count_cores()} cores")
    if best_device() == "cpu":
        return Finding("warning", "device", "there is a GPU, and torch does not use it", "use the image with CUDA")
    return Finding("ok", "device", "cuda")
