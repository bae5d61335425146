"""How versions are published, kept, locked, and checked for damage."""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rag.index.manifest import BrokenIndexError
from rag.index.plan import Makers
from rag.index.store import IndexStore, folder_name, tenant_of
from rag.index.update import update_index
from rag.index.version import TenantIndex
from rag.types import Span
from tests.unit.index_crash_child import NEW_DOCUMENTS
from tests.unit.index_fakes import EMBEDDER, OTHER_EMBEDDER, FakeEncoder, FaultyDisk, change, stored_texts

OLD_DOCUMENTS = {"old": ["first text", "second text"], "kept": ["kept text"]}
OLD_TEXTS = {
    "demo:old:v1:00001": "first text",
    "demo:old:v1:00002": "second text",
    "demo:kept:v1:00001": "kept text",
}
NEW_TEXTS = {
    "demo:old:v2:00001": "changed text",
    "demo:new:v1:00001": "one",
    "demo:new:v1:00002": "two",
    "demo:kept:v1:00001": "kept text",
}
MORE_STEPS_THAN_A_CHANGE_HAS = 40


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    return IndexStore(tmp_path / "index")


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


class TestTenants:
    @pytest.mark.parametrize("tenant_id", [".", "..", "a..b", "-", "_", "CURRENT", "Acme", "acme", "x" * 64, "A" * 64])
    def test_every_valid_id_has_a_folder_of_its_own(self, store: IndexStore, tenant_id: str) -> None:
        """`.` and `..` are valid ids; they lead neither out of the index directory nor into a neighbour."""
        folder = store.folder(tenant_id)

        assert folder.resolve().parent == store.folder("demo").resolve().parent
        assert tenant_of(folder.name) == tenant_id

    def test_ids_that_differ_in_case_stay_apart_where_file_names_do_not(self) -> None:
        """Some file systems ignore case; two tenants must never share a folder."""
        assert folder_name("Acme").lower() != folder_name("acme").lower()

    @pytest.mark.parametrize("tenant_id", ["", "a/b", "x" * 65, "é", "a\n", "a=b", "a\0"])
    def test_other_ids_are_refused(self, tenant_id: str) -> None:
        """What is no tenant becomes no path."""
        with pytest.raises(ValueError, match="64"):
            folder_name(tenant_id)

    def test_tenants_on_disk_are_listed(self, store: IndexStore, tmp_path: Path) -> None:
        """All who have a folder; other things in the directory are nobody's."""
        change(store, {"a": ["x"]}, tenant_id="Acme")
        change(store, {"a": ["x"]}, tenant_id="..")
        (tmp_path / "index" / "lost+found").mkdir()

        assert store.tenants() == ["..", "Acme"]

    def test_missing_directory_has_no_tenants(self, tmp_path: Path) -> None:
        """A server may start before the first ingestion."""
        assert IndexStore(tmp_path / "nowhere").tenants() == []

    def test_all_that_a_tenant_has_is_in_its_folder(self, store: IndexStore, tmp_path: Path) -> None:
        """Removing one folder removes one tenant, and nothing of another."""
        change(store, {"a": ["mine"]}, tenant_id="one")
        change(store, {"a": ["yours"]}, tenant_id="two")

        shutil.rmtree(store.folder("one"))

        assert sorted(path.name for path in (tmp_path / "index").iterdir()) == ["tenant-two"]
        assert stored_texts(store, "two") == {"two:a:v1:00001": "yours"}


class TestVersions:
    def test_manifest_says_what_the_version_is(self, store: IndexStore) -> None:
        """Embedder, chunker, counts, documents, and size and digest of every file."""
        stored = change(store, OLD_DOCUMENTS)

        manifest = json.loads((stored.folder / "manifest.json").read_text())

        assert manifest["embedder"] == {"name": "bag-of-words", "revision": "r1", "dimension": 32}
        assert (manifest["chunker_version"], manifest["documents"], manifest["chunks"]) == ("c1", 2, 3)
        assert manifest["dense"] == {"kind": "flat", "lists": 1, "probes": 1, "recall_at_10": 1.0}
        assert [entry["document_id"] for entry in manifest["document_list"]] == ["old", "kept"]
        assert [seal["name"] for seal in manifest["files"]] + ["manifest.json"] == files_below(stored.folder)
        assert manifest["built_at"].endswith("Z")

    @pytest.mark.parametrize(("kind", "graph_max_chunks"), [("ivf", 0), ("hnsw", 1_000)])
    def test_approximate_version_records_its_recall(self, store: IndexStore, kind: str, graph_max_chunks: int) -> None:
        """Above the limit the manifest holds the recall that was measured, and the version answers."""
        texts = [f"topic{number % 8} word{number} topic{number % 8} topic{number % 8}" for number in range(400)]

        stored = change(store, {"big": texts}, exact_max_chunks=300, graph_max_chunks=graph_max_chunks)

        assert stored.manifest.dense is not None
        assert stored.manifest.dense.kind == kind
        assert stored.manifest.dense.recall_at_10 >= 0.98
        assert len(TenantIndex(stored).search_dense(FakeEncoder().encode_passages([texts[7]])[0], 10)) == 10

    def test_changed_document_gets_the_next_version(self, store: IndexStore) -> None:
        """A chunk id never means two texts, so a changed document has new ids; the others keep theirs."""
        change(store, OLD_DOCUMENTS)

        change(store, NEW_DOCUMENTS)

        assert stored_texts(store) == NEW_TEXTS

    def test_returning_document_does_not_reuse_ids(self, store: IndexStore) -> None:
        """Numbers go on where the removed document stopped, even after several other changes."""
        change(store, {"a": ["one"], "b": ["b"]})
        change(store, {"a": ["two"]})
        change(store, {}, drop=["a"])
        change(store, {"c": ["c"]})

        change(store, {"a": ["one"]})

        assert stored_texts(store)["demo:a:v3:00001"] == "one"

    def test_only_new_chunks_are_embedded(self, store: IndexStore) -> None:
        """Adding a document embeds that document; the others' vectors are carried over bit for bit."""
        before = TenantIndex(change(store, OLD_DOCUMENTS)).dense.vectors(2, 1)
        encoder = FakeEncoder()

        stored = change(store, NEW_DOCUMENTS, encoder=encoder)

        assert encoder.encoded == ["changed text", "one", "two"]
        assert (TenantIndex(stored).dense.vectors(3, 1) == before).all()

    def test_nothing_new_makes_no_version(self, store: IndexStore) -> None:
        """The same documents again cost neither an embedding nor a version."""
        first = change(store, OLD_DOCUMENTS)
        encoder = FakeEncoder()

        again = change(store, OLD_DOCUMENTS, encoder=encoder)

        assert again.name == first.name
        assert encoder.encoded == []

    def test_another_embedder_embeds_everything_from_the_stored_text(self, store: IndexStore) -> None:
        """Vectors of two embedders never stand in one index; ids and texts stay."""
        change(store, OLD_DOCUMENTS)
        encoder = FakeEncoder(OTHER_EMBEDDER.dimension)

        stored = change(store, {}, embedder=OTHER_EMBEDDER, encoder=encoder)

        assert sorted(encoder.encoded) == sorted(OLD_TEXTS.values())
        assert stored.manifest.embedder == OTHER_EMBEDDER
        assert stored_texts(store) == OLD_TEXTS

    def test_another_chunker_cuts_only_what_is_given(self, store: IndexStore) -> None:
        """Documents that are not at hand keep their chunks."""
        change(store, OLD_DOCUMENTS)

        stored = change(store, {"kept": ["kept text"]}, chunker_version="c2")

        assert {entry.document_id: entry.chunker_version for entry in stored.manifest.document_list} == {
            "kept": "c2",
            "old": "c1",
        }
        assert set(stored_texts(store)) == {"demo:kept:v2:00001", "demo:old:v1:00001", "demo:old:v1:00002"}

    def test_last_document_can_be_removed(self, store: IndexStore) -> None:
        """An index without documents is a version like any other, and grows again."""
        change(store, {"a": ["text"]})

        emptied = change(store, {}, drop=["a"])
        change(store, {"b": ["text"]}, embedder=OTHER_EMBEDDER)

        assert (emptied.manifest.documents, emptied.manifest.chunks) == (0, 0)
        assert stored_texts(store) == {"demo:b:v1:00001": "text"}

    def test_serving_version_and_the_one_before_are_kept(self, store: IndexStore) -> None:
        """Older ones are pruned, so the disk does not fill; the one before is there to go back to."""
        names = [change(store, {"a": [f"text {number}"]}).name for number in range(4)]

        kept = sorted(path.name for path in (store.folder("demo") / "versions").iterdir())

        assert kept == names[-2:]
        assert store.serving_name("demo") == names[-1]

    def test_open_version_outlives_its_files(self, store: IndexStore) -> None:
        """A query that began on a version ends on it, though it was pruned meanwhile."""
        index = TenantIndex(change(store, OLD_DOCUMENTS))
        expected = index.search_lexical("second", 1), index.chunks([1])

        for number in range(3):
            change(store, {"old": [f"text {number}"]})

        assert (index.search_lexical("second", 1), index.chunks([1])) == expected
        assert index.search_dense(FakeEncoder().encode_passages(["second text"])[0], 1)[0][0] == 1


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Index directories after `kill -9` at each step: of the first version of an index, and of the second."""
    groups = {}
    for group in ("first", "second"):
        root = tmp_path_factory.mktemp(group)
        groups[group] = [root / f"step{step:02d}" for step in range(MORE_STEPS_THAN_A_CHANGE_HAS)]
    change(IndexStore(groups["second"][0]), OLD_DOCUMENTS)
    for folder in groups["second"][1:]:
        shutil.copytree(groups["second"][0], folder)
    ended = subprocess.run(
        [sys.executable, "-m", "tests.unit.index_crash_child", *groups["first"], "--", *groups["second"]],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=True,
    )
    deaths = map(int, ended.stdout.split())
    return {group: folders[:count] for (group, folders), count in zip(groups.items(), deaths, strict=True)}


class TestCrashes:
    @pytest.mark.parametrize(("group", "old_texts"), [("first", {}), ("second", OLD_TEXTS)])
    def test_kill_at_any_step_leaves_a_whole_version(
        self, killed: dict[str, list[Path]], group: str, old_texts: dict[str, str]
    ) -> None:
        """After `kill -9` the old version serves, or already the new one; the next run completes and tidies up."""
        assert len(killed[group]) > 10
        for folder in killed[group]:
            store = IndexStore(folder)
            left = stored_texts(store)
            change(store, NEW_DOCUMENTS)
            completed = stored_texts(store)
            entries = sorted(path.name for path in store.folder("demo").iterdir())
            versions = list((store.folder("demo") / "versions").iterdir())

            assert left in (old_texts, completed)
            assert set(completed.values()) >= {"changed text", "one", "two"}
            assert entries == ["CURRENT", "LOCK", "versions"]
            assert len(versions) == (2 if old_texts else 1)

    @pytest.mark.parametrize("steps", [0, 4, 8, 11, 12, 13, 14])
    def test_full_disk_leaves_the_old_version(self, store: IndexStore, tmp_path: Path, steps: int) -> None:
        """No space at any step before the switch: the old version serves, and what was begun is gone."""
        change(store, OLD_DOCUMENTS)

        with pytest.raises(OSError, match="No space left"):
            change(IndexStore(tmp_path / "index", FaultyDisk(steps)), NEW_DOCUMENTS)

        assert stored_texts(store) == OLD_TEXTS
        assert not (store.folder("demo") / "building").exists()

    def test_failing_encoder_leaves_the_old_version(self, store: IndexStore) -> None:
        """Whatever stops an update before it is published stops it without a trace."""

        class FailingEncoder(FakeEncoder):
            def encode_passages(self, texts: object, on_batch: object = None) -> object:  # type: ignore[override]
                raise KeyboardInterrupt

        change(store, OLD_DOCUMENTS)

        with pytest.raises(KeyboardInterrupt):
            change(store, NEW_DOCUMENTS, encoder=FailingEncoder())

        assert stored_texts(store) == OLD_TEXTS
        assert not (store.folder("demo") / "building").exists()

    def test_second_writer_waits_for_the_first(self, store: IndexStore) -> None:
        """Two ingestions of one tenant follow each other; the second says that it waits, and loses nothing."""
        waiting = threading.Event()
        second = threading.Thread(target=lambda: change(store, {"second": ["two"]}, on_wait=waiting.set))

        with update_index(store, "demo", lambda: None, Makers(EMBEDDER, "c1")) as update:
            second.start()
            assert waiting.wait(timeout=30)
            update.put("first", "First", [Span("one", 0, 3, None, None, None)], "digest")
            update.publish(FakeEncoder().encode_chunks)
        second.join()

        assert stored_texts(store) == {"demo:second:v1:00001": "two", "demo:first:v1:00001": "one"}

    def test_lock_is_free_after_a_failure(self, store: IndexStore) -> None:
        """A failed ingestion keeps nobody out."""
        with contextlib.suppress(RuntimeError), store.exclusive("demo", lambda: None):
            raise RuntimeError

        with (store.folder("demo") / "LOCK").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


class TestDamage:
    @pytest.mark.parametrize("damage", [flip_byte, cut, Path.unlink])
    @pytest.mark.parametrize(
        "name", ["dense.faiss", "chunks.jsonl", "chunks.offsets.npy", "lexical/vocab.index.json", "manifest.json"]
    )
    def test_damaged_file_is_named(self, store: IndexStore, name: str, damage: Callable[[Path], None]) -> None:
        """Every byte counts: a file that is not what was sealed is named by the check."""
        damage(change(store, OLD_DOCUMENTS).folder / name)

        with pytest.raises(BrokenIndexError, match=name):
            store.verify("demo")

    @pytest.mark.parametrize("damage", [cut, Path.unlink])
    def test_missing_or_cut_file_is_noticed_without_reading_it(
        self, store: IndexStore, damage: Callable[[Path], None]
    ) -> None:
        """Sizes are compared whenever a version is opened: a cut file that is mapped would end the process."""
        damage(change(store, OLD_DOCUMENTS).folder / "dense.faiss")

        with pytest.raises(BrokenIndexError, match="dense"):
            store.current("demo")

    def test_all_problems_are_named_at_once(self, store: IndexStore) -> None:
        """Whoever repairs sees everything in one run."""
        folder = change(store, OLD_DOCUMENTS).folder
        flip_byte(folder / "dense.faiss")
        flip_byte(folder / "chunks.jsonl")
        (folder / "stray").touch()

        with pytest.raises(BrokenIndexError) as caught:
            store.verify("demo")

        assert len(caught.value.problems) == 3

    @pytest.mark.parametrize("content", [b"", b"../../etc", b"000001", b"\xff\xfe", b"000001-00000000"])
    def test_current_that_names_no_version_is_damage(self, store: IndexStore, content: bytes) -> None:
        """It leads to no other path, and is not taken for an empty index."""
        change(store, OLD_DOCUMENTS)
        (store.folder("demo") / "CURRENT").write_bytes(content)

        with pytest.raises(BrokenIndexError):
            store.current("demo")

    def test_damage_is_not_sealed_into_the_next_version(self, store: IndexStore) -> None:
        """An update reads all that it carries over; what cannot be trusted is not carried, and taking away refuses."""
        first = change(store, OLD_DOCUMENTS)
        flip_byte(first.folder / "chunks.jsonl")

        with (
            pytest.raises(BrokenIndexError, match="chunks"),
            update_index(store, "demo", lambda: None) as update,
        ):
            update.drop("hr")
        assert first.folder.exists()

        change(store, {"fresh": ["new"]})
        assert list(stored_texts(store).values()) == ["new"]

    def test_an_index_is_its_users_alone(self, tmp_path: Path) -> None:
        """Folders 0700 and files 0600 whatever the umask is, those that older code left open too."""
        store = IndexStore(tmp_path / "made" / "index")
        before = os.umask(0)
        try:
            change(store, OLD_DOCUMENTS, keeps_tokens=True)
            (store.folder("demo") / "LOCK").chmod(0o644)
            store.folder("demo").chmod(0o755)
            change(store, {"fresh": ["new"]}, keeps_tokens=True)
            store.rollback("demo", EMBEDDER, lambda: None)
        finally:
            os.umask(before)

        modes = {path: path.stat().st_mode & 0o777 for path in [tmp_path / "made", *(tmp_path / "made").rglob("*")]}
        assert len(modes) > 20
        assert modes == {path: 0o700 if path.is_dir() else 0o600 for path in modes}

    def test_version_that_is_pruned_while_it_is_read_is_read_anew(self, store: IndexStore) -> None:
        """Readers take no lock; who loses a version to the pruning gets the one that serves now."""
        change(store, OLD_DOCUMENTS)
        opened = []

        def open_slowly(stored: object) -> TenantIndex:
            opened.append(stored)
            if len(opened) == 1:
                for number in range(2):
                    change(store, {"old": [f"text {number}"]})
            return TenantIndex(stored)  # type: ignore[arg-type]

        index = store.read("demo", open_slowly)

        assert index is not None
        assert index.version.version == store.serving_name("demo")
