"""Describe a version: its makers, its documents, and a seal on each of its files.

A version is named after the digest of its manifest, and the manifest holds the digests of the files. So the name in
`CURRENT` seals everything.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Final, Literal

from pydantic import TypeAdapter, ValidationError

from rag.types import GroupedPart, IndexVersion, Labels, ModelInfo

MANIFEST_NAME: Final = "manifest.json"
PLAIN_FORMAT: Final = 1
# Written if a document has groups or metadata. Code that knows none refuses it, instead of showing everybody what the
# groups hide.
LABELLED_FORMAT: Final = 2
# Written if the version has two segments. Code that knows none refuses it, instead of showing what is gone.
SEGMENTED_FORMAT: Final = 3
_VERSION_NAME: Final = re.compile(r"(\d{6,})-([0-9a-f]{8})")


class BrokenIndexError(Exception):
    """A version on disk cannot be trusted; `problems` are for the operator, never for a client."""

    def __init__(self, *problems: str) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(problems))


@dataclass(frozen=True, slots=True)
class FileSeal:
    """Size and digest of a file; `name` is relative to the version's folder, with `/` as the separator."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Origin:
    """The file that a document was made of: its absolute path, and the folder that was given to the ingestion, if any.

    Both are text: bytes in a name that are no UTF-8 are written as escapes.
    """

    path: str
    folder: str | None = None

    @property
    def name(self) -> str:
        """The path below the folder, or the file's own name, without the suffix."""
        path = PurePath(self.path)
        below = path.relative_to(self.folder) if self.folder else PurePath(path.name)
        return below.with_suffix("").as_posix()


@dataclass(frozen=True, slots=True)
class DocumentEntry:
    """One document of a version; its chunks have consecutive ordinals from `first_ordinal` on.

    `groups` and `metadata` are those of `rag.types.Labels`; versions made before there were any have none. `origin` is
    None if the document was named by a person or came from elsewhere than a file of this machine, or is that old.
    """

    document_id: str
    title: str
    document_version: int
    chunks: int
    first_ordinal: int
    digest: str
    chunker_version: str
    groups: tuple[str, ...] = ()
    metadata: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    origin: Origin | None = None

    @property
    def labels(self) -> Labels:
        return Labels(self.groups, self.metadata)


@dataclass(frozen=True, slots=True)
class DenseInfo:
    """How the vectors are searched; `recall_at_10` is relative to exact search, measured when the version was built.

    Of an `hnsw` index `lists` is the number of its graphs, and `probes` the nodes that a walk keeps in sight.
    """

    kind: Literal["flat", "ivf", "hnsw"]
    lists: int
    probes: int
    recall_at_10: float


@dataclass(frozen=True, slots=True)
class DeltaInfo:
    """The chunks of the small segment, and of the main one with those that are gone; see `rag.index.segments`."""

    chunks: int
    main_chunks: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The description of a version.

    `removed` holds the last version number of documents that are gone, and of those that a rollback took back to an
    earlier version. The next number is counted from there, so a chunk id never means two texts. `has_tokens`: the
    version stores token vectors. `numbers_above`: the number of a damaged version; the numbers that it gave to
    documents are unknown, so all new ones are above it. `delta` is set if there are two segments; `dense` then
    describes the main one.
    """

    format: Literal[1, 2, 3]
    previous: str | None
    built_at: str
    embedder: ModelInfo
    chunker_version: str
    documents: int
    chunks: int
    dense: DenseInfo | None
    files: tuple[FileSeal, ...]
    document_list: tuple[DocumentEntry, ...]
    removed: Mapping[str, int]
    has_tokens: bool = False
    numbers_above: int = 0
    delta: DeltaInfo | None = None

    @property
    def last_versions(self) -> dict[str, int]:
        """The highest version number that each document ever had; it grows from one index version to the next.

        `removed` holds only numbers above those of the present documents.
        """
        return {entry.document_id: entry.document_version for entry in self.document_list} | dict(self.removed)


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version in its folder on disk, with its manifest read and its seal intact."""

    name: str
    folder: Path
    manifest: Manifest

    @property
    def summary(self) -> IndexVersion:
        """The version without its manifest's details."""
        manifest = self.manifest
        grouped = sum_by_groups(manifest.document_list)
        return IndexVersion(self.name, manifest.chunks, manifest.documents, manifest.built_at, grouped)


_MANIFESTS: Final = TypeAdapter(Manifest)


def format_of(documents: Iterable[DocumentEntry], delta: DeltaInfo | None = None) -> Literal[1, 2, 3]:
    """Return the format of a version with these documents and segments."""
    if delta is not None:
        return SEGMENTED_FORMAT
    return LABELLED_FORMAT if any(entry.groups or entry.metadata for entry in documents) else PLAIN_FORMAT


def sum_by_groups(documents: Iterable[DocumentEntry]) -> tuple[GroupedPart, ...]:
    """Return the sizes of the parts of a version that not every caller sees."""
    chunks: Counter[frozenset[str]] = Counter()
    counts: Counter[frozenset[str]] = Counter()
    for entry in documents:
        if entry.groups:
            chunks[frozenset(entry.groups)] += entry.chunks
            counts[frozenset(entry.groups)] += 1
    return tuple(GroupedPart(groups, chunks[groups], counts[groups]) for groups in counts)


def render_manifest(manifest: Manifest) -> bytes:
    """Return the bytes of `manifest.json`."""
    return _MANIFESTS.dump_json(manifest, indent=1)


def name_version(manifest: Manifest, content: bytes) -> str:
    """Return `<number>-<seal>`: numbers grow by one, the seal is the digest of the manifest's bytes."""
    number = 1 + max(number_of(manifest.previous) if manifest.previous else 0, manifest.numbers_above)
    return f"{number:06d}-{hashlib.sha256(content).hexdigest()[:8]}"


def number_of(name: str) -> int:
    """Return the number in the name of a version."""
    return int(name.partition("-")[0])


def is_version_name(text: str) -> bool:
    """Return whether the text has the form of a version's name."""
    return _VERSION_NAME.fullmatch(text) is not None


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest in this folder, whether or not the files that it seals exist.

    Raises: BrokenIndexError: it is missing, its seal is broken, or it has another format.
    """
    try:
        content = (folder / MANIFEST_NAME).read_bytes()
    except FileNotFoundError as error:
        raise BrokenIndexError(f"{MANIFEST_NAME} is missing") from error
    if not folder.name.endswith("-" + hashlib.sha256(content).hexdigest()[:8]):
        raise BrokenIndexError(f"{MANIFEST_NAME} is not the one that version {folder.name} was sealed with")
    try:
        return _MANIFESTS.validate_json(content)
    except ValidationError as error:
        raise BrokenIndexError(f"{MANIFEST_NAME} is not of format {PLAIN_FORMAT} to {SEGMENTED_FORMAT}") from error


def read_version(folder: Path) -> StoredVersion:
    """Return the version in this folder, if every file exists and has its size; contents are not read.

    Raises: BrokenIndexError: the manifest cannot be trusted, or a file is missing or truncated.
    """
    manifest = read_manifest(folder)
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in _files(folder)}
    problems = [f"{seal.name} is missing" for seal in manifest.files if seal.name not in sizes]
    problems += [
        f"{seal.name} has {sizes[seal.name]} bytes instead of {seal.size_bytes}"
        for seal in manifest.files
        if sizes.get(seal.name, seal.size_bytes) != seal.size_bytes
    ]
    if problems:
        raise BrokenIndexError(*problems)
    return StoredVersion(folder.name, folder, manifest)


def seal_files(folder: Path, known: Iterable[FileSeal] = ()) -> tuple[FileSeal, ...]:
    """Return a seal for each file below the folder, sorted by name; files with known seals are not read."""
    seals = {seal.name: seal for seal in known}
    named = ((path.relative_to(folder).as_posix(), path) for path in _files(folder))
    return tuple(seals.get(name) or FileSeal(name, path.stat().st_size, _digest_file(path)) for name, path in named)


def verify_files(stored: StoredVersion) -> None:
    """Read every byte of a version.

    Raises: BrokenIndexError: a file differs from its seal, or does not belong to the version.
    """
    sealed = {seal.name: seal for seal in stored.manifest.files}
    found = {seal.name: seal for seal in seal_files(stored.folder) if seal.name != MANIFEST_NAME}
    problems = [f"{name} does not belong to the version" for name in sorted(found.keys() - sealed.keys())]
    problems += [
        f"{name} has other content than was sealed" for name in sorted(sealed) if sealed[name] != found.get(name)
    ]
    if problems:
        raise BrokenIndexError(*problems)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _digest_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
