"""Define what the operations on an index report; the command prints each as one JSON object."""

from collections.abc import Mapping
from dataclasses import dataclass

from rag.ingestion.sources import Failure, Skipped


@dataclass(frozen=True, slots=True)
class Added:
    """A document that was added, or had not changed."""

    path: str
    document_id: str
    chunks: int


@dataclass(frozen=True, slots=True)
class Warned:
    """A file that was read, and what of it is not in the document, or what its document replaced."""

    path: str
    warning: str


@dataclass(frozen=True, slots=True)
class AddReport:
    """The result of `add`; `documents` and `chunks` count the whole index after it."""

    tenant: str
    version: str | None
    added: list[Added]
    failed: list[Failure]
    skipped: list[Skipped]
    warnings: list[Warned]
    documents: int
    chunks: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Named:
    """A document with its file, which may be gone."""

    path: str
    document_id: str


@dataclass(frozen=True, slots=True)
class SyncReport:
    """The result of `sync`, or with `dry_run` what it would be.

    `unchanged` counts the documents of the folder that stay as they are; `documents` and `chunks` count the whole index
    after it, or as it is if this was a dry run.
    """

    tenant: str
    version: str | None
    dry_run: bool
    new: list[Named]
    changed: list[Named]
    removed: list[Named]
    unchanged: int
    failed: list[Failure]
    skipped: list[Skipped]
    warnings: list[Warned]
    documents: int
    chunks: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RemoveReport:
    """The result of `remove`; `documents` and `chunks` count the whole index after it."""

    tenant: str
    version: str
    removed: str
    documents: int
    chunks: int


@dataclass(frozen=True, slots=True)
class RollbackReport:
    """The result of a rollback: `version` has the content of `restored`; `documents` and `chunks` count it."""

    tenant: str
    version: str
    restored: str
    documents: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Listed:
    """One document of a list."""

    document_id: str
    title: str
    document_version: int
    chunks: int
    groups: tuple[str, ...]
    metadata: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class ListReport:
    """The documents of the serving version; `version` is None if there is none."""

    tenant: str
    version: str | None
    documents: list[Listed]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The result of a check; `problems` is empty if there are none."""

    tenant: str
    version: str | None
    documents: int
    chunks: int
    problems: list[str]


@dataclass(frozen=True, slots=True)
class MigratedTenant:
    """What was done for one tenant: `version` at the target has the content of `source_version`.

    `copied`, `unchanged` and `removed` count documents of the target; `documents` and `chunks` count the whole index.
    """

    tenant: str
    source_version: str
    version: str | None
    copied: int
    unchanged: int
    removed: int
    documents: int
    chunks: int
    seconds: float


@dataclass(frozen=True, slots=True)
class MigrateReport:
    """The result of `migrate`: the tenants that have a version, in order."""

    tenants: list[MigratedTenant]
