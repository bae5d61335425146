"""Turn values into what the tables hold, and back; bytes where text may hold what PostgreSQL refuses."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from struct import Struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from rag.index.manifest import DocumentEntry, Manifest
from rag.ports import Vectors
from rag.text.language import fold
from rag.types import Chunk, GroupedPart, TokenVectors

# A key of a B-tree has at most 2 704 bytes.
_WORD_MAX_BYTES: Final = 1_000
_WORD_HEAD_CHARS: Final = 100
_TOKENS_HEADER: Final = Struct("<II")  # tokens, dim

_ENTRIES: Final = TypeAdapter(DocumentEntry)
_HEADERS: Final = TypeAdapter(Manifest)
_GROUPED: Final = TypeAdapter(tuple[GroupedPart, ...])


def write_chunk(chunk: Chunk) -> bytes:
    """Return the bytes of a chunk."""
    return json.dumps(asdict(chunk), ensure_ascii=False).encode("utf-8", "surrogatepass")


def read_chunk(body: bytes) -> Chunk:
    """Return the chunk of these bytes."""
    return Chunk(**json.loads(body))


def write_entry(entry: DocumentEntry) -> bytes:
    """Return the bytes of a document's description."""
    return _ENTRIES.dump_json(entry)


def read_entry(data: bytes) -> DocumentEntry:
    """Return the description of these bytes. Raises: ValueError."""
    return _ENTRIES.validate_json(data)


def write_header(manifest: Manifest) -> bytes:
    """Return the bytes of a manifest; its documents have rows of their own."""
    return _HEADERS.dump_json(manifest)


def read_header(data: bytes) -> Manifest:
    """Return the manifest of these bytes. Raises: ValueError."""
    return _HEADERS.validate_json(data)


def write_grouped(parts: tuple[GroupedPart, ...]) -> bytes:
    """Return the bytes of the sizes that not all callers see."""
    return _GROUPED.dump_json(parts)


def read_grouped(data: bytes) -> tuple[GroupedPart, ...]:
    """Return the sizes of these bytes."""
    return _GROUPED.validate_json(data)


def group_label(group: str) -> str:
    """Return the text of a group; a caller's may hold anything."""
    return json.dumps(group)


def value_label(key: str, value: str) -> str:
    """Return the text of a metadata value."""
    return json.dumps([key, value])


def labels_of(metadata: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the texts of all metadata values."""
    return [value_label(key, value) for key, values in metadata.items() for value in values]


def word_key(word: str) -> str:
    """Return what stands for a word: the word, or, if it is too long to be a key, its head and its digest.

    The digest follows a character that no word has, so it equals no other word.
    """
    if len(word) <= _WORD_MAX_BYTES // 4 or len(word.encode()) <= _WORD_MAX_BYTES:
        return word
    return f"{word[:_WORD_HEAD_CHARS]} {hashlib.sha256(word.encode()).hexdigest()}"


def shape_of(folded: str, *, longer: int = 0) -> str:
    """Return the first and the last letter of a folded word, and its length, or that of a longer word."""
    return f"{folded[0]}{len(folded) + longer}{folded[-1]}"


def describe_words(words: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    """Return the keys of these words, the words without diacritics, and their shapes."""
    keys = [word_key(word) for word in words]
    folded = [fold(key) or key for key in keys]
    return keys, folded, [shape_of(each) for each in folded]


def write_tokens(tokens: TokenVectors) -> bytes:
    """Return the bytes of a chunk's token vectors."""
    count, dimension = tokens.values.shape
    parts = (tokens.scales.astype("<f4"), tokens.spans.astype("<i4"), tokens.values.astype(np.int8))
    return b"".join((_TOKENS_HEADER.pack(count, dimension), *(part.tobytes() for part in parts)))


def read_tokens(data: bytes) -> TokenVectors:
    """Return the token vectors of these bytes, as views."""
    count, dimension = _TOKENS_HEADER.unpack_from(data)
    at = _TOKENS_HEADER.size
    scales = np.frombuffer(data, "<f4", count, at)
    spans = np.frombuffer(data, "<i4", 2 * count, at + 4 * count).reshape(count, 2)
    values = np.frombuffer(data, np.int8, count * dimension, at + 12 * count).reshape(count, dimension)
    return TokenVectors(values, scales, spans)


def binary_vectors(vectors: Vectors) -> NDArray[Any]:  # Any: a structured type
    """Return vectors, (n, dim), as the binary values of pgvector, each after its size in bytes."""
    count, dimension = vectors.shape
    layout = np.dtype([("size", ">i4"), ("dim", ">i2"), ("unused", ">i2"), ("values", ">f4", (dimension,))])
    rows = np.zeros(count, layout)
    rows["size"], rows["dim"], rows["values"] = layout.itemsize - 4, dimension, vectors
    return rows


def binary_ints(numbers: Sequence[int] | NDArray[np.integer]) -> bytes:
    """Return an `int[]` in binary."""
    layout = np.dtype([("size", ">i4"), ("value", ">i4")])
    rows = np.zeros(len(numbers), layout)
    rows["size"], rows["value"] = 4, numbers
    return binary_array(23, len(numbers), rows.tobytes())  # 23: the type int4


def binary_array(element_type: int, count: int, elements: bytes) -> bytes:
    """Return an array in binary, of elements that come after their sizes.

    Source: PostgreSQL, src/backend/utils/adt/arrayfuncs.c, array_recv.
    """
    if not count:
        return np.array([0, 0, element_type], ">i4").tobytes()
    return np.array([1, 0, element_type, count, 1], ">i4").tobytes() + elements
