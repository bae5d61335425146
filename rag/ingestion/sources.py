"""Find the files that an ingestion reads, and give each its document id."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from rag.index.manifest import DocumentEntry, Origin
from rag.ingestion.ids import choose_ids
from rag.parsing import SUFFIXES

DOCUMENT_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
NOTHING_READABLE: Final = "the folder holds no file that can be read"
UNKNOWN_KIND: Final = "not a kind of file that can be read"
# What systems and office programs leave in every folder; nobody misses it in an answer. Names in lower case.
_DEBRIS: Final = re.compile(r"~\$.*|~wrl\d+\.tmp|thumbs\.db|ehthumbs\.db|desktop\.ini|__macosx|icon\r")


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read, and the id of its document; without `title` the document's own title is used.

    If `groups` or `metadata` is None, the document keeps those that it has. Without `origin` the id was given, and the
    document belongs to no folder; with it the id follows from the file's name.
    """

    path: Path
    document_id: str
    title: str | None = None
    groups: tuple[str, ...] | None = None
    metadata: Mapping[str, tuple[str, ...]] | None = None
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A path that cannot be read, with the reason for a person."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is no document for us, with the reason for a person."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Findings:
    """Files to read, paths that cannot be read, and files of unknown kinds in the folders."""

    sources: list[Source] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def find_sources(paths: Sequence[Path]) -> Findings:
    """Return the given files, and all files below the given folders, sorted by name, without hidden ones and debris.

    A folder without any file that can be read fails, as does a file for which no id is left.
    """
    findings = Findings()
    for path in paths:
        before = len(findings.sources) + len(findings.failed)
        try:
            is_folder = path.is_dir()
        except OSError:  # no permission to ask; reading it will tell
            is_folder = False
        if is_folder:
            _walk(path, findings)
            if before == len(findings.sources) + len(findings.failed):
                findings.failed.append(Failure(str(path), NOTHING_READABLE))
        else:
            origin = Origin(name_path(_resolve(path.parent) / path.name))
            findings.sources.append(Source(path, "", origin=origin))
    sources, rivals = settle(_part_twins(findings.sources), {})
    return Findings(sources, [*findings.failed, *rivals], findings.skipped)


def settle(sources: Sequence[Source], documents: Mapping[str, DocumentEntry]) -> tuple[list[Source], list[Failure]]:
    """Give the sources their ids, in view of the documents of the index; return also those for which none is left."""
    ids = choose_ids([source.origin or source.document_id for source in sources], documents)
    settled = [replace(source, document_id=id_) for source, id_ in zip(sources, ids, strict=True) if id_ is not None]
    reason = "another file of this call has its document id"
    rivals = [source for source, id_ in zip(sources, ids, strict=True) if id_ is None]
    return settled, [Failure(str(source.path), reason) for source in rivals]


def name_path(path: Path) -> str:
    """Return a path as text; bytes that are no UTF-8 become escapes, as in what the command prints."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def _walk(root: Path, findings: Findings) -> None:
    """Add the files below a folder; links are followed once per folder, as they may form cycles, and not out of `root`.

    A person who can write into the folder must not gain access, through answers, to what only the ingesting user may
    read. Folders may be nested deeper than calls can be.
    """
    resolved = root.resolve()
    folder_name = name_path(resolved)
    visited: set[tuple[int, int]] = set()
    waiting: list[Iterator[Path]] = [iter([root])]
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
            continue
        try:
            if entry != root and entry.is_symlink() and not entry.resolve().is_relative_to(resolved):
                findings.failed.append(Failure(str(entry), "it is a link that leads out of the folder"))
            elif entry.is_dir():
                waiting.append(_list_folder(entry, visited))
            elif entry.suffix.lower() in SUFFIXES:
                origin = Origin(name_path(resolved / entry.relative_to(root)), folder_name)
                findings.sources.append(Source(entry, "", origin=origin))
            else:
                findings.skipped.append(Skipped(str(entry), UNKNOWN_KIND))
        except OSError as error:
            findings.failed.append(Failure(str(entry), error.strerror or "it cannot be read"))
        except RuntimeError:  # `Path.resolve`
            findings.failed.append(Failure(str(entry), "it is a link that leads to itself"))


def _list_folder(folder: Path, visited: set[tuple[int, int]]) -> Iterator[Path]:
    """Return what is in the folder, sorted; nothing if it was visited already.

    Raises: OSError: it cannot be read.
    """
    status = folder.stat()
    if (status.st_dev, status.st_ino) in visited:
        return iter(())
    visited.add((status.st_dev, status.st_ino))
    return iter([each for each in sorted(folder.iterdir()) if not _is_debris(each.name)])


def _is_debris(name: str) -> bool:
    return name.startswith(".") or _DEBRIS.fullmatch(name.lower()) is not None


def _resolve(path: Path) -> Path:
    try:
        return path.resolve()
    except RuntimeError:  # a link that leads to itself; reading it will tell
        return path.absolute()


def _part_twins(sources: Sequence[Source]) -> list[Source]:
    """Return the sources without the same file under the same name, as a folder and a file in it may be given."""
    seen: set[tuple[str, Path]] = set()
    kept = []
    for source in sources:
        assert source.origin is not None
        twin = (source.origin.name, _resolve(source.path))
        if twin not in seen:
            seen.add(twin)
            kept.append(source)
    return kept
