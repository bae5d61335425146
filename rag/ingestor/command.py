"""Run an order as the ingestion command, in a process of its own: it frees its memory, and can be killed at any moment.

The command's JSON on stdout is the result, its bars on stderr are the progress, its last `error:` line is the reason.
Paths of this machine are replaced by the names that the files came with, wherever they stand.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rag.index.engine import IndexEngine
from rag.index.manifest import BrokenIndexError
from rag.ingestor.desk import Outcome
from rag.text.document_ids import make_id
from schemas.documents import JobOrder, JobProgress

ROOT: Final = Path(__file__).resolve().parents[2]
# As tqdm writes it: "embedding:  50%|#####     | 3/6 [00:01<00:01, ...]".
_BAR: Final = re.compile(rb"(\w+): +\d+%\|[^|]*\| (\d+)/(\d+) \[")
_LINE_MAX_BYTES: Final = 10_000
_RESULT_MAX_BYTES: Final = 32 << 20
REASON_MAX_CHARS: Final = 1000
_SHOWN_FAILURES: Final = 5
# Of the server's own environment: the command must neither write its metrics nor watch its supervisor.
_NOT_ITS: Final = ("PROMETHEUS_MULTIPROC_DIR", "BENTO_SUPERVISOR")
_HIDDEN: Final = "a document of this id exists that this caller may not see"
_BROKEN: Final = "the index of this tenant is damaged; the operator has to look at it"


class IngestionCommand:
    """A `JobRunner`: checks by the serving version that the caller sees what it changes, then runs the command."""

    def __init__(
        self,
        engine: IndexEngine,
        index_dir: Path,
        environment: Mapping[str, str],
        *,
        timeout_s: float,
        child: Sequence[str] = (),
    ) -> None:
        """`index_dir` is that of the settings; `child` is the command to run before its arguments, ours by default."""
        self._engine = engine
        self._timeout_s = timeout_s
        self._child = list(child) or [sys.executable, "-m", "rag.ingestor.child"]
        path = os.pathsep.join(each for each in (str(ROOT), environment.get("PYTHONPATH")) if each)
        kept = {name: value for name, value in environment.items() if name not in _NOT_ITS}
        self._environment = {**kept, "PYTHONPATH": path, "RAG_INDEX_DIR": str(index_dir.resolve())}

    async def __call__(
        self, order: JobOrder, files: Sequence[Path], on_progress: Callable[[JobProgress], None]
    ) -> Outcome:
        refusal = await asyncio.to_thread(self._refuse, order)
        if refusal is not None:
            return Outcome(reason=refusal)
        names = {str(path): sent.name for path, sent in zip(files, order.files, strict=True)}
        return await self._run(make_arguments(order, files), names, on_progress)

    def _refuse(self, order: JobOrder) -> str | None:
        """Return why the caller may not do this; None if it may."""
        try:
            stored = self._engine.current(order.tenant_id)
        except BrokenIndexError:
            # `add` begins from an older version, and would undo what is in this one: nothing for a caller to decide.
            return _BROKEN
        named = {make_id(Path(sent.name).stem) for sent in order.files}
        changed = named if order.document_id is None else {order.document_id}
        entries = stored.manifest.document_list if stored else ()
        groups = set(order.caller_groups)
        hidden = any(each.groups and not groups & set(each.groups) for each in entries if each.document_id in changed)
        return _HIDDEN if hidden else None

    async def _run(
        self, arguments: Sequence[str], names: Mapping[str, str], on_progress: Callable[[JobProgress], None]
    ) -> Outcome:
        process = await asyncio.create_subprocess_exec(
            *self._child,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
            start_new_session=True,  # a group of its own, to be killed with all that it starts
        )
        assert process.stdout is not None
        assert process.stderr is not None
        reading = asyncio.gather(_read_all(process.stdout), _watch(process.stderr, on_progress))
        try:
            async with asyncio.timeout(self._timeout_s):
                printed, told = await reading
                status = await process.wait()
        except TimeoutError:
            return Outcome(reason=f"it was not done within {self._timeout_s:g} seconds")
        finally:
            reading.cancel()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.gather(reading, return_exceptions=True)
            await process.wait()
        return _conclude(status, printed, told, names)


def make_arguments(order: JobOrder, files: Sequence[Path]) -> list[str]:
    """Return the arguments of the command; values stand behind `=`, so that none of them is taken for an option."""
    arguments = [order.kind, f"--tenant={order.tenant_id}"]
    if order.kind == "add":
        arguments.append("--without-origin")  # the spool is no place to remember
    if order.document_id is not None:
        arguments.append(f"--document-id={order.document_id}")
    if order.title is not None:
        arguments.append(f"--title={order.title}")
    if order.groups is not None:
        arguments += [f"--group={group}" for group in order.groups] or ["--no-groups"]
    if order.metadata is not None:
        pairs = [f"--metadata={key}={value}" for key, values in order.metadata.items() for value in values]
        arguments += pairs or ["--no-metadata"]
    return [*arguments, *(str(path.resolve()) for path in files)]


async def _read_all(stream: asyncio.StreamReader) -> bytes:
    found = bytearray()
    while piece := await stream.read(1 << 16):
        if len(found) <= _RESULT_MAX_BYTES:
            found += piece
    return bytes(found)


async def _watch(stream: asyncio.StreamReader, on_progress: Callable[[JobProgress], None]) -> str:
    """Report the progress, and return the text of the last `error:` line, or of the last line."""
    last, error, rest = b"", b"", b""
    while piece := await stream.read(1 << 16):
        *lines, rest = re.split(rb"[\r\n]+", rest + piece)
        rest = rest[-_LINE_MAX_BYTES:]
        for line in lines:
            bar = _BAR.search(line)
            if bar:
                on_progress(JobProgress(step=bar[1].decode(), done=int(bar[2]), total=int(bar[3])))
            elif line.strip():
                last = line[:_LINE_MAX_BYTES]
                error = last if line.startswith(b"error: ") else error
    return (error.removeprefix(b"error: ") or last).decode("utf-8", "replace")


def _conclude(status: int, printed: bytes, told: str, names: Mapping[str, str]) -> Outcome:
    if status < 0:
        return Outcome(reason=f"the process that read it was ended by signal {-status}", was_killed=True)
    try:
        result = _rename(json.loads(printed), names)
    except ValueError:
        return Outcome(reason=_shorten(_rename(told, names)) or "the files could not be read")
    if not isinstance(result, dict):
        return Outcome(reason="the files could not be read")
    return Outcome(result, None if status == 0 else _explain(result))


def _explain(result: Mapping[str, Any]) -> str:
    failed = [f"{each.get('path')}: {each.get('reason')}" for each in result.get("failed", [])]
    more = f"; and {len(failed) - _SHOWN_FAILURES} more" if len(failed) > _SHOWN_FAILURES else ""
    return _shorten("; ".join(failed[:_SHOWN_FAILURES]) + more) or "not all of it could be done"


def _shorten(text: str) -> str:
    return text if len(text) <= REASON_MAX_CHARS else text[: REASON_MAX_CHARS - 1] + "…"


def _rename(value: Any, names: Mapping[str, str]) -> Any:  # Any: JSON
    """Return the value with the files' own names in the place of their paths here."""
    match value:
        case str():
            for path, name in names.items():
                value = value.replace(str(Path(path).resolve()), name).replace(path, name)
            return value
        case list():
            return [_rename(each, names) for each in value]
        case dict():
            return {key: _rename(each, names) for key, each in value.items()}
        case _:
            return value
