"""The queue of jobs: takes orders, runs one job at a time with the tenants in turn, and goes on after a restart."""

import asyncio
import fcntl
import json
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from rag.errors import BadRequest, ConcurrencyLimited, NotReady
from rag.index.disk import open_private
from rag.ingestor.jobs import JobStore, StoredJob, digest_order
from rag.ingestor.spool import Spool
from rag.observability import metrics
from rag.observability.logs import now, write
from schemas.documents import Job, JobFile, JobOrder, JobProgress

# Begun this often, and never ended: what it does kills the service.
ATTEMPTS_MAX: Final = 2
# Of one tenant, that wait or run.
OPEN_JOBS_MAX: Final = 100
KEPT_JOBS: Final = 1000
KEPT_DAYS: Final = 7
_LOCK_POLL_S: Final = 0.5
_REOPEN_AFTER_S: Final = 10.0
_KILLED: Final = "The service was stopped twice while it worked on this."
_UNEXPECTED: Final = "Something went wrong inside the service."

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: all is done if `reason` is None; `result` is what the command printed, if it did."""

    result: dict[str, Any] | None = None
    reason: str | None = None
    was_killed: bool = False  # from outside, or for want of memory: another attempt may succeed


class JobRunner(Protocol):
    """Does what an order says."""

    async def __call__(
        self, order: JobOrder, files: Sequence[Path], on_progress: Callable[[JobProgress], None]
    ) -> Outcome:
        """Return how it ended; if cancelled, nothing of it goes on."""
        ...


class JobDesk:
    """All jobs of this service; one process at a time works below its folder."""

    def __init__(self, folder: Path, run: JobRunner, *, spool: Spool | None = None) -> None:
        self._folder = folder
        self._run = run
        self.spool: Final = spool or Spool(folder / "incoming")
        self._store = JobStore(folder / "jobs")
        self._jobs: dict[str, StoredJob] = {}
        self._turns: dict[str, int] = {}  # by tenant, when its last job began, as a count
        self._news = asyncio.Event()
        self._lock: BinaryIO | None = None
        self._is_told = False

    @property
    def is_open(self) -> bool:
        """Whether orders are taken."""
        return self._lock is not None

    async def work(self) -> None:
        """Take over what an earlier process has left, then run jobs until cancelled.

        Raises: OSError: a job cannot be written; called again, it goes on.
        """
        while not self.is_open:
            await self._try_to_open()
        for stored in [each for each in self._jobs.values() if each.job.status == "running"]:
            self._resume(stored)  # begun by an earlier process, or by this one before its disk failed
        while True:
            waiting = self._choose()
            metrics.JOBS_WAITING.set(sum(each.job.status == "queued" for each in self._jobs.values()))
            if waiting is None:
                self._news.clear()
                await self._news.wait()
            else:
                await self._work_on(waiting)
                self._prune()

    def close(self) -> None:
        """Let the next process work here; nothing is to run any more."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def submit(self, order: JobOrder) -> Job:
        """Accept an order: once this returns, its job is on disk.

        Raises: NotReady: another process still works here; BadRequest: a file has not arrived; ConcurrencyLimited: too
            many jobs of the tenant wait.
        """
        if not self.is_open:
            raise NotReady("The service that takes documents is starting.")
        spooled = [self.spool.find(each.token) for each in order.files]
        files = [
            JobFile(name=sent.name, size_bytes=found.size_bytes, sha256=found.sha256)
            for sent, found in zip(order.files, spooled, strict=True)
            if found is not None
        ]
        if len(files) != len(order.files):
            raise BadRequest("A file has not arrived.")
        digest = digest_order(order, files)
        same = next((each for each in self._jobs.values() if each.is_open and each.digest == digest), None)
        if same is not None:
            for sent in order.files:
                self.spool.discard(sent.token)
            return same.job
        if (
            sum(each.is_open and each.order.tenant_id == order.tenant_id for each in self._jobs.values())
            >= OPEN_JOBS_MAX
        ):
            raise ConcurrencyLimited("Too many changes of this tenant's documents wait.", retry_after_s=60)
        return self._keep(_make_job(order, files, digest))

    def find(self, job_id: str) -> Job | None:
        stored = self._jobs.get(job_id)
        return stored.job if stored else None

    def _keep(self, stored: StoredJob) -> Job:
        job, order = stored.job, stored.order
        try:
            paths = self._store.begin(job.id, [each.name for each in order.files])
            for sent, path in zip(order.files, paths, strict=True):
                self.spool.hand_over(sent.token, path)
            self._store.save(stored)
        except BaseException:
            self._store.remove(job.id)
            raise
        self._jobs[job.id] = stored
        self._news.set()
        return job

    async def _try_to_open(self) -> None:
        """Open the folder; one that cannot be written (a volume that is read only) is told once, and tried again."""
        try:
            await self.open()
        except OSError as error:
            if not self._is_told:
                fields = {"path": str(self._folder), "reason": error.strerror}
                logger.error("documents_not_taken", extra={"fields": fields})  # the reason is all of it
            self._is_told = True
            await asyncio.sleep(_REOPEN_AFTER_S)

    async def open(self) -> None:
        """Take over the folder, and read the jobs that an earlier process has left; wait until that one has ended.

        Raises: OSError: the folder cannot be written.
        """
        self._folder.mkdir(0o700, parents=True, exist_ok=True)
        lock = open_private(self._folder / "LOCK", "ab")
        try:
            await _lock(lock)
            self.spool.open()
            for stored in self._store.open():
                self._jobs[stored.job.id] = stored
        except BaseException:
            lock.close()
            raise
        self._lock = lock
        self._prune()

    def _resume(self, stored: StoredJob) -> None:
        if stored.attempts >= ATTEMPTS_MAX:
            self._end(stored, Outcome(reason=_KILLED))
        else:
            self._change(stored.changed(status="queued", progress=None))

    def _choose(self) -> StoredJob | None:
        """Return the next job: the oldest one of the tenant whose last turn is the longest ago."""
        waiting = [each for each in self._jobs.values() if each.job.status == "queued"]
        return min(waiting, key=lambda each: self._turns.get(each.order.tenant_id, 0), default=None)

    async def _work_on(self, waiting: StoredJob) -> None:
        order = waiting.order
        self._turns[order.tenant_id] = max(self._turns.values(), default=0) + 1
        stored = self._change(
            waiting.changed(status="running", started_at=waiting.job.started_at or now(), attempts=waiting.attempts + 1)
        )

        def note(progress: JobProgress) -> None:  # not on disk: it is of this attempt alone
            self._jobs[stored.job.id] = self._jobs[stored.job.id].changed(progress=progress)

        files = self._store.files(stored.job.id, [each.name for each in order.files])
        try:
            outcome = await self._run(order, files, note)
        except asyncio.CancelledError:  # a planned stop
            self._change(stored.changed(status="queued", attempts=waiting.attempts))
            raise
        except Exception:
            logger.exception("job_failed_inside", extra={"fields": {"job_id": stored.job.id}})
            outcome = Outcome(reason=_UNEXPECTED)
        if outcome.was_killed and stored.attempts < ATTEMPTS_MAX:
            self._change(stored.changed(status="queued"))
        else:
            self._end(stored, outcome)

    def _end(self, stored: StoredJob, outcome: Outcome) -> None:
        status = "succeeded" if outcome.reason is None else "failed"
        ended = self._change(
            stored.changed(status=status, result=outcome.result, reason=outcome.reason, progress=None, ended_at=now())
        )
        self._store.drop_files(stored.job.id)
        metrics.JOBS.labels(stored.job.kind, status).inc()
        _audit(ended)

    def _change(self, stored: StoredJob) -> StoredJob:
        self._jobs[stored.job.id] = stored
        self._store.save(stored)
        return stored

    def _prune(self) -> None:
        """Forget old jobs that have ended, and too many of them."""
        oldest = (datetime.now(UTC) - timedelta(days=KEPT_DAYS)).isoformat()
        ended = [each for each in self._jobs.values() if not each.is_open]
        excess = max(0, len(ended) - KEPT_JOBS)
        for at, stored in enumerate(ended):
            if at < excess or (stored.job.ended_at or "") < oldest:
                del self._jobs[stored.job.id]
                self._store.remove(stored.job.id)


async def _lock(lock: BinaryIO) -> None:
    """Wait until the process before this one has ended; nothing tells when that is."""
    is_mine = _try_lock(lock)
    while not is_mine:
        await asyncio.sleep(_LOCK_POLL_S)
        is_mine = _try_lock(lock)


def _try_lock(lock: BinaryIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_job(order: JobOrder, files: list[JobFile], digest: str) -> StoredJob:
    job = Job(
        id=f"job_{secrets.token_hex(16)}",
        status="queued",
        kind=order.kind,
        tenant_id=order.tenant_id,
        document_id=order.document_id,
        files=files,
        created_at=now(),
        started_at=None,
        ended_at=None,
        progress=None,
        result=None,
        reason=None,
        trace_id=order.trace_id,
    )
    return StoredJob(job=job, order=order, digest=digest)


def _audit(stored: StoredJob) -> None:
    """Write one line for each change, at any log level: who changed what, and when; never the content or a title."""
    job, result = stored.job, stored.job.result or {}
    line = {
        "event": "documents_changed" if job.status == "succeeded" else "documents_change_failed",
        "timestamp": now(),
        "trace_id": job.trace_id,
        "job_id": job.id,
        "tenant_id": job.tenant_id,
        "principal_id": stored.order.principal_id,
        "action": job.kind,
        "document_ids": _changed_documents(result, job.document_id),
        "sha256": [each.sha256 for each in job.files],
        "index_version": result.get("version"),
        "ordered_at": job.created_at,
        "attempts": stored.attempts,
    }
    write(json.dumps(line, ensure_ascii=False))


def _changed_documents(result: dict[str, Any], document_id: str | None) -> list[str]:
    added = [str(each["document_id"]) for each in result.get("added", [])]
    return added or ([document_id] if document_id else [])
