"""Define all metrics of the service: a closed list, with labels from closed sets only.

Routes, codes, reasons, stages and verdicts come from the contract; functions and services are ours. A caller or another
value from a request is never a label, and a tenant only if the operator names it: in the identities file, or as the one
tenant of an open service; all others are `other`. Series that alerts read start at zero (`begin`), because a counter
would otherwise be missing until its first event. BentoML serves the metrics of all processes of one server on
/metrics, together with vLLM's own (`vllm:*`).
"""

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, get_args

from prometheus_client import Counter, Gauge, Histogram, multiprocess

from rag.observability.metric_files import reserve_space
from rag.types import BatchReport, FollowUp, IndexVersion
from schemas.errors import ErrorCode

Quota = Literal["requests", "tokens"]

# The label of all tenants that the operator does not name.
OTHER_TENANT: Final = "other"

# The names of the background tasks.
BACKGROUND_TASKS: Final = (
    "indexes",
    "dependencies",
    "start",
    "identities",
    "key_set",
    "debts",
    "drain",
    "engine",
    "jobs",
)
DEPENDENCIES: Final = ("embedder", "reranker", "generator", "index", "limiter")
# The codes with which an upstream service may fail.
UPSTREAM_CODES: Final = (
    ErrorCode.UPSTREAM_ERROR,
    ErrorCode.UPSTREAM_RATE_LIMITED,
    ErrorCode.MODEL_TIMEOUT,
    ErrorCode.NOT_READY,
)
SERVICE_OF_STAGE: Final[Mapping[str, str]] = {
    "retrieval": "embedder",
    "rerank": "reranker",
    "generation": "generator",
    "verification": "reranker",
}

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60)
_WAITS: Final = (0.001, 0.0025, *_SECONDS)

reserve_space()

BUILD_INFO = Gauge(
    "rag_build_info",
    "1, with what answers now as labels.",
    ["version", "model_version", "prompt_version"],
    multiprocess_mode="livemax",
)

QUERIES = Counter(
    "rag_queries_total", "Requests to a query route, by how they ended.", ["route", "outcome", "reason", "code"]
)
DURATION = Histogram("rag_query_seconds", "Time of a whole query.", ["route"], buckets=_SECONDS)
STAGES = Histogram("rag_stage_seconds", "Time that a query spent in a stage.", ["stage"], buckets=_SECONDS)
FIRST_TOKEN = Histogram("rag_first_token_seconds", "Time until a stream sent its first text.", buckets=_SECONDS)
TOKENS = Counter("rag_tokens_total", "Tokens of the generator, by tenant.", ["kind", "tenant"])
UPSTREAM_ERRORS = Counter(
    "rag_upstream_errors_total", "Queries that a service failed, by its name and the code.", ["service", "code"]
)

FOLLOW_UPS = Counter(
    "rag_follow_ups_total", "Questions that came with a history, by what was made of them.", ["outcome"]
)

RUNNING = Gauge("rag_queries_running", "Queries that hold a place.", multiprocess_mode="livesum")
QUEUED = Gauge("rag_queries_queued", "Queries that wait for a place.", multiprocess_mode="livesum")
PLACES = Gauge("rag_places", "Queries that may run at the same time.", multiprocess_mode="livesum")
QUOTA_DECISIONS = Counter(
    "rag_quota_decisions_total", "Requests that a quota let pass or refused.", ["quota", "decision"]
)
LIMITED_LOCALLY = Counter("rag_limiter_degraded_total", "Requests limited by one process because Redis is lost.")
DEPENDENCY_READY = Gauge(
    "rag_dependency_ready",
    "1 if the dependency was ready when it was asked last, else 0.",
    ["dependency"],
    multiprocess_mode="livemin",
)
BACKGROUND_FAILURES = Counter(
    "rag_background_failures_total",
    "Failures of work beside the requests; what runs for ever is begun again.",
    ["task"],
)

JOBS = Counter("rag_jobs_total", "Jobs of documents that ended, by what they did and how.", ["kind", "outcome"])
JOBS_WAITING = Gauge("rag_jobs_waiting", "Jobs of documents that wait.", multiprocess_mode="livesum")

BATCH_ITEMS = Histogram(
    "rag_batch_items", "Items of a batch of a model.", ["function"], buckets=[2**power for power in range(9)]
)
BATCH_TOKENS = Histogram(
    "rag_batch_tokens",
    "Tokens of a batch of a model, padding counted.",
    ["function"],
    buckets=[2**power for power in range(4, 17)],
)
BATCH_WAIT = Histogram(
    "rag_batch_wait_seconds", "Time that the oldest item of a batch had waited.", ["function"], buckets=_WAITS
)
BATCH_WAITING = Gauge(
    "rag_batch_waiting", "Items that wait for a batch of a model.", ["function"], multiprocess_mode="livesum"
)

SENTENCES = Counter(
    "rag_sentences_total", "Draft sentences, by what verification made of them and why.", ["verdict", "reason"]
)
SUPPORT = Histogram(
    "rag_sentence_support",
    "Support of draft sentences by the passages, where it was measured.",
    ["verdict"],
    buckets=(-0.2, 0, 0.1, 0.22, 0.35, 0.45, 0.6, 0.75, 0.9, 1),
)

# A gauge without labels is set to zero by each process that imports this module, so the most recent value counts.
INDEXES = Gauge("rag_indexes", "Tenants with an index that serves.", multiprocess_mode="livemostrecent")
INDEX_CHUNKS = Gauge("rag_index_chunks", "Chunks of all served indexes.", multiprocess_mode="livemostrecent")
INDEX_BUILT = Gauge(
    "rag_index_built_timestamp_seconds",
    "When the oldest and the newest of the served index versions were built.",
    ["bound"],
    multiprocess_mode="livemostrecent",
)
INDEX_DIGEST = Gauge(
    "rag_index_digest",
    "A number made of all served index versions: fronts that serve the same show the same.",
    multiprocess_mode="livemostrecent",
)


def begin(*, version: str, model_version: str, prompt_version: str, places: int, good_ends: Mapping[str, str]) -> None:
    """Set the initial values that a front process exposes; call once per process.

    `good_ends` holds each route that is counted, with the finish reason of its good requests.
    """
    forget_the_dead()
    BUILD_INFO.labels(version, model_version, prompt_version).set(1)
    PLACES.set(places)
    RUNNING.set(0)
    QUEUED.set(0)
    LIMITED_LOCALLY.inc(0)
    for route, reason in good_ends.items():
        QUERIES.labels(route, "query_ok", reason, "").inc(0)
        QUERIES.labels(route, "query_cancelled", "client_disconnected", "").inc(0)
        QUERIES.labels(route, "query_failed", "timeout", ErrorCode.MODEL_TIMEOUT).inc(0)
        QUERIES.labels(route, "query_failed", "timeout", ErrorCode.STREAM_TIMEOUT).inc(0)
        QUERIES.labels(route, "query_failed", "error", ErrorCode.INTERNAL_ERROR).inc(0)
        DURATION.labels(route)
    for service in sorted(set(SERVICE_OF_STAGE.values())):
        for code in UPSTREAM_CODES:
            UPSTREAM_ERRORS.labels(service, code).inc(0)
    for quota in ("requests", "tokens"):
        for decision in ("granted", "refused"):
            QUOTA_DECISIONS.labels(quota, decision).inc(0)
    for kind in ("prompt", "completion"):
        TOKENS.labels(kind, OTHER_TENANT).inc(0)
    for outcome in get_args(FollowUp):
        FOLLOW_UPS.labels(outcome).inc(0)
    for verdict in ("kept", "re-cited", "attributed", "repaired", "dropped", "skipped"):
        SENTENCES.labels(verdict, "").inc(0)
        SUPPORT.labels(verdict)
    for task in BACKGROUND_TASKS:
        BACKGROUND_FAILURES.labels(task).inc(0)
    for dependency in DEPENDENCIES:
        DEPENDENCY_READY.labels(dependency).set(0)


def begin_jobs() -> None:
    """Set the initial values that an Ingestor exposes."""
    JOBS_WAITING.set(0)
    for kind in ("add", "remove"):
        for outcome in ("succeeded", "failed"):
            JOBS.labels(kind, outcome).inc(0)


def note_batch(report: BatchReport) -> None:
    """Count one batch of a model service."""
    BATCH_ITEMS.labels(report.function).observe(report.items)
    BATCH_TOKENS.labels(report.function).observe(report.tokens)
    BATCH_WAIT.labels(report.function).observe(report.waited_s)


def note_waiting(function: str, change: int) -> None:
    """Change the number of items that wait for a batch of the function; `change` may be negative."""
    BATCH_WAITING.labels(function).inc(change)


def note_admission(refused_by: Quota | None) -> None:
    """Count the quota decision on one request: one refusal, or a grant of both quotas if `refused_by` is None."""
    for quota in ("requests", "tokens") if refused_by is None else (refused_by,):
        QUOTA_DECISIONS.labels(quota, "granted" if refused_by is None else "refused").inc()


def note_upstream_error(stage: str, code: ErrorCode) -> None:
    """Count a query that failed in a stage, if the code means that the stage's upstream service may be the cause."""
    if code in UPSTREAM_CODES:
        UPSTREAM_ERRORS.labels(SERVICE_OF_STAGE[stage], code).inc()


def note_indexes(versions: Mapping[str, IndexVersion]) -> None:
    """Set the index gauges from the serving version of each tenant; tenant names are not exposed."""
    INDEXES.set(len(versions))
    INDEX_CHUNKS.set(sum(version.chunks for version in versions.values()))
    built = sorted(datetime.fromisoformat(version.built_at).timestamp() for version in versions.values())
    if built:
        INDEX_BUILT.labels("oldest").set(built[0])
        INDEX_BUILT.labels("newest").set(built[-1])
    served = "\n".join(f"{tenant_id} {versions[tenant_id].version}" for tenant_id in sorted(versions))
    INDEX_DIGEST.set(int.from_bytes(hashlib.sha256(served.encode()).digest()[:4]))


def forget_the_dead() -> None:
    """Remove the gauges of killed processes from the sums; those of other processes are removed when they exit."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is None:
        return
    for path in Path(folder).glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        if not _is_alive(pid):
            with suppress(FileNotFoundError):  # another starting worker may remove the same file
                multiprocess.mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
