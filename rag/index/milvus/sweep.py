"""Remove what no version that serves, or served before it, needs: the rows of old versions, and of writers that died.

It runs before a change, so what a reader holds stays there until the next but one change begins.
"""

from collections.abc import Collection
from typing import Final

from rag.index.milvus.draft import blocks
from rag.index.milvus.driver import MilvusWriter
from rag.index.milvus.filters import NEVER, of_tenant, one_of
from rag.index.milvus.layout import META, WORDS

_ROWS: Final = 2_000
_IDS: Final = 500
_CHUNKS: Final = "rag_chunks_"
_TOKENS: Final = "rag_tokens_"


def sweep(writer: MilvusWriter, tenant_id: str, kept: Collection[str], *, serving: int, previous: int) -> None:
    """Keep the rows that the versions `serving` and `previous` see, and the descriptions of those that are named.

    Rows that a later, unpublished version inserted go; rows that it had marked as dying live again.

    Raises: OSError.
    """
    own = of_tenant(tenant_id)
    collections = [name for name in writer.collections() if name.startswith(_CHUNKS)]
    for collection in [*collections, WORDS]:
        _revive(writer, collection, f"{own} and died > {serving} and died < {NEVER}")
    for collection in collections:
        _remove_chunks(writer, collection, own, f"(born > {serving} or died <= {previous})")
    writer.delete(WORDS, f"{own} and (born > {serving} or died <= {previous})")
    described = writer.query(META, f'{own} and kind in ["manifest", "lengths"]', ["pk", "name"])
    for some in blocks((row["pk"] for row in described if row["name"] not in kept), _IDS):
        writer.delete(META, f"{own} and {one_of('pk', some)}")


def _revive(writer: MilvusWriter, collection: str, filter_: str) -> None:
    rows = list(writer.iterate(collection, filter_, ["pk", "tenant"], _ROWS))
    for some in blocks(({"pk": row["pk"], "tenant": row["tenant"], "died": NEVER} for row in rows), _ROWS):
        writer.upsert(collection, some, is_partial=True)


def _remove_chunks(writer: MilvusWriter, collection: str, own: str, gone: str) -> None:
    """Remove chunks, their token vectors first: those of chunks that another row still holds stay."""
    rows = list(writer.iterate(collection, f"{own} and {gone}", ["pk", "chunk_id"], _ROWS))
    tokens = collection.replace(_CHUNKS, _TOKENS)
    removed = {row["pk"] for row in rows}
    if writer.has(tokens):
        for some in blocks(sorted({row["chunk_id"] for row in rows}), _IDS):
            holding = writer.query(collection, f"{own} and {one_of('chunk_id', some)}", ["pk", "chunk_id"])
            held = {row["chunk_id"] for row in holding if row["pk"] not in removed}
            writer.delete(tokens, f"{own} and {one_of('chunk_id', sorted(set(some) - held))}")
    for some in blocks(sorted(removed), _IDS):
        writer.delete(collection, f"{own} and {one_of('pk', some)}")
