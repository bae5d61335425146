"""Write the filters of queries: numbers, and ids of a safe form, never a text that a person wrote.

Groups, values of metadata and words are compared by their numbers (`rag.index.milvus.words.number_of`), so no filter
can be built by what a document or a question says.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final

from rag.index.milvus.words import number_of
from rag.text.labels import read_label
from rag.types import Scope

# A row that no change has marked as dying.
NEVER: Final = 2**62
# In the groups of a chunk whose document has none.
OPEN: Final = 0
_SAFE: Final = re.compile(r"[A-Za-z0-9._:@/=-]*")


def quote(text: str) -> str:
    """Return the literal of an id.

    Raises: ValueError: it holds what an id cannot.
    """
    if not _SAFE.fullmatch(text):
        raise ValueError("not an id")
    return f'"{text}"'


def one_of(field: str, texts: Iterable[str]) -> str:
    """Return the filter for rows with one of these ids."""
    return f"{field} in [{', '.join(map(quote, texts))}]"


def any_number(field: str, numbers: Iterable[int]) -> str:
    """Return the filter for rows with one of these numbers."""
    return f"{field} in [{', '.join(map(str, numbers))}]"


def of_tenant(tenant_id: str) -> str:
    """Return the filter for the rows of a tenant; every filter begins with it."""
    return f"tenant == {quote(tenant_id)}"


def seen_at(tenant_id: str, number: int) -> str:
    """Return the filter for the rows that the version of this number sees."""
    return f"{of_tenant(tenant_id)} and born <= {number} and died > {number}"


def group_number(group: str) -> int:
    """Return the number of a group; never that of `OPEN`."""
    return number_of(f"group\0{read_label(group)}") or 1


def label_number(key: str, value: str) -> int:
    """Return the number of one value of metadata."""
    return number_of(f"label\0{read_label(key)}\0{read_label(value)}")


def admitted(scope: Scope, known_ids: Collection[str]) -> str:
    """Return the filter for the chunks that a scope admits, to follow another; ids that are not known are left out."""
    groups = ", ".join(map(str, [OPEN, *sorted(map(group_number, scope.groups))]))
    parts = [f"array_contains_any(groups, [{groups}])"]
    if scope.document_ids is not None:
        parts.append(one_of("document_id", sorted(scope.document_ids.intersection(known_ids))))
    for key, values in sorted(scope.metadata.items()):
        numbers = ", ".join(str(label_number(key, value)) for value in sorted(values))
        parts.append(f"array_contains_any(labels, [{numbers}])")
    return "".join(f" and {part}" for part in parts)
