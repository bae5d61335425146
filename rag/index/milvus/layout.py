"""Lay out the collections: their fields, their indexes, their names."""

import hashlib
from typing import Any, Final

from rag.index.milvus.driver import MilvusWriter, as_os_error, load_driver
from rag.index.milvus.words import TERMS_MAX
from rag.types import ModelInfo

META: Final = "rag_meta"
WORDS: Final = "rag_words"
# Milvus wants a vector in each collection; this one is never searched.
UNUSED: Final[dict[str, list[float]]] = {"unused": [1.0, 0.0]}
# Bytes of a text, which Milvus limits.
TEXT_BYTES: Final = 65_535
# The contract bounds the recall of an approximate search at 0.98 of the exact one; these are usual for a million rows
# and more. `EF` is raised with k.
_HNSW: Final = {"M": 16, "efConstruction": 200}
EF_MIN: Final = 128
# Documents have few; the settings of ingestion allow fewer.
_MARKS_MAX: Final = 1_024
# What filters select few rows by; the other fields are compared row by row within what a tenant's partition holds.
_INDEXED: Final = frozenset({"chunk_id", "document_id", "word", "folded", "shape"})
# Milvus spreads tenants over this many partitions of a collection; 1 024 is the most.
_PARTITIONS: Final = 64
# Each is a folder of files to Milvus Lite, and takes it 60 ms to make.
_LITE_PARTITIONS: Final = 4

Fields = list[tuple[str, Any, int | None]]  # Any: the driver's own types


def chunks_of(embedder: ModelInfo) -> str:
    """Return the name of the collection of the chunks that this embedder embedded."""
    return f"rag_chunks_{_digest(embedder)}"


def tokens_of(embedder: ModelInfo) -> str:
    """Return the name of the collection of this embedder's token vectors."""
    return f"rag_tokens_{_digest(embedder)}"


def _digest(embedder: ModelInfo) -> str:
    text = f"{embedder.name}\0{embedder.revision}\0{embedder.dimension}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def make_meta(writer: MilvusWriter) -> None:
    """Make the collection of the switches, if it is not there.

    Raises: OSError.
    """
    types = load_driver().DataType
    fields = [("kind", types.VARCHAR, 16), ("tenant", types.VARCHAR, 64), ("name", types.VARCHAR, 64)]
    _make(writer, META, [*fields, ("part", types.INT64, None), ("body", types.VARCHAR, TEXT_BYTES)], key=None)


def make_words(writer: MilvusWriter) -> None:
    """Make the collection of the words, if it is not there.

    Raises: OSError.
    """
    types = load_driver().DataType
    numbers: list[tuple[str, Any, int | None]] = [
        (name, types.INT64, None) for name in ("born", "died", "word", "folded", "shape", "chunks")
    ]
    _make(writer, WORDS, [("tenant", types.VARCHAR, 64), *numbers, ("text", types.VARCHAR, TEXT_BYTES)])


def make_tokens(writer: MilvusWriter, embedder: ModelInfo) -> None:
    """Make the collection of an embedder's token vectors, if it is not there.

    Raises: OSError.
    """
    types = load_driver().DataType
    fields = [("tenant", types.VARCHAR, 64), ("chunk_id", types.VARCHAR, 256), ("part", types.INT64, None)]
    _make(writer, tokens_of(embedder), [*fields, ("body", types.VARCHAR, TEXT_BYTES)])


def make_chunks(writer: MilvusWriter, embedder: ModelInfo) -> None:
    """Make the collection of the chunks that this embedder embeds, if it is not there.

    Raises: OSError.
    """
    types = load_driver().DataType
    texts = [("tenant", 64), ("chunk_id", 256), ("document_id", 128), ("body", TEXT_BYTES)]
    fields: Fields = [(name, types.VARCHAR, length) for name, length in texts]
    fields += [(name, types.INT64, None) for name in ("born", "died", "language", "words")]
    arrays = [("groups", _MARKS_MAX), ("labels", _MARKS_MAX), ("terms", TERMS_MAX), ("counts", TERMS_MAX)]
    _make(writer, chunks_of(embedder), fields, arrays=arrays, dimension=embedder.dimension)


def _make(
    writer: MilvusWriter,
    name: str,
    fields: Fields,
    *,
    key: str | None = "tenant",
    arrays: list[tuple[str, int]] = [],  # noqa: B006 - read only
    dimension: int | None = None,
) -> None:
    if writer.has(name):
        return
    driver, client = load_driver(), writer.client
    types = driver.DataType
    schema = driver.MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("pk", types.VARCHAR, is_primary=True, max_length=512)
    for field, kind, length in fields:
        limits = {} if length is None else {"max_length": length}
        schema.add_field(field, kind, is_partition_key=field == key, **limits)
    for field, capacity in arrays:
        schema.add_field(field, types.ARRAY, element_type=types.INT64, max_capacity=capacity)
    indexes = client.prepare_index_params()
    if dimension is None:
        schema.add_field("unused", types.FLOAT_VECTOR, dim=2)
        indexes.add_index("unused", index_type="FLAT", metric_type="IP")
    else:
        schema.add_field("dense", types.FLOAT_VECTOR, dim=dimension)
        schema.add_field("sparse", types.SPARSE_FLOAT_VECTOR)
        indexes.add_index("dense", index_type="HNSW", metric_type="IP", params=_HNSW)
        indexes.add_index("sparse", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
    for field, *_ in fields:
        if field in _INDEXED:
            indexes.add_index(field, index_type="INVERTED")
    lite = is_lite(writer)
    if not lite:  # it scans arrays, and refuses an index on one
        for field in ("groups", "labels", "terms") if arrays else ():
            indexes.add_index(field, index_type="INVERTED")
    with as_os_error():
        options = {"num_partitions": _LITE_PARTITIONS if lite else _PARTITIONS} if key else {}
        try:
            client.create_collection(name, schema=schema, index_params=indexes, **options)
        except driver.MilvusException:
            if not writer.has(name):  # else a writer of another tenant made it just now
                raise


def is_lite(writer: MilvusWriter) -> bool:
    """Return whether Milvus Lite answers: made for development and tests, it does less than a cluster.

    Raises: OSError.
    """
    with as_os_error():
        return "lite" in str(writer.client.get_server_version())
