"""The closed list of metrics: what each shows and from when, and that no request can add a label."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from load.small_disk import NoSmallDiskError, fill, mounted_disk
from rag.observability import metrics
from rag.types import IndexVersion
from schemas.errors import ErrorCode

# What a metric may be parted by; a caller or a document is none of it, and a tenant only if the operator names it.
LABELS = {
    "tenant",
    *("route", "outcome", "reason", "code", "stage", "kind", "service", "quota", "decision", "dependency"),
    *("task", "function", "verdict", "bound", "version", "model_version", "prompt_version"),
}
DEAD_WORKER = """
import os, signal
from rag.observability import metrics
metrics.RUNNING.inc(3)
os.kill(os.getpid(), signal.SIGKILL)
"""
SHOW_RUNNING = """
from prometheus_client import CollectorRegistry, multiprocess
from rag.observability import metrics
metrics.begin(version="1", model_version="m", prompt_version="p", places=8, good_ends={})
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
print(registry.get_sample_value("rag_queries_running"), registry.get_sample_value("rag_indexes"))
"""
COUNTS_ON_A_FULL_DISK = """
import sys
from pathlib import Path
from load.small_disk import FILLING, empty
from rag.observability import metric_files, metrics
disk = Path(sys.argv[1])
metrics.begin(version="1", model_version="m", prompt_version="p", places=8, good_ends={})
metrics.LIMITED_LOCALLY.inc(3)
print(sorted(path.name for path in disk.iterdir()) == [FILLING])
empty(disk)
metric_files.TRY_AGAIN_AFTER_S = 0
for file in metrics.PLACES._value._file, metrics.LIMITED_LOCALLY._value._file:
    file._try_again_at = 0
metrics.LIMITED_LOCALLY.inc()
metrics.RUNNING.set(2)
"""
GROWS_ON_A_FULL_DISK = """
import sys
from pathlib import Path
from load.small_disk import fill
from rag.observability import metrics
metrics.begin(version="1", model_version="m", prompt_version="p", places=8, good_ends={})
fill(Path(sys.argv[1]))
for number in range(1000):
    metrics.TOKENS.labels(f"kind {number}", "other").inc(2)
metrics.LIMITED_LOCALLY.inc(4)
print(metrics.TOKENS.labels("kind 999", "other")._value.get())
"""
SHOW_ALL = """
from prometheus_client import CollectorRegistry, multiprocess
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
print(registry.get_sample_value("rag_limiter_degraded_total"), registry.get_sample_value("rag_places"))
"""
IMPORTS_ALONE = "from rag.observability import metrics"
SERVES_INDEXES = """
from rag.observability import metrics
from rag.types import IndexVersion
metrics.note_indexes({"demo": IndexVersion("v1", 7, 1, "2026-01-01T00:00:00Z")})
"""


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def run(code: str, folder: Path) -> str:
    """What a process prints that shares its metrics with the others of one server; the folder is its argument."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", code, str(folder)], env=environment, capture_output=True, text=True, check=False
    ).stdout.strip()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 512 KiB."""
    try:
        with mounted_disk(tmp_path / "disk", 512 << 10) as mounted:
            yield mounted
    except NoSmallDiskError as error:
        pytest.skip(str(error))


def test_every_label_is_from_a_closed_set() -> None:
    """No request can make a new series."""
    ours = [collector for name, collector in vars(metrics).items() if name.isupper() and hasattr(collector, "collect")]

    assert len(ours) >= 20
    assert {label for collector in ours for label in collector._labelnames} <= LABELS


def test_what_alerts_look_at_is_there_before_it_happens() -> None:
    """An absent series is no zero: the first failure would raise no rate."""
    metrics.begin(version="1", model_version="m", prompt_version="p", places=8, good_ends={"/begun": "stop"})

    failed = {"outcome": "query_failed", "reason": "error", "code": "INTERNAL_ERROR"}
    assert value("rag_queries_total", route="/begun", **failed) == 0
    assert value("rag_places") == 8
    assert value("rag_build_info", version="1", model_version="m", prompt_version="p") == 1
    assert value("rag_upstream_errors_total", service="generator", code="UPSTREAM_ERROR") is not None
    assert value("rag_quota_decisions_total", quota="tokens", decision="refused") is not None
    assert value("rag_dependency_ready", dependency="limiter") is not None


@pytest.mark.parametrize(
    ("refused_by", "counted"),
    [
        (None, [("requests", "granted"), ("tokens", "granted")]),
        ("tokens", [("tokens", "refused")]),
        ("requests", [("requests", "refused")]),
    ],
)
def test_quotas_count_what_they_decide(refused_by: metrics.Quota | None, counted: list[tuple[str, str]]) -> None:
    """Both let a request pass; the one that has to be waited for longest refuses it."""
    pairs = [(quota, decision) for quota in ("requests", "tokens") for decision in ("granted", "refused")]

    def read() -> list[float]:
        return [value("rag_quota_decisions_total", quota=quota, decision=decision) or 0 for quota, decision in pairs]

    before = read()
    metrics.note_admission(refused_by)

    assert [pair for pair, old, new in zip(pairs, before, read(), strict=True) if new > old] == counted


def test_only_what_a_service_does_is_an_upstream_error() -> None:
    """A query that could never be served is its caller's."""

    def read() -> float:
        return sum(
            value("rag_upstream_errors_total", service="reranker", code=code) or 0 for code in metrics.UPSTREAM_CODES
        )

    before = read()
    metrics.note_upstream_error("rerank", ErrorCode.NOT_READY)
    metrics.note_upstream_error("rerank", ErrorCode.BAD_REQUEST)

    assert read() == before + 1


def test_the_digest_tells_whether_two_fronts_serve_the_same() -> None:
    """Without naming a tenant or a version."""
    first, second = (IndexVersion(name, 10, 1, "2026-01-01T00:00:00Z") for name in ("v1", "v2"))
    digests = []
    for versions in ({"a": first, "b": first}, {"b": first, "a": first}, {"a": first, "b": second}, {}):
        metrics.note_indexes(versions)
        digests.append(value("rag_index_digest"))

    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_the_age_is_that_of_the_oldest_and_of_the_newest() -> None:
    """A tenant whose ingestion stopped is not hidden by the others."""
    metrics.note_indexes(
        {
            "a": IndexVersion("v1", 10, 1, "2026-01-01T00:00:00Z"),
            "b": IndexVersion("v9", 5, 1, "2026-01-02T00:00:00Z"),
        }
    )

    oldest, newest = (value("rag_index_built_timestamp_seconds", bound=bound) for bound in ("oldest", "newest"))
    assert (value("rag_indexes"), value("rag_index_chunks")) == (2, 15)
    assert oldest is not None
    assert newest == oldest + 86400


def test_what_a_killed_process_was_doing_is_forgotten(tmp_path: Path) -> None:
    """Its queries would be counted as running for ever."""
    run(DEAD_WORKER, tmp_path)

    assert list(tmp_path.glob("gauge_livesum_*.db"))
    assert run(SHOW_RUNNING, tmp_path).split()[0] == "0.0"


def test_a_process_that_serves_no_index_does_not_hide_those_of_another(tmp_path: Path) -> None:
    """The model services import the same list."""
    show = SHOW_RUNNING.replace("metrics.begin", SERVES_INDEXES + "metrics.begin")
    folder = tmp_path / "shared"
    folder.mkdir()
    other = subprocess.Popen(
        [sys.executable, "-c", f"{IMPORTS_ALONE}; import sys; sys.stdin.read()"],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        stdin=subprocess.PIPE,
    )
    try:
        assert run(show, folder).split()[1] == "1.0"
    finally:
        other.communicate()


def test_a_process_begins_on_a_full_disk_and_shows_its_metrics_once_there_is_space(disk: Path) -> None:
    """Written through a map of a file without space, they would be a SIGBUS, and the end of the front."""
    fill(disk)

    assert run(COUNTS_ON_A_FULL_DISK, disk) == "True"
    assert run(SHOW_ALL, disk) == "4.0 8.0"


def test_a_disk_that_fills_up_later_stops_no_counting(disk: Path) -> None:
    """What has its place goes on to be shown; what is new is counted, and waits for space."""
    assert run(GROWS_ON_A_FULL_DISK, disk) == "2.0"
    assert run(SHOW_ALL, disk).startswith("4.0 ")
