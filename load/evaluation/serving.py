"""A server for an evaluation: one that runs already, or one of its own on the index that was made for it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from load.server import running_server

# A quota says when an answer comes, not which; here it would only stretch the run.
UNLIMITED: Final = {"RAG_RATE_LIMIT_REQUESTS": "1000000000", "RAG_RATE_LIMIT_TOKENS": "1000000000000"}
# For who wants to know what answers are worth, however busy the machine is: an answer that is late is graded none the
# less. Below the patience of a client (`load.evaluation.asking`).
PATIENT: Final = {
    "RAG_REQUEST_TIMEOUT_S": "100",
    "RAG_GENERATION_TIMEOUT_S": "90",
    "RAG_RERANK_TIMEOUT_S": "20",
    "RAG_RETRIEVAL_TIMEOUT_S": "20",
    "RAG_QUEUE_TIMEOUT_S": "20",
}


@contextmanager
def serving(index_dir: Path, folder: Path, environment: Mapping[str, str], url: str | None) -> Iterator[str]:
    """Yields: the URL that is given, else that of a server on this index, which has its log in `folder`.

    Raises: ServerError: it does not become ready.
    """
    if url is not None:
        yield url
        return
    settings = {**UNLIMITED, "RAG_INDEX_DIR": str(index_dir)}
    with running_server(folder, {**environment, **settings}) as started:
        yield started.url
