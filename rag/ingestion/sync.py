"""Decide which documents are gone from a folder, and report what `sync` changes.

A document belongs to the folder that it was added from, which the manifest remembers. Those that were added otherwise
(one file, another folder, over HTTP) are never removed. What cannot be looked at counts as there.
"""

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from rag.index.engine import PublishedVersion
from rag.index.manifest import DocumentEntry
from rag.ingestion.reports import Named, SyncReport, Warned
from rag.ingestion.sources import NOTHING_READABLE, Failure, Findings, Skipped, Source, name_path


class SyncError(Exception):
    """A folder is not synced: it would do more than was meant."""


def list_failures(findings: Findings, *, allow_empty: bool) -> list[Failure]:
    """Return what cannot be read; an empty folder is no failure if it may be empty."""
    return [each for each in findings.failed if not (allow_empty and each.reason == NOTHING_READABLE)]


def find_gone(
    documents: Iterable[DocumentEntry],
    folder: Path,
    findings: Findings,
    sources: Sequence[Source],
    *,
    allow_empty: bool,
) -> list[DocumentEntry]:
    """Return the documents of this folder that none of its files, which are `sources`, stands for any more.

    Raises: SyncError: the folder holds no file that can be read, and `allow_empty` is False.
    """
    root = folder.resolve()
    unseen = [
        PurePath(name_path(root / Path(each.path).relative_to(folder)))
        for each in findings.failed
        if each.reason != NOTHING_READABLE
    ]
    there = {source.origin.path for source in findings.sources if source.origin}
    ids = {source.document_id for source in sources}
    gone = [
        entry
        for entry in documents
        if entry.origin is not None
        and entry.origin.folder == name_path(root)
        and entry.document_id not in ids
        and entry.origin.path not in there
        and not any(PurePath(entry.origin.path).is_relative_to(path) for path in unseen)
    ]
    if gone and not findings.sources and not allow_empty:
        raise SyncError(f"{NOTHING_READABLE}; with --allow-empty its documents are removed ({len(gone)})")
    return gone


@dataclass(frozen=True, slots=True)
class Changes:
    """What a sync puts into the index and takes out of it."""

    put: Sequence[Named]
    unchanged: int
    gone: Sequence[DocumentEntry]
    failed: list[Failure]
    warnings: list[Warned]

    def report(
        self,
        tenant_id: str,
        stored: PublishedVersion | None,
        before: Collection[str],
        skipped: list[Skipped],
        started: float,
        *,
        dry_run: bool,
    ) -> SyncReport:
        """Return the report; `before` are the ids that the index had, `stored` is the version that serves."""
        return SyncReport(
            tenant=tenant_id,
            version=stored.name if stored else None,
            dry_run=dry_run,
            new=[each for each in self.put if each.document_id not in before],
            changed=[each for each in self.put if each.document_id in before],
            removed=[Named(each.origin.path, each.document_id) for each in self.gone if each.origin],
            unchanged=self.unchanged,
            failed=self.failed,
            skipped=skipped,
            warnings=self.warnings,
            documents=stored.manifest.documents if stored else 0,
            chunks=stored.manifest.chunks if stored else 0,
            seconds=round(time.monotonic() - started, 3),
        )
