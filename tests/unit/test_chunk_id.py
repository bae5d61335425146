"""Chunk ids: what ingestion writes is read back, and nothing else is an id."""

from pathlib import Path

import pytest

from rag.chunk_id import ChunkId
from rag.index.store import IndexStore
from rag.index.version import TenantIndex
from tests.unit.index_fakes import change


@pytest.mark.parametrize("number", [1, 99_999, 100_000])
def test_an_id_is_read_as_it_is_written(number: int) -> None:
    """Five digits or more."""
    chunk_id = ChunkId("demo", "hr.2026_v1-a", 12, number)

    assert ChunkId.parse(str(chunk_id)) == chunk_id


@pytest.mark.parametrize(
    "text", ["", "demo:hr:1:00001", "demo:hr:v0:00001", "demo:hr:v1:000001", "demo:hr:v1:00001\n", "a:b:c:v1:00001"]
)
def test_every_chunk_has_one_id(text: str) -> None:
    """Another spelling is not found, so that two ids never mean one chunk."""
    assert ChunkId.parse(text) is None


def test_a_chunk_is_found_with_its_neighbours(tmp_path: Path) -> None:
    """In the same document; the index of the tenant holds several."""
    index = TenantIndex(change(IndexStore(tmp_path), {"a": ["A one.", "A two.", "A three."], "b": ["B one."]}))

    for chunk in index.chunks(range(4)):
        chunk_id = ChunkId.parse(chunk.chunk_id)
        assert chunk_id is not None
        found = index.find_chunk(chunk_id)
        assert found is not None
        assert found.chunk == chunk
    middle = index.find_chunk(ChunkId("demo", "a", 1, 2))
    only = index.find_chunk(ChunkId("demo", "b", 1, 1))
    assert middle is not None
    assert only is not None
    assert (middle.previous, middle.next) == ("demo:a:v1:00001", "demo:a:v1:00003")
    assert (only.previous, only.next) == (None, None)


@pytest.mark.parametrize(
    "text", ["demo:a:v1:00000", "demo:a:v1:00003", "demo:a:v3:00001", "demo:c:v1:00001", "acme:a:v1:00001"]
)
def test_what_an_index_does_not_hold_is_not_found(tmp_path: Path, text: str) -> None:
    """Neither a number, a version, a document nor a tenant that it has not."""
    index = TenantIndex(change(IndexStore(tmp_path), {"a": ["A one.", "A two."]}))
    chunk_id = ChunkId.parse(text)

    assert chunk_id is not None
    assert index.find_chunk(chunk_id) is None


def test_the_version_before_is_gone_with_the_index_that_held_it(tmp_path: Path) -> None:
    """A changed document has new ids; one that did not change keeps its own."""
    store = IndexStore(tmp_path)
    change(store, {"a": ["A one."], "b": ["B one."]})
    index = TenantIndex(change(store, {"a": ["A other."]}))

    assert index.find_chunk(ChunkId("demo", "a", 1, 1)) is None
    assert index.find_chunk(ChunkId("demo", "a", 2, 1)) is not None
    assert index.find_chunk(ChunkId("demo", "b", 1, 1)) is not None
