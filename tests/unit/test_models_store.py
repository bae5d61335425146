"""The set-up's models in the Model Store: what `python -m rag.models` puts there can be used by who runs the image."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import bentoml
import pytest
from bentoml._internal.configuration.containers import BentoMLContainer

from rag.models.__main__ import LocalModel, import_model

# BentoML's own, of a package that has moved on.
pytestmark = pytest.mark.filterwarnings("ignore:GitWildMatchPattern")

TAG: Final = "rag-readable-by-all:test"


class Wheel(LocalModel):
    """One that needs no wheel."""

    def locate(self) -> Path:
        return Path(__file__)


def export(source: Path, folder: Path) -> None:
    """As exporters do: some write for themselves alone, and into folders."""
    (folder / "graph").mkdir(mode=0o700)
    for path in (folder / "weights", folder / "graph" / "weights"):
        path.write_bytes(source.read_bytes())
        path.chmod(0o600)


@pytest.fixture
def imported(tmp_path: Path) -> Iterator[Path]:
    """The model in a store of the test's own."""
    BentoMLContainer.bentoml_home.set(str(tmp_path))
    try:
        import_model(Wheel(TAG, "test", "", "", export))
        yield Path(bentoml.models.get(TAG).path)
    finally:
        BentoMLContainer.bentoml_home.reset()


def find_closed(folder: Path) -> list[Path]:
    """What other users cannot read."""
    rights = {path: path.stat().st_mode & 0o007 for path in (folder, *folder.rglob("*"))}
    return [path for path, right in rights.items() if right != (0o5 if path.is_dir() else 0o4)]


def test_every_user_can_read_a_model(imported: Path) -> None:
    """The image keeps the rights of the files that it copies, and a pod runs as a user of its own."""
    assert {each.name for each in imported.rglob("*")} >= {"weights", "graph"}
    assert find_closed(imported) == []


def test_a_model_of_an_earlier_set_up_is_opened_too(imported: Path) -> None:
    """It is not imported again, and was its maker's alone."""
    imported.chmod(0o700)

    assert import_model(Wheel(TAG, "test", "", "", export)) is False
    assert find_closed(imported) == []
