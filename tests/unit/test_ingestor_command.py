"""The ingestion command as a job: what it is told, what is read of it, and that nothing of it goes on alone."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from rag.engines.fake import FakeEncoder
from rag.index.files import FileEngine
from rag.index.store import IndexStore
from rag.ingestion.arguments import parse_arguments
from rag.ingestion.ingest import Ingestion
from rag.ingestion.sources import Source
from rag.ingestor.command import IngestionCommand, make_arguments
from rag.ingestor.desk import Outcome
from schemas.documents import JobOrder, JobProgress
from tests.documents_fakes import until
from tests.unit.index_fakes import FakeWatcher


def make_order(**fields: Any) -> JobOrder:
    named: dict[str, Any] = {
        "kind": "add",
        "tenant_id": "demo",
        "principal_id": "key:writer",
        "caller_groups": [],
        "trace_id": "t-1",
        **fields,
    }
    return JobOrder.model_validate(named)


def sent(*names: str) -> list[dict[str, str]]:
    return [{"token": f"{number:032x}", "name": name} for number, name in enumerate(names)]


async def run(
    tmp_path: Path, script: str, order: JobOrder | None = None, *, timeout_s: float = 30, **environment: str
) -> tuple[Outcome, list[JobProgress]]:
    """What becomes of an order whose command is this script; `FILE` in it is the path of its file."""
    order = order or make_order(files=sent("leave policy.txt"))
    paths = [tmp_path / "spool" / str(number) / each.name for number, each in enumerate(order.files)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")
    command = IngestionCommand(
        FileEngine(IndexStore(tmp_path / "index")),
        tmp_path / "index",
        {**os.environ, **environment},
        timeout_s=timeout_s,
        child=[sys.executable, "-c", f"import json, os, sys, time\nFILE = sys.argv[-1]\n{script}"],
    )
    seen: list[JobProgress] = []
    return await command(order, paths, seen.append), seen


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"document_id": None, "title": None, "groups": None, "metadata": None}),
        ({"document_id": "-x", "title": "--tenant=other"}, {"document_id": "-x", "title": "--tenant=other"}),
        ({"groups": ["-g", "a,b"]}, {"groups": ("-g", "a,b")}),
        ({"groups": []}, {"groups": ()}),
        ({"metadata": {"k": ["=", "--no-groups"]}}, {"metadata": {"k": ("--no-groups", "=")}, "groups": None}),
        ({"metadata": {}}, {"metadata": {}}),
    ],
)
def test_the_command_understands_the_order(tmp_path: Path, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """Whatever stands in a value, it is that value and no option."""
    path = tmp_path / "--help.txt"
    arguments = parse_arguments(make_arguments(make_order(files=sent("--help.txt"), **fields), [path]))

    assert (arguments.command, arguments.tenant, arguments.paths) == ("add", "demo", [path.resolve()])
    assert arguments.without_origin, "a file of the spool is somewhere else each time"
    assert {name: getattr(arguments, name) for name in expected} == expected


def test_the_command_understands_a_removal() -> None:
    """The other kind of order."""
    arguments = parse_arguments(make_arguments(make_order(kind="remove", document_id="-x"), []))

    assert (arguments.command, arguments.document_id) == ("remove", "-x")


async def test_the_result_names_files_as_they_came(tmp_path: Path) -> None:
    """No path of this machine, wherever it stands in the result."""
    outcome, _ = await run(
        tmp_path,
        'print(json.dumps({"added": [{"path": FILE, "document_id": "a"}], "failed": [{"reason": f"{FILE} is odd"}]}))',
    )

    assert outcome.reason is None
    assert outcome.result == {
        "added": [{"path": "leave policy.txt", "document_id": "a"}],
        "failed": [{"reason": "leave policy.txt is odd"}],
    }


async def test_a_failed_file_is_the_reason(tmp_path: Path) -> None:
    """With the result, as other files may have been added."""
    failed = '{"path": FILE, "reason": "the file is empty"}'
    outcome, _ = await run(tmp_path, f'print(json.dumps({{"added": [], "failed": [{failed}] * 7}})); sys.exit(1)')

    assert outcome.reason is not None
    assert outcome.reason.startswith("leave policy.txt: the file is empty; ")
    assert outcome.reason.endswith("; and 2 more")
    assert outcome.result is not None


async def test_a_command_that_prints_nothing_is_explained_by_its_error(tmp_path: Path) -> None:
    """The line that it tells a person, without the path."""
    outcome, _ = await run(
        tmp_path,
        'print(f"error: {FILE}: No space left on device", file=sys.stderr); print("x", file=sys.stderr); sys.exit(1)',
    )

    assert outcome == Outcome(reason="leave policy.txt: No space left on device")


async def test_the_bars_are_the_progress(tmp_path: Path) -> None:
    """As tqdm writes them to what is no terminal."""
    outcome, seen = await run(
        tmp_path,
        "from tqdm import tqdm\n"
        "for _ in tqdm(range(3), desc='reading', unit='file', mininterval=0): pass\n"
        "for _ in tqdm(range(2), desc='embedding', unit='chunk', mininterval=0): pass\n"
        "print('{}')",
    )

    assert outcome == Outcome({})
    assert JobProgress(step="reading", done=3, total=3) in seen
    assert seen[-1] == JobProgress(step="embedding", done=2, total=2)


async def test_a_command_that_is_killed_may_be_tried_again(tmp_path: Path) -> None:
    """The kernel kills what takes too much memory."""
    outcome, _ = await run(tmp_path, "os.kill(os.getpid(), 9)")

    assert outcome.was_killed
    assert outcome.reason == "the process that read it was ended by signal 9"


def is_running(pid: int) -> bool:
    """Whether it does anything: what nobody has waited for keeps its number."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def test_a_command_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    """With all that it started."""
    started = tmp_path / "pid"
    script = f"""
import subprocess
left = subprocess.Popen(["sleep", "600"])
open({str(started)!r}, "w").write(str(left.pid))
left.wait()
"""
    outcome, _ = await run(tmp_path, script, timeout_s=2)

    assert outcome.reason == "it was not done within 2 seconds"
    assert not outcome.was_killed
    await until(lambda: not started.exists() or not is_running(int(started.read_text())))


async def test_a_cancelled_job_leaves_no_process(tmp_path: Path) -> None:
    """A planned stop ends the command too."""
    pid_file = tmp_path / "pid"
    running = asyncio.create_task(
        run(tmp_path, f"open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(600)")
    )
    async with asyncio.timeout(30):
        while not pid_file.exists() or not pid_file.read_text():  # noqa: ASYNC110  # another process writes it
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert not psutil.pid_exists(int(pid_file.read_text()))


async def test_the_command_has_the_settings_and_not_the_servers_own(tmp_path: Path) -> None:
    """The same index, wherever it runs; no metrics of a server, and no supervisor to watch."""
    names = ["RAG_INDEX_DIR", "RAG_EMBEDDER_MODEL", "PROMETHEUS_MULTIPROC_DIR", "BENTO_SUPERVISOR"]
    outcome, _ = await run(
        tmp_path,
        f"print(json.dumps({{name: os.environ.get(name) for name in {names}}}))",
        RAG_EMBEDDER_MODEL="fake:",
        PROMETHEUS_MULTIPROC_DIR="/tmp/x",
        BENTO_SUPERVISOR="1 /tmp/x",
    )

    assert outcome.result == {
        "RAG_INDEX_DIR": str((tmp_path / "index").resolve()),
        "RAG_EMBEDDER_MODEL": "fake:",
        "PROMETHEUS_MULTIPROC_DIR": None,
        "BENTO_SUPERVISOR": None,
    }


@pytest.mark.parametrize(
    ("fields", "groups", "may"),
    [
        ({"files": sent("minutes.txt")}, [], False),
        ({"files": sent("minutes.txt")}, ["board"], True),
        ({"files": sent("other.txt"), "document_id": "minutes"}, ["audit"], False),
        ({"files": sent("handbook.txt", "minutes.md")}, [], False),
        ({"files": sent("handbook.txt", "new.txt")}, [], True),
        ({"kind": "remove", "document_id": "minutes"}, [], False),
        ({"kind": "remove", "document_id": "handbook"}, [], True),
    ],
)
async def test_nobody_changes_what_he_does_not_see(
    tmp_path: Path, fields: dict[str, Any], groups: list[str], may: bool
) -> None:
    """By the version that serves when the job runs, whatever the front has seen."""
    ingestion = Ingestion(
        FileEngine(IndexStore(tmp_path / "index")), FakeWatcher(), lambda: FakeEncoder.info, FakeEncoder
    )
    sources = []
    for name, of in (("handbook", ()), ("minutes", ("board",))):
        path = tmp_path / f"{name}.txt"
        path.write_text(f"What {name} says.")
        sources.append(Source(path, name, groups=of))
    ingestion.add("demo", sources)
    order = make_order(caller_groups=groups, **fields)
    outcome, _ = await run(tmp_path, "FILE; print('{}')", order)

    assert outcome == (
        Outcome({}) if may else Outcome(reason="a document of this id exists that this caller may not see")
    )
