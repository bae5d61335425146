"""Name, describe and switch versions in the collection of the switches.

A manifest is as in the embedded engine, cut into parts. The name of a version is the digest of its manifest, so parts
that are missing or of another version are noticed. Beside it lie the words of each document, sealed by the manifest.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter, ValidationError

from rag.index.manifest import (
    BrokenIndexError,
    FileSeal,
    Manifest,
    is_version_name,
    number_of,
    render_manifest,
    sum_by_groups,
)
from rag.index.milvus.driver import Row
from rag.index.milvus.filters import of_tenant, quote
from rag.index.milvus.layout import UNUSED
from rag.types import GroupedPart, IndexVersion, ModelInfo

BLOB_FIELDS: Final = ("kind", "part", "body")
SWITCH_FIELDS: Final = ("tenant", "name", "body")
# The size of each document in words; what `rag_chunks` alone would have to be read whole for.
LENGTHS: Final = "lengths.json"
_PART_CHARS: Final = 60_000
# More groups than this are read from the manifest, so that the switch stays short.
_GROUPED_MAX: Final = 200
_MANIFESTS: Final = TypeAdapter(Manifest)
_LENGTHS: Final = TypeAdapter(dict[str, int])


@dataclass(frozen=True, slots=True)
class MilvusVersion:
    """A version with its manifest read and its seal intact; `lengths` are the words of each document."""

    name: str
    manifest: Manifest
    lengths: Mapping[str, int]

    @property
    def number(self) -> int:
        return number_of(self.name)

    @property
    def summary(self) -> IndexVersion:
        """The version without its manifest's details."""
        manifest = self.manifest
        grouped = sum_by_groups(manifest.document_list)
        return IndexVersion(self.name, manifest.chunks, manifest.documents, manifest.built_at, grouped)


@dataclass(frozen=True, slots=True)
class Switch:
    """What the switch of a tenant says: the version that serves, and who embedded it.

    `version` has no parts by groups if `is_whole` is false: they are in the manifest alone.
    """

    tenant_id: str
    version: IndexVersion
    embedder: ModelInfo
    is_whole: bool = True

    @property
    def name(self) -> str:
        return self.version.version


def switch_filter(tenant_id: str | None = None) -> str:
    """Return the filter for the switch of a tenant, or of all."""
    return f'kind == "switch"{f" and {of_tenant(tenant_id)}" if tenant_id is not None else ""}'


def blob_filter(tenant_id: str, name: str) -> str:
    """Return the filter for the parts that describe a version."""
    return f'{of_tenant(tenant_id)} and name == {quote(name)} and kind in ["manifest", "lengths"]'


def switch_row(tenant_id: str, version: MilvusVersion) -> Row:
    """Return the row that makes a version serve."""
    summary, embedder = version.summary, version.manifest.embedder
    is_whole = len(summary.grouped) <= _GROUPED_MAX
    grouped = [[sorted(part.groups), part.chunks, part.documents] for part in summary.grouped if is_whole]
    body = {
        "chunks": summary.chunks,
        "documents": summary.documents,
        "built_at": summary.built_at,
        "grouped": grouped,
        "is_whole": is_whole,
        "embedder": [embedder.name, embedder.revision, embedder.dimension],
    }
    return _row("switch", tenant_id, version.name, 0, json.dumps(body, ensure_ascii=False), key=f"switch/{tenant_id}")


def read_switch(row: Row) -> Switch:
    """Return what the switch says.

    Raises: BrokenIndexError: the row is not ours.
    """
    try:
        body = json.loads(row["body"])
        grouped = tuple(GroupedPart(frozenset(groups), *sizes) for groups, *sizes in body["grouped"])
        name, revision, dimension = body["embedder"]
        version = IndexVersion(row["name"], body["chunks"], body["documents"], body["built_at"], grouped)
        switch = Switch(row["tenant"], version, ModelInfo(name, revision, dimension), body["is_whole"])
    except (ValueError, KeyError, TypeError) as error:
        raise BrokenIndexError("the switch cannot be read") from error
    if not is_version_name(switch.name):
        raise BrokenIndexError("the switch names no version")
    return switch


def blob_rows(tenant_id: str, version: MilvusVersion) -> list[Row]:
    """Return the rows that describe a version."""
    manifest, lengths = render_manifest(version.manifest), render_lengths(version.lengths)
    return [
        _row(kind, tenant_id, version.name, part, text, key=f"{kind}/{tenant_id}/{version.name}/{part}")
        for kind, content in (("manifest", manifest), ("lengths", lengths))
        for part, text in enumerate(_cut(content))
    ]


def read_blobs(name: str, rows: Iterable[Row]) -> MilvusVersion:
    """Return the version that these rows describe.

    Raises: BrokenIndexError: a part is missing, or is not what the version was sealed with.
    """
    parts: dict[str, dict[int, str]] = {"manifest": {}, "lengths": {}}
    for row in rows:
        parts[row["kind"]][row["part"]] = row["body"]
    content, lengths = (_join(parts[kind]) for kind in ("manifest", "lengths"))
    if not name.endswith("-" + hashlib.sha256(content).hexdigest()[:8]):
        raise BrokenIndexError(f"the manifest is not the one that version {name} was sealed with")
    try:
        manifest = _MANIFESTS.validate_json(content)
        if manifest.files != (seal_lengths(lengths),):
            raise BrokenIndexError(f"{LENGTHS} is not what version {name} was sealed with")
        return MilvusVersion(name, manifest, _LENGTHS.validate_json(lengths))
    except ValidationError as error:
        raise BrokenIndexError("the manifest is of a format that is not known") from error


def render_lengths(lengths: Mapping[str, int]) -> bytes:
    """Return the bytes of the documents' sizes in words."""
    return json.dumps(lengths, sort_keys=True).encode()


def seal_lengths(content: bytes) -> FileSeal:
    """Return the seal of the documents' sizes in words."""
    return FileSeal(LENGTHS, len(content), hashlib.sha256(content).hexdigest())


def _cut(content: bytes) -> list[str]:
    text = base64.b64encode(zlib.compress(content)).decode()
    return [text[start : start + _PART_CHARS] for start in range(0, len(text), _PART_CHARS)]


def _join(parts: Mapping[int, str]) -> bytes:
    try:
        return zlib.decompress(base64.b64decode("".join(parts[at] for at in sorted(parts))))
    except (ValueError, zlib.error) as error:
        raise BrokenIndexError("a part of the description is missing") from error


def _row(kind: str, tenant_id: str, name: str, part: int, body: str, *, key: str) -> Row:
    return {"pk": key, "kind": kind, "tenant": tenant_id, "name": name, "part": part, "body": body, **UNUSED}
