"""Find the files that an ingestion reads, and give each its document id."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rag.parsing import SUFFIXES
from rag.text.document_labels import name_document

DOCUMENT_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read, and the id of its document; without `title` the document's own title is used.

    If `groups` or `metadata` is None, the document keeps those that it has.
    """

    path: Path
    document_id: str
    title: str | None = None
    groups: tuple[str, ...] | None = None
    metadata: Mapping[str, tuple[str, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A path that cannot be read, with the reason for a person."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Findings:
    """Files to read, paths that cannot be read, and files of unknown kinds in the folders."""

    sources: list[Source] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)


def find_sources(paths: Sequence[Path]) -> Findings:
    """Return the given files, and all files below the given folders, sorted by name, without hidden ones.

    If two files would become the same document, the second one fails.
    """
    findings = Findings()
    for path in paths:
        if path.is_dir():
            _walk(path, path, set(), findings)
        else:
            findings.sources.append(Source(path, name_document(path.stem)))
    return _part_rivals(findings)


def _walk(root: Path, folder: Path, visited: set[tuple[int, int]], findings: Findings) -> None:
    """Add the files below a folder; links are followed once per folder, as they may form cycles, and not out of `root`.

    A person who can write into the folder must not gain access, through answers, to what only the ingesting user may
    read.
    """
    try:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in visited:
            return
        visited.add((status.st_dev, status.st_ino))
        entries = sorted(folder.iterdir())
    except OSError as error:
        findings.failed.append(Failure(str(folder), error.strerror or "the folder cannot be read"))
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_symlink() and not entry.resolve().is_relative_to(root.resolve()):
            findings.failed.append(Failure(str(entry), "it is a link that leads out of the folder"))
        elif entry.is_dir():
            _walk(root, entry, visited, findings)
        elif entry.suffix.lower() in SUFFIXES:
            name = entry.relative_to(root).with_suffix("").as_posix()
            findings.sources.append(Source(entry, name_document(name)))
        else:
            findings.skipped.append(entry)


def _part_rivals(findings: Findings) -> Findings:
    taken: dict[str, Path] = {}
    failed = list(findings.failed)
    for source in findings.sources:
        rival = taken.setdefault(source.document_id, source.path)
        if not DOCUMENT_ID.fullmatch(source.document_id):
            failed.append(Failure(str(source.path), "its document id would have more than 128 characters"))
            del taken[source.document_id]
        elif rival is not source.path and rival.resolve() != source.path.resolve():
            failed.append(Failure(str(source.path), f"{rival} has the same document id, {source.document_id}"))
    sources = [source for source in findings.sources if taken.get(source.document_id) is source.path]
    return Findings(sources, failed, findings.skipped)
