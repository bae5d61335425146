"""What a running server sees while ingestions change, break and replace the versions of its index."""

import asyncio
import contextlib
import logging
import os
import shutil
import threading
from pathlib import Path

import pytest

from rag.errors import IndexUnavailable
from rag.index import version
from rag.index.manifest import StoredVersion
from rag.index.provider import OF_ALL_CALLERS, ServedIndexes
from rag.index.store import IndexStore
from rag.ports import IndexProvider
from tests.unit.index_fakes import EMBEDDER, OTHER_EMBEDDER, all_chunks, change, embed

DOCUMENTS = {"hr": ["twelve days of leave"]}


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    return IndexStore(tmp_path)


@pytest.fixture
def served(tmp_path: Path) -> ServedIndexes:
    return ServedIndexes(tmp_path, EMBEDDER)


async def texts(served: ServedIndexes, tenant_id: str = "demo") -> list[str]:
    index = await served.current(tenant_id)
    if index is None:
        return []
    return sorted(chunk.text for chunk in await all_chunks(index))


def break_version(stored: StoredVersion) -> None:
    (stored.folder / "dense.faiss").write_bytes(b"cut")


async def test_version_is_opened_on_first_use(store: IndexStore, served: ServedIndexes) -> None:
    """Nothing needs to be announced; the port is all that retrieval knows."""
    change(store, DOCUMENTS)
    port: IndexProvider = served

    index = await port.current("demo", OF_ALL_CALLERS)

    assert index is not None
    assert (await index.search_lexical("leave", 5))[0][0] == "demo:hr:v1:00001"


@pytest.mark.parametrize("tenant_id", ["unknown", "..", "."])
async def test_tenant_without_index_is_none(served: ServedIndexes, tenant_id: str) -> None:
    """No index is an answer, not an error, and is seen to end as soon as there is one."""
    assert await served.current(tenant_id) is None


async def test_emptied_index_is_none(store: IndexStore, served: ServedIndexes) -> None:
    """An index whose last document was removed has nothing to search, also where it was open."""
    change(store, DOCUMENTS)
    await served.current("demo")
    change(store, {}, drop=["hr"])

    await served.refresh()

    assert await served.current("demo") is None
    assert served.state() == "ok"


async def test_first_uses_at_once_open_one_version(store: IndexStore, served: ServedIndexes) -> None:
    """Many first queries wait for the same opening."""
    change(store, DOCUMENTS)

    opened = await asyncio.gather(*(served.current("demo") for _ in range(20)))

    assert len({id(index) for index in opened}) == 1


async def test_query_that_leaves_does_not_stop_the_opening(store: IndexStore, served: ServedIndexes) -> None:
    """A client that goes away while a version is opened takes nothing from those who wait with it."""
    change(store, DOCUMENTS)
    leaving = asyncio.create_task(served.current("demo"))
    staying = asyncio.create_task(served.current("demo"))
    await asyncio.sleep(0)

    leaving.cancel()

    assert await staying is not None
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_new_version_is_taken_up(store: IndexStore, served: ServedIndexes) -> None:
    """After a refresh queries get the new version; one that runs keeps the version it began with."""
    change(store, DOCUMENTS)
    running = await served.current("demo")
    change(store, {"hr": ["thirteen days"]})
    change(store, {"it": ["a laptop"]})

    await served.refresh()

    assert await texts(served) == ["a laptop", "thirteen days"]
    assert running is not None
    assert [chunk.text for chunk in await all_chunks(running)] == ["twelve days of leave"]
    assert (await running.search_dense(embed("days of leave"), 1))[0][0] == "demo:hr:v1:00001"


async def test_queries_never_fail_while_versions_change(store: IndexStore, served: ServedIndexes) -> None:
    """Publishing, pruning and taking up run beside queries, and no query sees an error or half a version."""
    change(store, {"a": ["text 0"], "b": ["text 0"]})
    published = threading.Event()

    def publish() -> None:
        try:
            for number in range(1, 6):
                change(store, {"a": [f"text {number}"], "b": [f"text {number}"]})
        finally:
            published.set()

    writer = asyncio.create_task(asyncio.to_thread(publish))
    seen = []
    while not published.is_set():
        await served.refresh()
        seen.append(await texts(served))
    await writer
    await served.refresh()

    assert all(first == second for first, second in seen)
    assert await texts(served) == ["text 5", "text 5"]


async def test_tenant_that_appears_later_is_seen(store: IndexStore, served: ServedIndexes) -> None:
    """A server that runs answers for a tenant that was ingested after its start, whether or not it was asked before."""
    await served.refresh()
    before = await texts(served)
    change(store, DOCUMENTS)

    assert before == []
    assert await texts(served) == ["twelve days of leave"]


async def test_removed_tenant_is_gone(store: IndexStore, served: ServedIndexes) -> None:
    """Whoever deletes a tenant's folder deletes the tenant: nothing of it is answered any more."""
    change(store, DOCUMENTS)
    await served.current("demo")
    shutil.rmtree(store.folder("demo"))

    await served.refresh()

    assert await served.current("demo") is None
    assert served.versions() == {}


async def test_other_embedder_is_a_mismatch(store: IndexStore, served: ServedIndexes) -> None:
    """Vectors of another embedder are never searched, and the service is not ready."""
    change(store, DOCUMENTS, embedder=OTHER_EMBEDDER)
    await served.refresh()

    with pytest.raises(IndexUnavailable):
        await served.current("demo")
    assert served.state() == "mismatch"


async def test_broken_version_is_unavailable_and_can_be_repaired(store: IndexStore, served: ServedIndexes) -> None:
    """A damaged index is an error of its tenant until it is made anew, without a restart."""
    stored = change(store, DOCUMENTS)
    break_version(stored)
    await served.refresh()
    with pytest.raises(IndexUnavailable):
        await served.current("demo")
    broken = served.state()

    shutil.rmtree(store.folder("demo"))
    change(store, DOCUMENTS)
    await served.refresh()

    assert broken == "unreachable"
    assert served.state() == "ok"
    assert await texts(served) == ["twelve days of leave"]


async def test_message_for_the_client_has_no_path(store: IndexStore, served: ServedIndexes) -> None:
    """What a client reads says nothing of files; the cause stays behind for the log."""
    break_version(change(store, DOCUMENTS))

    with pytest.raises(IndexUnavailable) as caught:
        await served.current("demo")

    assert "dense" not in caught.value.message
    assert "dense" in str(caught.value.__cause__)


async def test_one_broken_tenant_stops_no_other(store: IndexStore, served: ServedIndexes) -> None:
    """A damaged index is its tenant's trouble; the service stays ready for the rest."""
    break_version(change(store, DOCUMENTS, tenant_id="broken"))
    change(store, DOCUMENTS, tenant_id="whole")

    await served.refresh()

    assert served.state() == "ok"
    assert await texts(served, "whole") == ["twelve days of leave"]


@pytest.mark.parametrize("fault", ["broken", "other embedder"])
async def test_version_that_cannot_serve_leaves_the_old_one_serving(
    store: IndexStore, served: ServedIndexes, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    """The old version goes on answering, and one warning says why, however often it is looked at."""
    change(store, DOCUMENTS)
    await served.current("demo")
    if fault == "broken":
        break_version(change(store, {"hr": ["new text"]}))
    else:
        change(store, {"hr": ["new text"]}, embedder=OTHER_EMBEDDER)

    for _ in range(3):
        await served.refresh()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]

    assert await texts(served) == ["twelve days of leave"]
    assert served.state() == "ok"
    assert warnings == ["index_version_refused"]


async def test_states_before_and_after_the_first_look(store: IndexStore, served: ServedIndexes) -> None:
    """Until the directory was looked at once, nobody can say that the index is fine."""
    before = served.state()

    await served.refresh()

    assert (before, served.state()) == ("loading", "ok")


async def test_versions_name_what_serves(store: IndexStore, served: ServedIndexes) -> None:
    """Every tenant on disk, opened or not, or only those that the caller may read."""
    first = change(store, DOCUMENTS, tenant_id="a")
    change(store, DOCUMENTS, tenant_id="b")
    await served.current("a")
    await served.refresh()

    assert served.versions(["a", "unknown"]) == {"a": first.summary}
    assert list(served.versions()) == ["a", "b"]


async def test_a_version_that_makes_a_library_fail_is_a_broken_one(
    store: IndexStore, served: ServedIndexes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is raised over damaged bytes: the tenant is NOT_READY, and the others are looked at."""
    change(store, DOCUMENTS)
    change(store, DOCUMENTS, tenant_id="other")
    opened = await served.current("demo")
    change(store, {"hr": ["no leave"]})

    def fail(*_: object) -> None:
        raise RuntimeError("faiss has seen something")

    monkeypatch.setattr("rag.index.segments.DenseIndex.load", fail)
    await served.refresh()

    assert opened is await served.current("demo")  # which serves on
    assert served.versions().keys() == {"demo", "other"}
    with pytest.raises(IndexUnavailable):
        await served.current("other")


async def test_watch_looks_at_once_and_ends_when_cancelled(store: IndexStore, served: ServedIndexes) -> None:
    """The task that runs beside the server needs no first call of `refresh`."""
    change(store, DOCUMENTS)
    watch = asyncio.create_task(served.watch())

    while served.state() == "loading":  # noqa: ASYNC110  # an event would be there for this test alone
        await asyncio.sleep(0)
    watch.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watch

    assert list(served.versions()) == ["demo"]


@pytest.fixture
def watchful(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time passes between two looks at the files."""
    monkeypatch.setattr(version, "TRUSTED_S", 0)


@pytest.mark.usefixtures("watchful")
async def test_a_file_cut_short_while_it_is_open_is_noticed(store: IndexStore, served: ServedIndexes) -> None:
    """To read what is mapped of it would end the process; the tenant is refused, and served again once it is mended."""
    change(store, DOCUMENTS)
    assert await texts(served) == ["twelve days of leave"]
    path = next(store.folder("demo").rglob("chunks.jsonl"))
    content = path.read_bytes()
    os.truncate(path, 0)

    with pytest.raises(IndexUnavailable):
        await served.current("demo")
    await served.refresh()
    assert served.state() == "unreachable"

    path.write_bytes(content)
    await served.refresh()
    assert await texts(served) == ["twelve days of leave"]
    assert served.state() == "ok"


@pytest.mark.usefixtures("watchful")
async def test_a_cut_is_noticed_without_a_query(
    store: IndexStore, served: ServedIndexes, caplog: pytest.LogCaptureFixture
) -> None:
    """Readiness and the log say so within a second."""
    change(store, DOCUMENTS)
    await served.open_all()
    os.truncate(next(store.folder("demo").rglob("dense.faiss")), 8)

    await served.refresh()

    assert served.state() == "unreachable"
    assert [record.message for record in caplog.records] == ["index_version_refused"]
