"""An Ingestor in this process, whose jobs a test begins, ends and breaks by hand, and forms to send to it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from rag.clients.ingestor_client import IngestorClient
from rag.ingestor.app import make_app as make_ingestor_app
from rag.ingestor.desk import JobDesk, Outcome
from rag.ingestor.spool import Spool
from schemas.documents import JobOrder, JobProgress
from tests.fakes import hang

BOUNDARY: Final = "limit"
MULTIPART: Final = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
TIMEOUT_S: Final = 5.0


class ScriptedRunner:
    """A `JobRunner` that notes what it is to do; each job ends as the script says, the last entry for all others."""

    def __init__(self, *script: Outcome | Exception | None) -> None:
        """None: the job runs until it is cancelled."""
        self.script = list(script) or [Outcome({"added": []})]
        self.runs: list[tuple[JobOrder, list[bytes]]] = []
        self.running = 0
        self.most_running = 0
        self.begun = asyncio.Event()
        self.progress: Callable[[JobProgress], None] | None = None

    async def __call__(
        self, order: JobOrder, files: Sequence[Path], on_progress: Callable[[JobProgress], None]
    ) -> Outcome:
        self.runs.append((order, [path.read_bytes() for path in files]))
        self.progress = on_progress
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.begun.set()
        try:
            await asyncio.sleep(0)
            if step is None:
                await hang()
        finally:
            self.running -= 1
        if isinstance(step, Exception):
            raise step
        assert step is not None
        return step


@asynccontextmanager
async def running_desk(folder: Path, runner: ScriptedRunner, *, spool: Spool | None = None) -> AsyncIterator[JobDesk]:
    """A desk that works during the block; leaving it is a planned stop."""
    desk = JobDesk(folder, runner, spool=spool)
    working = asyncio.create_task(desk.work())
    await until(lambda: desk.is_open or working.done())
    try:
        yield desk
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        desk.close()


@asynccontextmanager
async def open_ingestor(desk: JobDesk) -> AsyncIterator[IngestorClient]:
    """What a front calls."""
    transport = httpx.ASGITransport(make_ingestor_app(desk))
    async with httpx.AsyncClient(transport=transport, base_url="http://ingestor") as client:
        yield IngestorClient(client)


async def until(is_so: Callable[[], object]) -> None:
    """Give way to the others until something is so."""
    async with asyncio.timeout(TIMEOUT_S):
        while not is_so():  # noqa: ASYNC110  # anything may be waited for
            await asyncio.sleep(0)


async def until_ended(desk: JobDesk, job_id: str) -> dict[str, Any]:
    """The job, once it has ended."""

    def has_ended() -> bool:
        job = desk.find(job_id)
        return job is not None and job.status in ("succeeded", "failed")

    await until(has_ended)
    job = desk.find(job_id)
    assert job is not None
    return job.model_dump()


def form(*parts: tuple[str, str | None, bytes], end: bytes = b"--") -> bytes:
    """A body of parts: name, file name if it is a file, content."""
    written = []
    for name, filename, content in parts:
        named = "" if filename is None else f'; filename="{filename}"'
        written.append(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode())
        written.append(content + b"\r\n")
    return b"".join([*written, b"--", BOUNDARY.encode(), end, b"\r\n"])


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
