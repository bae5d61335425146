"""Which engine keeps the indexes is said by a setting, and checked before the service starts."""

from pathlib import Path

import pytest

from rag.config.environment import SettingsError, load_settings
from rag.config.settings import INDEX_SCHEMES
from rag.index.opening import SCHEMES, open_engine
from tests.index_engines import put_all

SECRET = "s3cret"


def test_without_a_url_the_indexes_are_files(tmp_path: Path) -> None:
    """In the folder of the settings; a URL of a folder, with its escapes, names another one."""
    put_all(open_engine(None, tmp_path / "a b"), {"hr": ["leave"]})

    assert load_settings({}).secret_index_url is None
    assert open_engine(f"file://{tmp_path}/a%20b", tmp_path / "other").tenants() == ["demo"]


def test_an_unknown_engine_is_refused_without_showing_the_url() -> None:
    """At start, and where an engine is opened; its URL may hold a password."""
    url = f"unknown://user:{SECRET}@host/index"
    with pytest.raises(SettingsError, match="RAG_INDEX_URL: must be a URL that begins with file:") as refused:
        load_settings({"RAG_INDEX_URL": url})
    with pytest.raises(ValueError, match="unknown:") as unknown:
        open_engine(url, Path("any"))

    assert SECRET not in str(refused.value) + str(unknown.value)


def test_a_url_is_a_secret_and_no_part_of_an_answer() -> None:
    """Neither shown with the settings, nor told apart in `model_version`."""
    settings = load_settings({"RAG_INDEX_URL": f"file:///{SECRET}"})

    assert SECRET not in repr(settings)
    assert "index_url" not in settings.answer_settings()


def test_the_settings_know_what_can_be_opened() -> None:
    """A scheme that only one of both knows would stop the start too late, or never start."""
    assert set(INDEX_SCHEMES) == SCHEMES
