"""Define the command line of the ingestion: its arguments, its output, its exit status."""

import argparse
import errno
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from tqdm import tqdm

from rag.errors import RagError, UpstreamFailure
from rag.index.manifest import BrokenIndexError
from rag.index.store import IndexStore, RollbackError, folder_name
from rag.ingestion.ingest import (
    AddReport,
    CheckReport,
    Ingestion,
    ListReport,
    RemoveReport,
    RollbackReport,
    Watcher,
)
from rag.ingestion.sources import DOCUMENT_ID, Findings, Source, find_sources
from rag.text.document_labels import LabelError, read_document_groups, read_metadata

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


def parse_arguments(argv: Sequence[str], *, prog: str = "python -m rag.ingestion") -> argparse.Namespace:
    """Parse the arguments.

    Raises: SystemExit: they are invalid; with status 2, after one line that says why.
    """
    parser = argparse.ArgumentParser(prog=prog, description="Changes what a tenant is answered from.")
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("add", help="put files, or all files below folders, into the index")
    remove = commands.add_parser("remove", help="take one document out of the index")
    list_ = commands.add_parser("list", help="print the documents of the index")
    check = commands.add_parser("check", help="compare the index with its checksums and the embedder")
    rollback = commands.add_parser("rollback", help="undo the last change of the index; a second one undoes the first")
    for each in (add, remove, list_, check, rollback):
        each.add_argument("--tenant", required=True, type=_tenant, metavar="T")
    add.add_argument("--document-id", type=_document_id, metavar="ID", help="of the one file that is given")
    add.add_argument("--title", type=_title, help="of the one file that is given")
    _add_label_options(add)
    add.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    remove.add_argument("--document-id", required=True, type=_document_id, metavar="ID")
    arguments = parser.parse_args(argv)
    names_one = arguments.command == "add" and not (arguments.document_id is None and arguments.title is None)
    if names_one and (len(arguments.paths) != 1 or arguments.paths[0].is_dir()):
        add.error("--document-id and --title name one document: give exactly one file")
    if arguments.command == "add":
        try:
            _read_labels(arguments)
        except LabelError as error:
            add.error(str(error))
    return arguments


def _add_label_options(add: argparse.ArgumentParser) -> None:
    groups, metadata = add.add_mutually_exclusive_group(), add.add_mutually_exclusive_group()
    groups.add_argument(
        "--group",
        action="append",
        dest="groups",
        metavar="G",
        help="only callers of this group see the documents; repeatable; instead of the groups that they had",
    )
    groups.add_argument(
        "--no-groups", action="store_const", const=[], dest="groups", help="all callers of the tenant see the documents"
    )
    metadata.add_argument(
        "--metadata",
        action="append",
        type=_pair,
        metavar="KEY=VALUE",
        help="what requests select the documents by; repeatable, a key too; instead of the metadata that they had",
    )
    metadata.add_argument("--no-metadata", action="store_const", const=[], dest="metadata", help="they have none")


def _read_labels(arguments: argparse.Namespace) -> None:
    """Put the groups and the metadata in the form of `Source`; None if they are not given.

    Raises: LabelError: they are not valid.
    """
    if arguments.groups is not None:
        arguments.groups = read_document_groups(arguments.groups)
    if arguments.metadata is not None:
        arguments.metadata = read_metadata(arguments.metadata)


def _pair(text: str) -> tuple[str, str]:
    key, found, value = text.partition("=")
    if not found:
        raise argparse.ArgumentTypeError("metadata is given as KEY=VALUE")
    return key, value


def run(
    arguments: argparse.Namespace, index_dir: Path, make_ingestion: Callable[[IndexStore, Watcher], Ingestion]
) -> int:
    """Execute the command, print one JSON object to stdout unless it failed altogether, and return the exit status."""
    terminal = Terminal()
    store = IndexStore(index_dir)
    try:
        report = _execute(arguments, make_ingestion(store, terminal), terminal)
    except KeyboardInterrupt:
        terminal.tell("interrupted: the index is as it was")
        return EXIT_INTERRUPTED
    except (BrokenIndexError, RollbackError, RagError, OSError) as error:
        terminal.tell(f"error: {_explain(error)}")
        return EXIT_FAILED
    if report is None:
        terminal.tell(f"error: there is no document {arguments.document_id}")
        return EXIT_FAILED
    # A file name may hold bytes that are not UTF-8; their escapes are valid JSON.
    text = json.dumps(asdict(report), ensure_ascii=False) + "\n"
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.flush()
    failed = (isinstance(report, AddReport) and report.failed) or (isinstance(report, CheckReport) and report.problems)
    return EXIT_FAILED if failed else EXIT_OK


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


def _execute(
    arguments: argparse.Namespace, ingestion: Ingestion, terminal: Terminal
) -> AddReport | RemoveReport | ListReport | CheckReport | RollbackReport | None:
    match arguments.command:
        case "add":
            findings = _find(arguments)
            for path in findings.skipped:
                terminal.tell(f"skipped: {path}: not a kind of file that can be read")
            for failure in findings.failed:
                terminal.tell(f"failed: {failure.path}: {failure.reason}")
            return ingestion.add(arguments.tenant, findings.sources, findings.failed)
        case "remove":
            return ingestion.remove(arguments.tenant, arguments.document_id)
        case "list":
            return ingestion.list_documents(arguments.tenant)
        case "rollback":
            return ingestion.rollback(arguments.tenant)
        case _:
            return ingestion.check(arguments.tenant)


def _find(arguments: argparse.Namespace) -> Findings:
    if arguments.document_id is not None:
        findings = Findings([Source(arguments.paths[0], arguments.document_id)])
    else:
        findings = find_sources(arguments.paths)
    told = {"title": arguments.title, "groups": arguments.groups, "metadata": arguments.metadata}
    sources = [replace(source, **told) for source in findings.sources]
    return Findings(sources, findings.failed, findings.skipped)


def _tenant(text: str) -> str:
    try:
        folder_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _document_id(text: str) -> str:
    if not DOCUMENT_ID.fullmatch(text):
        raise argparse.ArgumentTypeError("a document id has 1 to 128 characters of A-Za-z0-9._-")
    return text


def _title(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("a title is not empty")
    return text.strip()
