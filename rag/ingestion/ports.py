"""Define what the ingestion needs of others: an embedder, a reader of files, and somebody who is told."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from rag.ports import TokenCounter
from rag.types import Document, EncodedTexts


class PassageEncoder(TokenCounter, Protocol):
    """The embedder, in this process."""

    @property
    def limit_tokens(self) -> int: ...

    def read_passages(self, texts: Sequence[str], on_batch: Callable[[int], None] | None = None) -> EncodedTexts:
        """Return the vectors of the texts and of their tokens, in order; `on_batch` gets the number newly done."""
        ...


class DocumentReader(Protocol):
    """Turns files into documents, one after the other."""

    def read(self, path: Path) -> Document:
        """Raises: ParseError: the file cannot become a document."""
        ...


class Watcher(Protocol):
    """Receives the messages and the progress of the command."""

    def tell(self, line: str) -> None: ...

    def measure(self, what: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        """Show the progress of one step.

        Yields: a function to call with the number of items newly done, out of the total.
        """
        ...
