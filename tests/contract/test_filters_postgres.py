"""Filters and groups at every door once more, over an index in PostgreSQL: what is hidden is hidden there too."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rag.engines.fake import FakeEncoder
from rag.index.postgres.engine import PostgresEngine
from rag.index.postgres.server import DatabaseServer
from tests.contract.test_filters import (
    ingest,
    test_a_hidden_chunk_is_not_found,
    test_a_response_shows_the_documents_of_the_callers_groups,
    test_a_response_shows_what_the_filters_admit,
    test_an_answer_cites_the_documents_of_the_callers_groups,
    test_nothing_in_sight_is_no_answer,
    test_the_size_of_an_index_is_that_of_what_the_caller_sees,
    test_words_of_hidden_documents_are_unknown,
)
from tests.postgres import FRONT, shared_postgres

# The same functions, which find the fixture of this module.
__all__ = [
    "test_a_hidden_chunk_is_not_found",
    "test_a_response_shows_the_documents_of_the_callers_groups",
    "test_a_response_shows_what_the_filters_admit",
    "test_an_answer_cites_the_documents_of_the_callers_groups",
    "test_nothing_in_sight_is_no_answer",
    "test_the_size_of_an_index_is_that_of_what_the_caller_sees",
    "test_words_of_hidden_documents_are_unknown",
]


@pytest.fixture(scope="module")
def front_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The database of two tenants, as the command fills it, for a role that only reads."""
    server = shared_postgres()
    database = server.make_empty_database()
    ingest(PostgresEngine(server.url(database)), Path(tmp_path_factory.mktemp("filters")))
    return server.url(database, FRONT)


@pytest.fixture
async def indexes(front_url: str) -> AsyncIterator[DatabaseServer]:
    served = PostgresEngine(front_url).serve(FakeEncoder.info)
    yield served
    await served.aclose()
