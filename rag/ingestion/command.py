"""Run a command of the ingestion: its output, its exit status."""

import argparse
import errno
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Final

from tqdm import tqdm

from rag.errors import RagError, UpstreamFailure
from rag.index.engine import IndexEngine, RollbackError
from rag.index.manifest import BrokenIndexError
from rag.index.opening import open_url
from rag.ingestion.ingest import Ingestion
from rag.ingestion.ports import Watcher
from rag.ingestion.reports import (
    AddReport,
    CheckReport,
    ListReport,
    MigrateReport,
    RemoveReport,
    RollbackReport,
    SyncReport,
)
from rag.ingestion.sources import Findings, Source, find_sources
from rag.ingestion.sync import SyncError
from rag.text.document_ids import make_id

Report = AddReport | SyncReport | RemoveReport | ListReport | CheckReport | RollbackReport | MigrateReport

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as in shells

_BAR_INTERVAL_S: Final = 0.5


class Terminal:
    """Lines and progress bars on stderr; stdout is kept for the result."""

    def tell(self, line: str) -> None:
        """Write a line above the bars."""
        tqdm.write(line, file=sys.stderr)

    @contextmanager
    def measure(self, what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        """Show a progress bar.

        Yields: a function to call with the number of items newly done.
        """
        with tqdm(
            total=total, desc=what, unit=unit, file=sys.stderr, mininterval=_BAR_INTERVAL_S, disable=total == 0
        ) as bar:

            def advance(count: int) -> None:
                bar.update(count)

            yield advance


def run(
    arguments: argparse.Namespace, engine: IndexEngine, make_ingestion: Callable[[IndexEngine, Watcher], Ingestion]
) -> int:
    """Execute the command, print one JSON object to stdout unless it failed altogether, and return the exit status."""
    terminal = Terminal()
    try:
        report = _execute(arguments, make_ingestion(engine, terminal), terminal)
    except KeyboardInterrupt:
        terminal.tell("interrupted: the index is as it was")
        return EXIT_INTERRUPTED
    except (BrokenIndexError, RollbackError, SyncError, RagError, OSError) as error:
        terminal.tell(f"error: {_explain(error)}")
        return EXIT_FAILED
    if report is None:
        terminal.tell(f"error: there is no document {arguments.document_id}")
        return EXIT_FAILED
    # A file name may hold bytes that are not UTF-8; their escapes are valid JSON.
    text = json.dumps(asdict(report), ensure_ascii=False) + "\n"
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.flush()
    return EXIT_FAILED if _is_incomplete(report) else EXIT_OK


def _is_incomplete(report: Report) -> bool:
    match report:
        case AddReport() | SyncReport():
            return bool(report.failed or report.skipped)
        case CheckReport():
            return bool(report.problems)
        case _:
            return False


def _explain(error: Exception) -> str:
    match error:
        case BrokenIndexError():
            return f"the index is damaged: {error}; `rollback` and `add` start from the last version that is whole"
        case UpstreamFailure(upstream_error=str(told)):  # of the server that embeds
            return f"{error} ({told}): the index is as it was"
        case RagError():
            return f"{error}: the index is as it was"
        case OSError():
            return f"{_name_system_error(error)}: the index is as it was"
        case _:
            return str(error)


def _name_system_error(error: OSError) -> str:
    """Return the system's words; numpy has none for a disk that took only a part of an array."""
    is_short_write = error.errno is None and "requested and" in str(error)
    return os.strerror(errno.ENOSPC) if is_short_write else error.strerror or str(error)


def _execute(arguments: argparse.Namespace, ingestion: Ingestion, terminal: Terminal) -> Report | None:
    match arguments.command:
        case "add":
            return _add(arguments, ingestion, terminal)
        case "sync":
            return _sync(arguments, ingestion, terminal)
        case "migrate":
            return ingestion.migrate(open_url(arguments.to), arguments.tenant or (), reembeds=arguments.reembed)
        case "remove":
            return ingestion.remove(arguments.tenant, arguments.document_id)
    of_tenant: dict[str, Callable[[str], Report]] = {
        "list": ingestion.list_documents,
        "rollback": ingestion.rollback,
        "check": ingestion.check,
    }
    return of_tenant[arguments.command](arguments.tenant)


def _add(arguments: argparse.Namespace, ingestion: Ingestion, terminal: Terminal) -> AddReport:
    findings = _find(arguments)
    _tell(findings, terminal)
    return ingestion.add(arguments.tenant, findings.sources, findings.failed, findings.skipped)


def _find(arguments: argparse.Namespace) -> Findings:
    if arguments.document_id is not None:
        findings = Findings([Source(arguments.paths[0], arguments.document_id)])
    elif arguments.without_origin:
        findings = Findings([Source(path, make_id(path.stem)) for path in arguments.paths])
    else:
        findings = find_sources(arguments.paths)
    return _label(findings, arguments, title=arguments.title)


def _sync(arguments: argparse.Namespace, ingestion: Ingestion, terminal: Terminal) -> SyncReport:
    if not arguments.folder.is_dir():
        raise SyncError(f"{arguments.folder} is no folder")

    def find() -> Findings:
        findings = _label(find_sources([arguments.folder]), arguments)
        _tell(findings, terminal)
        return findings

    change = ingestion.preview if arguments.dry_run else ingestion.sync
    return change(arguments.tenant, arguments.folder, find, allow_empty=arguments.allow_empty)


def _label(findings: Findings, arguments: argparse.Namespace, title: str | None = None) -> Findings:
    told = {"title": title, "groups": arguments.groups, "metadata": arguments.metadata}
    return replace(findings, sources=[replace(source, **told) for source in findings.sources])


def _tell(findings: Findings, terminal: Terminal) -> None:
    for skipped in findings.skipped:
        terminal.tell(f"skipped: {skipped.path}: {skipped.reason}")
    for failure in findings.failed:
        terminal.tell(f"failed: {failure.path}: {failure.reason}")
