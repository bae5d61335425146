"""Define the arguments of the ingestion's commands."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from rag.index.opening import SCHEMES
from rag.index.store import folder_name
from rag.ingestion.sources import DOCUMENT_ID
from rag.text.document_labels import LabelError, read_document_groups, read_metadata


def parse_arguments(argv: Sequence[str], *, prog: str = "python -m rag.ingestion") -> argparse.Namespace:
    """Parse the arguments.

    Raises: SystemExit: they are invalid; with status 2, after one line that says why.
    """
    parser = argparse.ArgumentParser(prog=prog, description="Changes what a tenant is answered from.")
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("add", help="put files, or all files below folders, into the index")
    sync = commands.add_parser("sync", help="make the index follow a folder: add, replace, and remove what is gone")
    remove = commands.add_parser("remove", help="take one document out of the index")
    list_ = commands.add_parser("list", help="print the documents of the index")
    check = commands.add_parser("check", help="compare the index with its checksums and the embedder")
    rollback = commands.add_parser("rollback", help="undo the last change of the index; a second one undoes the first")
    migrate = commands.add_parser("migrate", help="copy the index to another engine while servers go on answering")
    for each in (add, sync, remove, list_, check, rollback):
        each.add_argument("--tenant", required=True, type=_tenant, metavar="T")
    add.add_argument("--document-id", type=_document_id, metavar="ID", help="of the one file that is given")
    add.add_argument("--title", type=_title, help="of the one file that is given")
    add.add_argument(
        "--without-origin",
        action="store_true",
        help="do not remember where the files were: ids are by their names alone, and `sync` never removes them",
    )
    _add_label_options(add)
    add.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    _add_label_options(sync)
    sync.add_argument("--dry-run", action="store_true", help="only print what would change")
    sync.add_argument(
        "--allow-empty", action="store_true", help="remove the folder's documents if it holds no file that can be read"
    )
    sync.add_argument("folder", type=Path, metavar="FOLDER")
    migrate.add_argument(
        "--to", required=True, type=_place, metavar="URL", help="a URL as in RAG_INDEX_URL, or a folder"
    )
    migrate.add_argument(
        "--tenant", action="append", type=_tenant, metavar="T", help="repeatable; without, all tenants"
    )
    migrate.add_argument(
        "--reembed", action="store_true", help="make the vectors anew, by the embedder that the settings name"
    )
    remove.add_argument("--document-id", required=True, type=_document_id, metavar="ID")
    arguments = parser.parse_args(argv)
    names_one = arguments.command == "add" and not (arguments.document_id is None and arguments.title is None)
    if names_one and (len(arguments.paths) != 1 or arguments.paths[0].is_dir()):
        add.error("--document-id and --title name one document: give exactly one file")
    if arguments.command in ("add", "sync"):
        try:
            _read_labels(arguments)
        except LabelError as error:
            parser.error(str(error))
    return arguments


def _add_label_options(command: argparse.ArgumentParser) -> None:
    groups, metadata = command.add_mutually_exclusive_group(), command.add_mutually_exclusive_group()
    groups.add_argument(
        "--group",
        action="append",
        dest="groups",
        metavar="G",
        help="only callers of this group see the documents; repeatable; instead of the groups that they had",
    )
    groups.add_argument(
        "--groups", action="extend", type=_split, dest="groups", metavar="G,G", help="the same, several at once"
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


def _split(text: str) -> list[str]:
    return [name for name in text.split(",") if name.strip()] or [""]


def _pair(text: str) -> tuple[str, str]:
    key, found, value = text.partition("=")
    if not found:
        raise argparse.ArgumentTypeError("metadata is given as KEY=VALUE")
    return key, value


def _tenant(text: str) -> str:
    try:
        folder_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _place(text: str) -> str:
    """Return the URL of an engine; the message of an error does not show it, because it may hold a password."""
    if not (scheme := urlsplit(text).scheme):
        return Path(text).absolute().as_uri()
    if scheme not in SCHEMES:
        raise argparse.ArgumentTypeError(f"a URL begins with {' or '.join(f'{each}:' for each in sorted(SCHEMES))}")
    return text


def _document_id(text: str) -> str:
    if not DOCUMENT_ID.fullmatch(text):
        raise argparse.ArgumentTypeError("a document id has 1 to 128 characters of A-Za-z0-9._-")
    return text


def _title(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("a title is not empty")
    return text.strip()
