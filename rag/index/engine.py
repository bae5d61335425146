"""Define what an engine of the index is: the place where the versions of all tenants are kept, searched and replaced.

The embedded engine keeps files in a folder. The others keep rows in a database. The rest of the house knows this file
and `rag.ports.ChunkIndex` alone, and every engine passes the same contract tests.

One side serves and is asynchronous: the front asks it. The other side writes and is synchronous: the ingestion is a
command in a process of its own.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Literal, Protocol

from rag.index.manifest import BrokenIndexError, DocumentEntry, Manifest, Origin
from rag.ports import IndexProvider
from rag.types import Chunk, EncodedTexts, IndexVersion, Labels, ModelInfo, Span

IndexState = Literal["ok", "mismatch", "unreachable", "loading"]
EncodeChunks = Callable[[Sequence[Chunk]], EncodedTexts]
OnRefresh = Callable[[Mapping[str, IndexVersion]], None]


class RollbackError(Exception):
    """There is no version to go back to; the serving one still serves."""


class EmbedderMismatchError(BrokenIndexError):
    """The vectors were made by another embedder than the one that embeds the questions."""


class PublishedVersion(Protocol):
    """A version that serves, or did: its name, `<number>-<seal>`, and its description."""

    @property
    def name(self) -> str: ...

    @property
    def manifest(self) -> Manifest: ...


# Called with the damage of the serving version, and with the version that the change starts from instead.
OnDamage = Callable[[BrokenIndexError, PublishedVersion | None], object]


class IndexChange(Protocol):
    """The next version of one tenant's index in the making: nobody sees it before `publish`."""

    @property
    def documents(self) -> Mapping[str, DocumentEntry]:
        """The stored documents, by id, without those that were replaced or dropped so far."""
        ...

    @property
    def reembeds(self) -> bool:
        """Whether every kept chunk is embedded again, because another embedder made the serving version."""
        ...

    @property
    def chunks_to_embed(self) -> int:
        """The number of chunks without vectors so far."""
        ...

    def find_unchanged(self, document_id: str, digest: str) -> DocumentEntry | None:
        """Return the stored document if its digest is this one and the current chunker split it; else None."""
        ...

    def labels_of(self, document_id: str) -> Labels:
        """Return the labels of a stored document; none if there is no such document."""
        ...

    def relabel(self, document_id: str, labels: Labels, origin: Origin | None = None) -> None:
        """Give a stored document, which does not change otherwise, these labels and this origin."""
        ...

    def put(
        self,
        document_id: str,
        title: str,
        spans: Sequence[Span],
        digest: str,
        *,
        edition: str = "",
        labels: Labels = ...,
        origin: Origin | None = None,
    ) -> None:
        """Add a document, or its next version; each id at most once, and each with at least one span."""
        ...

    def drop(self, document_id: str) -> bool:
        """Remove a document; False if there is none with this id."""
        ...

    def adopt(self, entry: DocumentEntry, chunks: Sequence[Chunk]) -> None:
        """Take a document as another index of this tenant holds it: with its number and the ids of its chunks."""
        ...

    def continue_numbers(self, of: Manifest) -> None:
        """Give documents no number that another index of this tenant gave already."""
        ...

    def publish(self, encode: EncodeChunks) -> PublishedVersion | None:
        """Make the next version serve, all of it at once; if nothing changed, the serving version stays.

        Raises: OSError: the engine failed or is full; the old version still serves.
        """
        ...


class VersionContent(Protocol):
    """All of one version, for a copy of it."""

    @property
    def version(self) -> PublishedVersion: ...

    def chunks(self, entry: DocumentEntry) -> list[Chunk]:
        """Return the chunks of one of its documents, in order."""
        ...

    def encoded(self, chunks: Sequence[Chunk]) -> EncodedTexts:
        """Return the vectors of these chunks, in this order, and those of their tokens, if they are stored."""
        ...


class IndexServer(IndexProvider, Protocol):
    """The serving side: it belongs to one event loop; a query keeps the version that it was given."""

    def state(self) -> IndexState:
        """Return the state for readiness, at once.

        `loading`: before the first look. `mismatch`: the index of some tenant was made by another embedder.
        `unreachable`: no tenant can be served. A damaged tenant affects only itself.
        """
        ...

    def versions(
        self, tenant_ids: Collection[str] | None = None, groups: Collection[str] | None = None
    ) -> dict[str, IndexVersion]:
        """Return what serves, for these tenants or for all, with the sizes that a caller of these groups sees."""
        ...

    async def documents(self, tenant_id: str) -> tuple[str | None, Sequence[DocumentEntry]]:
        """Return the name of the serving version, None if there is none, and its documents, sorted by id.

        Raises: IndexUnavailable.
        """
        ...

    async def open_all(self) -> None:
        """Make ready all tenants that can be served, so that no query has to wait for it."""
        ...

    async def watch(self) -> None:
        """Take up new versions, for ever; a new version is in use within 5 s."""
        ...

    async def aclose(self) -> None: ...


class IndexEngine(Protocol):
    """Keeps the versions of all tenants."""

    def serve(self, embedder: ModelInfo, on_refresh: OnRefresh) -> IndexServer:
        """Return the serving side, for questions that this embedder embeds."""
        ...

    def tenants(self) -> list[str]:
        """Return all tenants that are known here, sorted, whether or not a version serves."""
        ...

    def current(self, tenant_id: str) -> PublishedVersion | None:
        """Return the serving version without reading its content; None if the tenant has none.

        Raises: BrokenIndexError: its description cannot be trusted.
        """
        ...

    def verify(self, tenant_id: str) -> PublishedVersion | None:
        """Return the serving version after checking all of its content; None if the tenant has none.

        Raises: BrokenIndexError: with all problems found.
        """
        ...

    def read(self, tenant_id: str, name: str | None = None) -> AbstractContextManager[VersionContent | None]:
        """Read the version of this name, or the serving one; None if it is gone, or the tenant has none.

        It stays readable until the context is left, whatever is published meanwhile.

        Raises: BrokenIndexError: it is damaged.
        """
        ...

    def update(
        self,
        tenant_id: str,
        on_wait: Callable[[], object],
        embedder: ModelInfo | None = None,
        *,
        chunker_version: str = "",
        keeps_tokens: bool = False,
        on_damage: OnDamage = ...,
    ) -> AbstractContextManager[IndexChange]:
        """Start a change and keep other writers of this tenant out; `on_wait` is called if another one is active.

        Without an embedder a change can only remove documents. Left without `publish`, nothing has changed.
        """
        ...

    def rollback(
        self, tenant_id: str, embedder: ModelInfo, on_wait: Callable[[], object]
    ) -> tuple[str, PublishedVersion]:
        """Restore the previous version as a new one; returns the name of the restored one, and the new one.

        Raises: RollbackError: there is no previous version, or it is damaged or made by another embedder.
        """
        ...
