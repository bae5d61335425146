"""What an index knows about its words: the language of a chunk, and the words that a typed one may stand for."""

from pathlib import Path

import pytest

from rag.index.languages import LANGUAGES_NAME
from rag.index.manifest import BrokenIndexError
from rag.index.store import IndexStore
from rag.index.update import IndexUpdate
from rag.index.version import TenantIndex
from rag.text.language import Language
from tests.unit.index_fakes import change, embed

LEAVE = "Nhân viên toàn thời gian có 12 ngày nghỉ phép năm."
RENTS = [f"The rent of the flat with number {n} is paid every month." for n in range(20)]


def texts(index: TenantIndex, k: int, language: Language | None) -> list[str]:
    found = index.search_dense(embed(RENTS[0]), k, language)
    return [chunk.text for chunk in index.chunks([ordinal for ordinal, _ in found])]


class TestSearchPerLanguage:
    """Else the chunks of the question's own language, which are nearer, would hide all others."""

    def test_a_chunk_is_found_among_many_in_the_other_language(self, tmp_path: Path) -> None:
        """Alone it has no place among the nearest."""
        index = TenantIndex(change(IndexStore(tmp_path), {"rent": RENTS, "hr": [LEAVE]}))

        assert LEAVE not in texts(index, 5, None)
        assert texts(index, 5, "vi") == [LEAVE]

    def test_languages_are_carried_to_the_next_version(self, tmp_path: Path) -> None:
        """With new chunks before them, each keeps its own."""
        store = IndexStore(tmp_path)
        change(store, {"hr": [LEAVE], "rent": RENTS})
        index = TenantIndex(change(store, {"new": ["Where is it?", "Má đi chợ."]}))

        assert sorted(texts(index, 5, "vi")) == sorted([LEAVE, "Má đi chợ."])

    def test_a_version_made_without_languages_learns_them_at_the_next_change(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing is carried over from a version that knows none."""
        store = IndexStore(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(IndexUpdate, "_write_languages", lambda *_: None)
            change(store, {"hr": [LEAVE], "rent": RENTS})
        index = TenantIndex(change(store, {"new": ["Where is it?"]}))

        assert texts(index, 5, "vi") == [LEAVE]

    def test_languages_of_another_version_are_refused(self, tmp_path: Path) -> None:
        """A file of the wrong length would name the language of other chunks."""
        stored = change(IndexStore(tmp_path), {"hr": [LEAVE]})
        (stored.folder / LANGUAGES_NAME).write_bytes(b"\x00\x01")

        with pytest.raises(BrokenIndexError):
            TenantIndex(stored)


class TestVocabulary:
    """Words as they stand in the chunks, with how many chunks hold each."""

    @pytest.fixture
    def index(self, tmp_path: Path) -> TenantIndex:
        documents = ["nghỉ phép năm", "nghỉ việc nằm viện", "the workshop", "a workshop"]
        return TenantIndex(change(IndexStore(tmp_path), {f"d{at}": [text] for at, text in enumerate(documents)}))

    def test_a_word_without_diacritics_could_be_each_that_has_them(self, index: TenantIndex) -> None:
        """Which of them was meant is for the reader of the question to say."""
        assert index.spellings("nghi") == {"nghỉ": 2}
        assert index.spellings("nam") == {"năm": 1, "nằm": 1}
        assert index.spellings("unknown") == {}

    @pytest.mark.parametrize("typed", ["workhop", "workshhop", "wokrshop"])
    def test_a_word_is_found_one_slip_away(self, index: TenantIndex, typed: str) -> None:
        """A letter left out, doubled or exchanged with its neighbour."""
        assert index.near(typed) == {"workshop": 2}

    @pytest.mark.parametrize("typed", ["wrkhop", "orkshop", "workshoq", "the", "w0rkshop"])
    def test_two_slips_are_another_word(self, index: TenantIndex, typed: str) -> None:
        """So are a wrong first or last letter, a short word and one with figures."""
        assert index.near(typed) == {}
