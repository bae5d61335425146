"""What is asked of an embedder's servers: texts of two lengths, one or 32 in a request, by 1, 8 and 32 clients."""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from load.bench.mixed_texts import draw_sized

Length = Literal["short", "long"]

# Numbers of words: a question; a passage as those of the example documents, about 90 tokens.
WORDS: Final[Mapping[Length, tuple[int, int]]] = {"short": (7, 14), "long": (45, 65)}
CLIENTS: Final = (1, 8, 32)
BATCHES: Final = (1, 32)
# Texts of a round: enough for some seconds; there is a request for each client at the least.
_TEXTS: Final[Mapping[Length, int]] = {"short": 128, "long": 48}
# No text is asked twice in a round: a cache would answer. Across rounds it may be: none of the servers has one.
_POOL: Final = 1024


@dataclass(frozen=True, slots=True)
class Cell:
    """One row of the table."""

    length: Length
    clients: int
    batch: int

    @property
    def requests(self) -> int:
        """How many requests make a round."""
        return max(2, self.clients, _TEXTS[self.length] // self.batch)

    def __str__(self) -> str:
        texts = f"{self.batch} texts" if self.batch > 1 else "one text"
        return f"{self.length}, {texts}, {self.clients}"


CELLS: Final = tuple(Cell(length, clients, batch) for length in WORDS for batch in BATCHES for clients in CLIENTS)


@dataclass(frozen=True, slots=True)
class Wire:
    """How one server is asked, and where its vectors are in its answer."""

    path: str
    write: Callable[[Sequence[str]], Mapping[str, Any]]  # Any: JSON
    read: Callable[[Any], list[list[float]]]


# Ours puts `passage: ` before each text itself; the others get it from who asks.
OURS: Final = Wire("/embed", lambda texts: {"texts": texts}, lambda told: told)
PREFIXED: Final = Wire("/embed", lambda texts: {"texts": [f"passage: {text}" for text in texts]}, lambda told: told)
OPENAI: Final = Wire(
    "/embeddings",
    lambda texts: {"model": "embedder", "input": [f"passage: {text}" for text in texts]},
    lambda told: [each["embedding"] for each in told["data"]],
)


class Texts:
    """Requests of new texts, the same for each server of a round."""

    def __init__(self) -> None:
        self._left: dict[Length, Iterator[str]] = {
            length: itertools.cycle(dict.fromkeys(draw_sized(_POOL, size))) for length, size in WORDS.items()
        }

    def deal(self, cell: Cell) -> list[list[str]]:
        """Return the texts of a round, by request."""
        left = self._left[cell.length]
        return [list(itertools.islice(left, cell.batch)) for _ in range(cell.requests)]


def write_bodies(wire: Wire, requests: Sequence[Sequence[str]]) -> list[bytes]:
    """Return the bodies as this server wants them."""
    return [json.dumps(wire.write(texts)).encode() for texts in requests]
