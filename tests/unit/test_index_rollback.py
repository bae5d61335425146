"""Rolling back to the previous version: as a new version with increasing numbers, or not at all."""

import contextlib
import errno
import itertools
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rag.index.disk import Disk
from rag.index.engine import RollbackError
from rag.index.manifest import StoredVersion
from rag.index.plan import Makers
from rag.index.provider import ServedIndexes
from rag.index.store import IndexStore
from rag.index.update import update_index
from tests.unit.index_fakes import EMBEDDER, OTHER_EMBEDDER, FakeEncoder, FaultyDisk, all_chunks, change, stored_texts

GOOD_DOCUMENTS = {"hr": ["twelve days of leave", "a doctor's note"], "it": ["a laptop"]}
GOOD_TEXTS = {
    "demo:hr:v1:00001": "twelve days of leave",
    "demo:hr:v1:00002": "a doctor's note",
    "demo:it:v1:00001": "a laptop",
}
BAD_TEXTS = {
    "demo:hr:v2:00001": "no leave",
    "demo:new:v1:00001": "nonsense",
}


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    return IndexStore(tmp_path / "index")


@pytest.fixture
def versions(store: IndexStore) -> tuple[StoredVersion, StoredVersion]:
    """A good version, and the bad one that serves: a document changed, one came, one went."""
    good = change(store, GOOD_DOCUMENTS)
    return good, change(store, {"hr": ["no leave"], "new": ["nonsense"]}, drop=["it"])


def roll_back(store: IndexStore) -> StoredVersion:
    _, stored = store.rollback("demo", EMBEDDER, lambda: None)
    return stored


def flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


class SnapshotDisk(Disk):
    """Copies the index directory before each durable step: what a process leaves that is killed there."""

    def __init__(self, index_dir: Path, copies: Path) -> None:
        self.index_dir = index_dir
        self.copies = copies
        self.taken: list[Path] = []

    def _take(self) -> None:
        self.taken.append(self.copies / f"step{len(self.taken):02d}")
        shutil.copytree(self.index_dir, self.taken[-1])

    def sync(self, path: Path) -> None:
        self._take()

    def rename(self, source: Path, target: Path) -> None:
        self._take()
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self._take()
        super().remove(path)


class TestContent:
    def test_version_before_serves_again_as_the_next(
        self, store: IndexStore, versions: tuple[StoredVersion, StoredVersion]
    ) -> None:
        """Readers see a new name, as after any change; the content and its date are the old ones."""
        good, bad = versions

        restored, stored = store.rollback("demo", EMBEDDER, lambda: None)

        assert restored == good.name
        assert store.serving_name("demo") == stored.name
        assert stored.name.startswith("000003-")
        assert stored.manifest.previous == bad.name
        assert stored.manifest.built_at == good.manifest.built_at
        assert stored_texts(store) == GOOD_TEXTS

    def test_second_rollback_undoes_the_first(
        self, store: IndexStore, versions: tuple[StoredVersion, StoredVersion]
    ) -> None:
        """What was taken back by mistake is there again, byte for byte and number for number."""
        _, bad = versions
        roll_back(store)

        again = roll_back(store)

        assert stored_texts(store) == BAD_TEXTS
        assert again.manifest.files == bad.manifest.files
        assert again.manifest.document_list == bad.manifest.document_list
        assert again.manifest.removed == bad.manifest.removed

    def test_only_the_serving_version_and_the_one_before_are_kept(
        self, store: IndexStore, versions: tuple[StoredVersion, StoredVersion]
    ) -> None:
        """As after any change, so rolling back and forth does not fill the disk."""
        names = [versions[1].name, *(roll_back(store).name for _ in range(3))]

        kept = sorted(path.name for path in (store.folder("demo") / "versions").iterdir())

        assert kept == names[-2:]

    def test_emptied_index_comes_back(self, store: IndexStore) -> None:
        """Removing the last document by mistake is undone like any other change."""
        change(store, {"a": ["text"]})
        change(store, {}, drop=["a"])

        roll_back(store)

        assert stored_texts(store) == {"demo:a:v1:00001": "text"}

    def test_token_vectors_come_back(self, store: IndexStore) -> None:
        """Every file of the version, whatever it holds."""
        good = change(store, GOOD_DOCUMENTS, keeps_tokens=True)
        change(store, {"hr": ["no leave"]}, keeps_tokens=True)

        stored = roll_back(store)

        assert stored.manifest.has_tokens
        assert stored.manifest.files == good.manifest.files
        assert store.verify("demo") is not None

    def test_file_system_without_links_gets_copies(
        self, store: IndexStore, versions: tuple[StoredVersion, StoredVersion], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """SMB shares have no hard links; the content is the same, for more time and space."""

        def refuse(target: Path, source: Path) -> None:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

        monkeypatch.setattr(Path, "hardlink_to", refuse)

        roll_back(store)

        assert stored_texts(store) == GOOD_TEXTS


class TestNumbers:
    def test_no_chunk_id_ever_means_two_texts(self, tmp_path: Path) -> None:
        """Documents change, go, return and are rolled back in every order: each id keeps its first text.

        A citation in an old log or conversation names a chunk id, and must not point at words that were never cited.
        """
        store = IndexStore(tmp_path, FaultyDisk(steps=1_000_000))  # never fails, and need not flush
        texts: dict[str, str] = {}
        steps: dict[str, Callable[[str], object]] = {
            "change": lambda text: change(store, {"a": [text]}),
            "drop": lambda text: change(store, {"b": [text]}, drop=["a"]),
            "rollback": lambda _: roll_back(store),
        }
        for number, order in enumerate(itertools.product(steps, repeat=2)):
            change(store, {"a": [f"first {number}"], "b": [f"other {number}"]})
            change(store, {"a": [f"second {number}"]})
            for place, step in enumerate(("rollback", *order)):
                if step != "drop" or any(":a:" in chunk_id for chunk_id in stored_texts(store)):
                    steps[step](f"{step} {number} {place}")
                for chunk_id, text in stored_texts(store).items():
                    assert texts.setdefault(chunk_id, text) == text, (order, chunk_id)

    def test_numbers_go_on_after_the_version_that_was_taken_back(
        self, store: IndexStore, versions: tuple[StoredVersion, StoredVersion]
    ) -> None:
        """Of documents that changed, that came and that went; what is as it was is left alone."""
        roll_back(store)

        change(store, {**GOOD_DOCUMENTS, "hr": ["thirteen days"], "new": ["sense"]})

        assert stored_texts(store) == {
            "demo:hr:v3:00001": "thirteen days",
            "demo:new:v2:00001": "sense",
            "demo:it:v1:00001": "a laptop",
        }

    def test_document_that_is_removed_after_a_rollback_does_not_reuse_ids(
        self, store: IndexStore, versions: tuple[StoredVersion, StoredVersion]
    ) -> None:
        """The number that was taken back counts, not the lower one that was removed."""
        roll_back(store)
        change(store, {}, drop=["hr"])

        change(store, {"hr": ["thirteen days"]})

        assert stored_texts(store)["demo:hr:v3:00001"] == "thirteen days"


class TestRefusals:
    def test_tenant_without_index_has_nothing_to_go_back_to(self, store: IndexStore) -> None:
        """It is said, and no folder is made for a tenant that is none."""
        with pytest.raises(RollbackError, match="no index"):
            roll_back(store)

        assert store.tenants() == []

    def test_first_version_has_none_before_it(self, store: IndexStore) -> None:
        """A rollback never takes an index away."""
        change(store, GOOD_DOCUMENTS)

        with pytest.raises(RollbackError, match="no version before"):
            roll_back(store)

        assert stored_texts(store) == GOOD_TEXTS

    @pytest.mark.parametrize("damage", [flip_byte, Path.unlink])
    @pytest.mark.parametrize("name", ["chunks.jsonl", "dense.faiss", "manifest.json"])
    def test_damaged_version_is_not_put_back(
        self,
        store: IndexStore,
        versions: tuple[StoredVersion, StoredVersion],
        name: str,
        damage: Callable[[Path], None],
    ) -> None:
        """Every byte is read before anything is switched; what is wrong is named."""
        good, bad = versions
        damage(good.folder / name)

        with pytest.raises(RollbackError, match=name):
            roll_back(store)

        assert store.serving_name("demo") == bad.name
        assert stored_texts(store) == BAD_TEXTS

    def test_version_of_another_embedder_is_not_put_back(self, store: IndexStore) -> None:
        """Servers would refuse its vectors, and find no index after a restart."""
        change(store, GOOD_DOCUMENTS, embedder=OTHER_EMBEDDER)
        serving = change(store, {})

        with pytest.raises(RollbackError, match="r2, but bag-of-words r1 is set"):
            roll_back(store)

        assert store.serving_name("demo") == serving.name

    def test_version_of_the_embedder_that_is_set_is_put_back(self, store: IndexStore) -> None:
        """An ingestion under the wrong embedder is undone; that is why what serves does not matter."""
        change(store, GOOD_DOCUMENTS)
        change(store, {}, embedder=OTHER_EMBEDDER)

        roll_back(store)

        assert stored_texts(store) == GOOD_TEXTS

    @pytest.mark.parametrize("damage", [flip_byte, Path.unlink])
    def test_damaged_serving_version_can_be_left(
        self, store: IndexStore, versions: tuple[StoredVersion, StoredVersion], damage: Callable[[Path], None]
    ) -> None:
        """That is when a way back is wanted most; there is none back to the damage."""
        damage(versions[1].folder / "chunks.jsonl")

        roll_back(store)

        assert stored_texts(store) == GOOD_TEXTS
        with pytest.raises(RollbackError, match=r"chunks\.jsonl"):
            roll_back(store)

    def test_nothing_whole_leads_nowhere(
        self, store: IndexStore, versions: tuple[StoredVersion, StoredVersion]
    ) -> None:
        """One line says so, and nothing is removed: somebody may still mend it."""
        flip_byte(versions[0].folder / "dense.faiss")
        flip_byte(versions[1].folder / "manifest.json")

        with pytest.raises(RollbackError, match="manifest"):
            roll_back(store)

        assert all(version.folder.exists() for version in versions)


def spoil_manifest(store: IndexStore, serving: StoredVersion) -> None:
    flip_byte(serving.folder / "manifest.json")


def lose_manifest(store: IndexStore, serving: StoredVersion) -> None:
    (serving.folder / "manifest.json").unlink()


def lose_version(store: IndexStore, serving: StoredVersion) -> None:
    shutil.rmtree(serving.folder)


def spoil_both(store: IndexStore, serving: StoredVersion) -> None:
    spoil_manifest(store, serving)
    (store.folder("demo") / "CURRENT").write_text("nonsense")


DAMAGES = [spoil_manifest, lose_manifest, lose_version, spoil_both]


class TestDamage:
    @pytest.mark.parametrize("damage", DAMAGES)
    def test_a_serving_version_that_cannot_be_trusted_can_be_left(
        self,
        store: IndexStore,
        versions: tuple[StoredVersion, StoredVersion],
        damage: Callable[[IndexStore, StoredVersion], None],
    ) -> None:
        """The last whole version serves again under the next name; a second time it is the same."""
        good, bad = versions
        damage(store, bad)

        restored, stored = store.rollback("demo", EMBEDDER, lambda: None)
        again = roll_back(store)

        assert restored == good.name
        assert (stored.name[:7], again.name[:7]) == ("000003-", "000004-")
        assert stored_texts(store) == GOOD_TEXTS

    @pytest.mark.parametrize("damage", [*DAMAGES, lambda _, bad: flip_byte(bad.folder / "dense.faiss")])
    def test_an_update_starts_from_the_last_whole_version_and_says_so(
        self,
        store: IndexStore,
        versions: tuple[StoredVersion, StoredVersion],
        damage: Callable[[IndexStore, StoredVersion], None],
    ) -> None:
        """What came after it is lost, which `on_damage` is told; the damaged version is gone afterwards."""
        good, bad = versions
        damage(store, bad)
        told = []

        stored = change(store, {"fresh": ["new"]}, on_damage=lambda *each: told.append(each))

        ((_, base),) = told
        assert base is not None
        assert base.name == good.name
        assert stored_texts(store) == {**GOOD_TEXTS, "demo:fresh:v3:00001": "new"}
        assert stored.name.startswith("000003-")
        assert stored.manifest.previous == good.name
        assert not bad.folder.exists()

    def test_an_update_that_changes_nothing_replaces_damage(
        self, store: IndexStore, versions: tuple[StoredVersion, StoredVersion]
    ) -> None:
        """The documents are those of the last whole version: it must serve, or the tenant stays without answers."""
        spoil_manifest(store, versions[1])

        change(store, GOOD_DOCUMENTS)

        assert stored_texts(store) == GOOD_TEXTS

    def test_without_a_whole_version_an_update_starts_from_nothing(
        self, store: IndexStore, versions: tuple[StoredVersion, StoredVersion]
    ) -> None:
        """Numbers go on, though nobody can say which were given."""
        flip_byte(versions[0].folder / "chunks.jsonl")
        spoil_manifest(store, versions[1])
        told = []

        change(store, {"hr": ["all new"]}, on_damage=lambda *each: told.append(each[1]))

        assert told == [None]
        assert stored_texts(store) == {"demo:hr:v3:00001": "all new"}

    def test_nothing_to_put_leaves_damage_as_it_is(self, store: IndexStore) -> None:
        """Files that cannot be read must not end as an empty index."""
        folder = change(store, {"hr": ["text"]}).folder
        flip_byte(folder / "chunks.jsonl")

        with update_index(store, "demo", lambda: None, Makers(EMBEDDER, "c1")) as update:
            assert update.publish(FakeEncoder().encode_chunks) is None

        assert folder.exists()

    def test_ids_of_a_damaged_version_are_never_given_again(
        self, store: IndexStore, versions: tuple[StoredVersion, StoredVersion]
    ) -> None:
        """Not to documents that only the damaged version knew, and not after the way back from the way back."""
        texts = stored_texts(store)
        spoil_manifest(store, versions[1])
        roll_back(store)
        for text in ("one", "two"):
            change(store, {"new": [text], "hr": [text]})
            for chunk_id, stored in stored_texts(store).items():
                assert texts.setdefault(chunk_id, stored) == stored
            roll_back(store)


class TestCrashes:
    def test_kill_at_any_step_leaves_a_whole_version(
        self, store: IndexStore, versions: tuple[StoredVersion, StoredVersion], tmp_path: Path
    ) -> None:
        """After `kill -9` the bad version serves, or already the good one; the next change completes and tidies up."""
        disk = SnapshotDisk(tmp_path / "index", tmp_path / "copies")
        roll_back(IndexStore(tmp_path / "index", disk))
        found = []

        for index_dir in disk.taken:
            left = IndexStore(index_dir)
            found.append(stored_texts(left))
            change(left, {"hr": ["thirteen days"]})
            entries = sorted(path.name for path in left.folder("demo").iterdir())

            assert stored_texts(left)["demo:hr:v3:00001"] == "thirteen days"
            assert entries == ["CURRENT", "LOCK", "versions"]
            assert len(list((left.folder("demo") / "versions").iterdir())) == 2

        switched = found.index(GOOD_TEXTS)
        assert switched > 10
        assert found == [BAD_TEXTS] * switched + [GOOD_TEXTS] * (len(found) - switched)

    def test_full_disk_at_any_step_leaves_a_whole_version(
        self, store: IndexStore, versions: tuple[StoredVersion, StoredVersion], tmp_path: Path
    ) -> None:
        """The bad version serves on, or, where only what follows the switch failed, the good one serves."""
        found = []
        for steps in itertools.count():
            index_dir = tmp_path / f"copy{steps:02d}"
            shutil.copytree(tmp_path / "index", index_dir)
            disk = FaultyDisk(steps)
            with contextlib.suppress(OSError):
                roll_back(IndexStore(index_dir, disk))
            if disk.steps >= 0:
                break
            left = IndexStore(index_dir)
            found.append(stored_texts(left))
            assert not (left.folder("demo") / "building").exists()

        switched = found.index(GOOD_TEXTS)
        assert switched > 10
        assert found == [BAD_TEXTS] * switched + [GOOD_TEXTS] * (len(found) - switched)

    def test_rollback_waits_for_an_ingestion(self, store: IndexStore) -> None:
        """It says that it waits, and undoes what the ingestion published."""
        change(store, GOOD_DOCUMENTS)
        waiting = threading.Event()
        rollback = threading.Thread(target=lambda: store.rollback("demo", EMBEDDER, waiting.set))

        with update_index(store, "demo", lambda: None, Makers(EMBEDDER, "c1")) as update:
            rollback.start()
            assert waiting.wait(timeout=30)
            assert update.drop("hr")
            update.publish(FakeEncoder().encode_chunks)
        rollback.join()

        assert stored_texts(store) == GOOD_TEXTS


async def test_running_server_takes_it_up(
    store: IndexStore, versions: tuple[StoredVersion, StoredVersion], tmp_path: Path
) -> None:
    """Queries that run keep the version that they began with, whose files may be gone; the next get the old content."""
    served = ServedIndexes(tmp_path / "index", EMBEDDER)
    running = await served.current("demo")
    roll_back(store)
    stored = roll_back(store), roll_back(store)

    await served.refresh()
    index = await served.current("demo")

    assert running is not None
    assert sorted(chunk.text for chunk in await all_chunks(running)) == sorted(BAD_TEXTS.values())
    assert index is not None
    assert index.version.version == stored[-1].name
    assert sorted(chunk.text for chunk in await all_chunks(index)) == sorted(GOOD_TEXTS.values())
    assert served.state() == "ok"
