"""Provide a server for an evaluation: a running one, or one started on the evaluation's index."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from load.server import UNLIMITED, running_server

# For measuring what answers are worth, however busy the machine is: late answers are graded too. Below the patience of
# a client (`load.evaluation.asking`).
PATIENT: Final = {
    "RAG_REQUEST_TIMEOUT_S": "100",
    "RAG_GENERATION_TIMEOUT_S": "90",
    "RAG_RERANK_TIMEOUT_S": "20",
    "RAG_RETRIEVAL_TIMEOUT_S": "20",
    "RAG_QUEUE_TIMEOUT_S": "20",
}


@contextmanager
def serving(index_dir: Path, folder: Path, environment: Mapping[str, str], url: str | None = None) -> Iterator[str]:
    """Provide a server; `url` names one that is running already.

    Yields: its URL; else that of a new server on this index, with its log in `folder`. Raises: ServerError: it does not
    become ready.
    """
    if url is not None:
        yield url
        return
    settings = {**UNLIMITED, "RAG_INDEX_DIR": str(index_dir)}
    with running_server(folder, {**environment, **settings}) as started:
        yield started.url
