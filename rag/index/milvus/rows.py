"""Turn chunks, token vectors and words into rows, and rows back into them."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from struct import Struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag.index.languages import LANGUAGES
from rag.index.milvus.driver import Row
from rag.index.milvus.filters import NEVER, OPEN, group_number, label_number
from rag.index.milvus.layout import TEXT_BYTES, UNUSED
from rag.index.milvus.words import count_terms, number_of, shape_of, weigh
from rag.ports import Vectors
from rag.text.language import detect_language, fold, words
from rag.types import Chunk, Labels, TokenVectors

# What a search brings of a chunk, to score its words again.
HIT_FIELDS: Final = ("chunk_id", "terms", "counts", "words")
# What a row is copied from when only its labels change, or when it is restored.
COPIED_FIELDS: Final = (
    "pk", "tenant", "chunk_id", "document_id", "language", "words", "groups", "labels", "terms", "counts", "body",
    "dense", "sparse", "born", "died",
)  # fmt: skip
_TOKENS: Final = Struct("<II")  # tokens, dim
_PART_BYTES: Final = 48_000  # as base64 less than a text may hold, and a multiple of three
_WORD_CHARS: Final = 8_000


def row_key(chunk_id: str, born: int) -> str:
    """Return the primary key of a chunk's row: a chunk whose labels changed has another row."""
    return f"{chunk_id}@{born}"


def make_row(chunk: Chunk, vector: NDArray[np.float32], labels: Labels, *, tenant_id: str, born: int) -> Row:
    """Return the row of a chunk that versions from number `born` on see."""
    found = words(chunk.ranked_text)
    terms = count_terms(found)
    return {
        "pk": row_key(chunk.chunk_id, born),
        "tenant": tenant_id,
        "born": born,
        "died": NEVER,
        "chunk_id": chunk.chunk_id,
        "document_id": chunk.document_id,
        "language": LANGUAGES.index(detect_language(chunk.text)),
        "words": max(1, len(found)),
        "terms": list(terms),
        "counts": list(terms.values()),
        "body": _render(chunk),
        "dense": vector.tolist(),
        "sparse": weigh(found),
        **marks(labels),
    }


def copy_row(row: Row, born: int, labels: Labels | None = None) -> Row:
    """Return a row with the content of another that versions from number `born` on see, with these labels if any."""
    copied = {name: row[name] for name in COPIED_FIELDS} | {"born": born, "died": NEVER}
    return copied | {"pk": row_key(row["chunk_id"], born)} | (marks(labels) if labels is not None else {})


def marks(labels: Labels) -> dict[str, list[int]]:
    """Return what filters compare of the labels."""
    values = {label_number(key, value) for key, values in labels.metadata.items() for value in values}
    groups = {group_number(group) for group in labels.groups}
    return {"groups": sorted(groups) or [OPEN], "labels": sorted(values)}


def read_chunk(row: Row) -> Chunk:
    """Return the chunk of a row.

    Raises: ValueError, TypeError: the row is not ours.
    """
    return Chunk(**json.loads(row["body"]))


def word_row(tenant_id: str, word: str, chunks: int, born: int) -> Row:
    """Return the row that tells in how many chunks a word stands, for versions from number `born` on."""
    folded = fold(word)
    return {
        "pk": f"{tenant_id}:{number_of(word):016x}@{born}",
        "tenant": tenant_id,
        "born": born,
        "died": NEVER,
        "word": number_of(word),
        "folded": number_of(folded),
        "shape": shape_of(folded),
        "chunks": chunks,
        "text": word[:_WORD_CHARS].encode("utf-8", "replace").decode(),
        **UNUSED,
    }


def token_rows(tenant_id: str, chunk_ids: Sequence[str], tokens: Sequence[TokenVectors]) -> Iterable[Row]:
    """Return the rows of the chunks' token vectors; one is split if a text cannot hold it."""
    for chunk_id, each in zip(chunk_ids, tokens, strict=True):
        content = _pack(each)
        for part, start in enumerate(range(0, len(content), _PART_BYTES)):
            body = base64.b64encode(content[start : start + _PART_BYTES]).decode()
            yield {
                "pk": f"{chunk_id}/{part}",
                "tenant": tenant_id,
                "chunk_id": chunk_id,
                "part": part,
                "body": body,
                **UNUSED,
            }


def read_tokens(rows: Iterable[Row]) -> dict[str, TokenVectors]:
    """Return the token vectors by chunk id.

    Raises: ValueError: a part is missing, or not ours.
    """
    parts: dict[str, dict[int, bytes]] = {}
    for row in rows:
        parts.setdefault(row["chunk_id"], {})[row["part"]] = base64.b64decode(row["body"])
    return {chunk_id: _unpack(b"".join(found[at] for at in sorted(found))) for chunk_id, found in parts.items()}


def read_vectors(rows: Sequence[Row]) -> Vectors:
    """Return the vectors of rows, float32, (n, dim)."""
    return np.array([row["dense"] for row in rows], dtype=np.float32)


def count_words(rows: Iterable[Mapping[str, str]]) -> dict[str, int]:
    """Return in how many of the chunks each word stands, from the bodies of their rows."""
    counts: dict[str, int] = {}
    for row in rows:
        for word in set(words(Chunk(**json.loads(row["body"])).ranked_text)):
            counts[word] = counts.get(word, 0) + 1
    return counts


def _render(chunk: Chunk) -> str:
    text = json.dumps(asdict(chunk), ensure_ascii=False)
    if "\\" in text or not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # PDFs can hold lone surrogates
            text = json.dumps(asdict(chunk))
    if len(text.encode()) > TEXT_BYTES:
        raise OSError(f"chunk {chunk.chunk_id} is longer than Milvus stores")
    return text


def _pack(tokens: TokenVectors) -> bytes:
    count, dimension = tokens.values.shape
    parts = (
        np.ascontiguousarray(tokens.scales, "<f4"),
        np.ascontiguousarray(tokens.spans, "<i4"),
        np.ascontiguousarray(tokens.values, np.int8),
    )
    return b"".join([_TOKENS.pack(count, dimension), *(part.tobytes() for part in parts)])


def _unpack(content: bytes) -> TokenVectors:
    if len(content) < _TOKENS.size:
        raise ValueError("no token vectors")
    count, dimension = _TOKENS.unpack_from(content)
    spans_at = _TOKENS.size + 4 * count
    values_at = spans_at + 8 * count
    if len(content) != values_at + count * dimension:
        raise ValueError("token vectors are not whole")
    scales = np.frombuffer(content, "<f4", count, _TOKENS.size).astype(np.float32, copy=False)
    spans = np.frombuffer(content, "<i4", 2 * count, spans_at).astype(np.int32, copy=False).reshape(count, 2)
    return TokenVectors(np.frombuffer(content, np.int8, offset=values_at).reshape(count, dimension), scales, spans)
