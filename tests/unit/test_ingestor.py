"""Jobs outlive the process that runs them, and files that do not arrive whole leave nothing behind."""

import asyncio
import errno
import json
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rag.errors import BadRequest, ConcurrencyLimited, NotReady
from rag.ingestor.desk import KEPT_JOBS, OPEN_JOBS_MAX, JobDesk, Outcome
from rag.ingestor.jobs import JobStore, StoredJob
from rag.ingestor.spool import Spool
from schemas.documents import Job, JobOrder, SentFile
from tests.documents_fakes import ScriptedRunner, files_below, open_ingestor, running_desk, until, until_ended

TOKEN = "0" * 32
DONE = Outcome({"added": []})


async def pieces(*texts: bytes) -> AsyncIterator[bytes]:
    for text in texts:
        yield text


def make_order(*files: SentFile, tenant_id: str = "demo", **fields: object) -> JobOrder:
    return JobOrder.model_validate(
        {
            "kind": "add",
            "tenant_id": tenant_id,
            "principal_id": "key:writer",
            "caller_groups": [],
            "trace_id": "t-1",
            "files": [each.model_dump() for each in files],
            **fields,
        }
    )


async def send(desk: JobDesk, name: str = "a.txt", text: bytes = b"text", tenant_id: str = "demo") -> Job:
    token = os.urandom(16).hex()
    await desk.spool.receive(token, pieces(text))
    return desk.submit(make_order(SentFile(token=token, name=name), tenant_id=tenant_id))


def on_disk(folder: Path, job_id: str) -> StoredJob:
    return StoredJob.model_validate_json((folder / "jobs" / job_id / "job.json").read_bytes())


def write_job(folder: Path, stored: StoredJob) -> None:
    (folder / "jobs" / stored.job.id / "job.json").write_text(stored.model_dump_json())


async def test_a_queued_job_goes_on_after_a_kill(tmp_path: Path) -> None:
    """It was on disk before its 202, with its file."""
    desk = JobDesk(tmp_path, ScriptedRunner())
    await desk.open()
    job = await send(desk)
    desk.close()  # all that a kill leaves is on disk
    runner = ScriptedRunner()
    async with running_desk(tmp_path, runner) as after:
        seen = await until_ended(after, job.id)

    assert seen["status"] == "succeeded"
    assert runner.runs[0][1] == [b"text"]


@pytest.mark.parametrize(("attempts", "status", "runs"), [(1, "succeeded", 1), (2, "failed", 0)])
async def test_a_running_job_is_begun_again_once(tmp_path: Path, attempts: int, status: str, runs: int) -> None:
    """What kills the service each time is not tried for ever; its end says why."""
    desk = JobDesk(tmp_path, ScriptedRunner())
    await desk.open()
    job = await send(desk)
    desk.close()
    write_job(tmp_path, on_disk(tmp_path, job.id).changed(status="running", attempts=attempts))
    runner = ScriptedRunner()
    async with running_desk(tmp_path, runner) as after:
        seen = await until_ended(after, job.id)

    assert (seen["status"], len(runner.runs)) == (status, runs)
    assert (seen["reason"] is None) == (status == "succeeded")


async def test_a_planned_stop_counts_as_no_attempt(tmp_path: Path) -> None:
    """A job may be put back as often as the service is updated."""
    async with running_desk(tmp_path, ScriptedRunner(None)) as desk:
        job = await send(desk)
        await until(lambda: desk.find(job.id).status == "running")  # type: ignore[union-attr]  # it is there
    stopped = on_disk(tmp_path, job.id)
    async with running_desk(tmp_path, ScriptedRunner()) as after:
        seen = await until_ended(after, job.id)

    assert (stopped.job.status, stopped.attempts) == ("queued", 0)
    assert seen["status"] == "succeeded"


@pytest.mark.parametrize(
    ("script", "status", "runs"),
    [
        ([Outcome(reason="signal 9", was_killed=True), DONE], "succeeded", 2),
        ([Outcome(reason="signal 9", was_killed=True)], "failed", 2),
        ([ValueError("a bug"), DONE], "failed", 1),
    ],
)
async def test_a_killed_command_is_tried_once_more(
    tmp_path: Path, script: list[Outcome | Exception], status: str, runs: int
) -> None:
    """Memory may have been short; a failure of another kind would only repeat itself."""
    runner = ScriptedRunner(*script)
    async with running_desk(tmp_path, runner) as desk:
        seen = await until_ended(desk, (await send(desk)).id)

    assert (seen["status"], len(runner.runs)) == (status, runs)


async def test_the_files_of_a_job_go_with_its_end(tmp_path: Path) -> None:
    """Only what became of it is kept."""
    async with running_desk(tmp_path, ScriptedRunner()) as desk:
        job = await send(desk)
        await until_ended(desk, job.id)
        await until(lambda: len(files_below(tmp_path)) == 2)

    assert files_below(tmp_path) == ["LOCK", f"jobs/{job.id}/job.json"]


async def test_tenants_take_turns(tmp_path: Path) -> None:
    """Who sends a hundred files does not keep others waiting for all of them."""
    desk = JobDesk(tmp_path, ScriptedRunner())
    await desk.open()
    jobs = [await send(desk, text=f"{n}".encode(), tenant_id="busy") for n in range(3)]
    jobs.append(await send(desk, tenant_id="calm"))
    desk.close()
    runner = ScriptedRunner()
    async with running_desk(tmp_path, runner) as after:
        for job in jobs:
            await until_ended(after, job.id)

    assert [order.tenant_id for order, _ in runner.runs] == ["busy", "calm", "busy", "busy"]
    assert [contents for order, contents in runner.runs if order.tenant_id == "busy"] == [[b"0"], [b"1"], [b"2"]]


async def test_a_tenants_queue_has_an_end(tmp_path: Path) -> None:
    """Refused with the time to try again; other tenants are not."""
    async with running_desk(tmp_path, ScriptedRunner(None)) as desk:
        for number in range(OPEN_JOBS_MAX):
            desk.submit(make_order(kind="remove", document_id=f"d{number}"))
        with pytest.raises(ConcurrencyLimited):
            desk.submit(make_order(kind="remove", document_id="one-more"))

        assert desk.submit(make_order(kind="remove", document_id="d", tenant_id="acme")).status == "queued"


async def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    """Two would run the same jobs; the first one's files are not touched."""
    async with running_desk(tmp_path, ScriptedRunner(None)) as first:
        await send(first)
        second = JobDesk(tmp_path, ScriptedRunner())
        waiting = asyncio.create_task(second.work())
        await asyncio.sleep(0)

        assert not second.is_open
        with pytest.raises(NotReady):
            second.submit(make_order())
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_before_the_jobs_are_read_none_is_unknown(tmp_path: Path) -> None:
    """A client that asks in the middle of a restart is told to ask again, not that its job is gone."""
    desk = JobDesk(tmp_path, ScriptedRunner())
    async with open_ingestor(desk) as ingestor:
        with pytest.raises(NotReady):
            await ingestor.find("job_" + TOKEN, trace_id="t-1")
        await desk.open()

        assert await ingestor.find("job_" + TOKEN, trace_id="t-1") is None
    desk.close()


async def test_what_is_no_job_is_removed_at_the_start(tmp_path: Path) -> None:
    """A process may die between the folder and the record; a broken record stops no other job."""
    (tmp_path / "jobs" / "half" / "files").mkdir(parents=True)
    (tmp_path / "jobs" / "broken").mkdir()
    (tmp_path / "jobs" / "broken" / "job.json").write_text('{"job": 1}')
    (tmp_path / "incoming").mkdir()
    (tmp_path / "incoming" / TOKEN).write_text("of a process that is gone")
    async with running_desk(tmp_path, ScriptedRunner()):
        found = files_below(tmp_path)

    assert found == ["LOCK"]
    assert list((tmp_path / "jobs").iterdir()) == []


async def test_old_jobs_are_forgotten(tmp_path: Path) -> None:
    """The newest thousand of the last week are kept."""
    desk = JobDesk(tmp_path, ScriptedRunner())
    await desk.open()
    job = desk.submit(make_order(kind="remove", document_id="d"))
    desk.close()
    stored = on_disk(tmp_path, job.id)
    old = stored.changed(status="failed", id="job_old", ended_at="2020-01-01T00:00:00.000Z")
    many = [
        stored.changed(status="failed", id=f"job_{n:04}", ended_at="2999-01-01T00:00:00.000Z", created_at=f"{n:04}")
        for n in range(KEPT_JOBS + 1)
    ]
    for each in (old, *many):
        (tmp_path / "jobs" / each.job.id).mkdir()
        write_job(tmp_path, each)
    async with running_desk(tmp_path, ScriptedRunner(None)):
        kept = {path.name for path in (tmp_path / "jobs").iterdir()}

    assert "job_old" not in kept
    assert "job_0000" not in kept
    assert {job.id, f"job_{KEPT_JOBS:04}"} <= kept


async def test_an_order_names_files_that_have_arrived(tmp_path: Path) -> None:
    """And each of them once."""
    async with running_desk(tmp_path, ScriptedRunner()) as desk:
        with pytest.raises(BadRequest):
            desk.submit(make_order(SentFile(token=TOKEN, name="a.txt")))


@pytest.mark.parametrize("name", ["", ".", "..", "../a.txt", "a/b.txt", "/etc/passwd"])
async def test_a_name_is_never_a_path(tmp_path: Path, name: str) -> None:
    """Whatever a front sends."""
    store = JobStore(tmp_path)
    store.open()
    with pytest.raises(ValueError, match="no folder"):
        store.begin("job", [name])


async def test_all_is_this_users_alone(tmp_path: Path) -> None:
    """Files of others wait here, in whatever folder it is."""
    folder = tmp_path / "uploads"
    async with running_desk(folder, ScriptedRunner(None)) as desk:
        await send(desk)
        await desk.spool.receive(TOKEN, pieces(b"x"))
        modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}

    assert modes <= {0o700, 0o600}


async def test_a_broken_stream_leaves_nothing(tmp_path: Path) -> None:
    """The file is removed before anybody is told."""

    async def breaking() -> AsyncIterator[bytes]:
        yield b"x"
        raise ConnectionResetError

    spool = Spool(tmp_path / "incoming")
    spool.open()
    with pytest.raises(ConnectionResetError):
        await spool.receive(TOKEN, breaking())

    assert files_below(tmp_path) == []
    assert spool.find(TOKEN) is None


async def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    """Whether it is seen before or while writing."""

    def fail(_: Path) -> int:
        raise OSError(errno.ENOSPC, "no room")

    for free in (fail, lambda _: 0):
        spool = Spool(tmp_path / "incoming", free=free)
        spool.open()
        with pytest.raises(NotReady, match="no room"):
            await spool.receive(TOKEN, pieces(b"x"))

        assert files_below(tmp_path) == []


async def test_a_large_file_is_written_in_pieces(tmp_path: Path) -> None:
    """Its size and digest are those of the whole."""
    spool = Spool(tmp_path / "incoming")
    spool.open()
    spooled = await spool.receive(TOKEN, pieces(*[b"x" * 300_000] * 10))

    assert spooled.size_bytes == spooled.path.stat().st_size == 3_000_000
    assert spooled.path.read_bytes() == b"x" * 3_000_000


async def test_the_record_on_disk_holds_no_progress(tmp_path: Path) -> None:
    """It changes often and is of one attempt."""
    async with running_desk(tmp_path, ScriptedRunner(None)) as desk:
        job = await send(desk)
        await until(lambda: desk.find(job.id).status == "running")  # type: ignore[union-attr]  # it is there
        record = json.loads((tmp_path / "jobs" / job.id / "job.json").read_text())

    assert (record["job"]["status"], record["attempts"]) == ("running", 1)
    assert record["job"]["progress"] is None
