"""Read what is given for documents: groups, metadata; what a filter could not name is refused.

Here, because both doors need it: the command, and `POST /documents`.
"""

import re
from collections.abc import Iterable
from typing import Final

from rag.text.labels import GROUP_MAX_CHARS, is_label, read_label
from schemas.request import METADATA_KEY_PATTERN, METADATA_KEYS_MAX, METADATA_VALUE_MAX_CHARS, METADATA_VALUES_MAX

GROUPS_MAX: Final = 50
_KEY: Final = re.compile(METADATA_KEY_PATTERN)


class LabelError(ValueError):
    """A group, or a key or value of metadata, is not valid; the message says why."""


def read_document_groups(names: Iterable[str]) -> tuple[str, ...]:
    """Return the groups, sorted, each once.

    Raises: LabelError: a name is too long, or empty, or there are too many.
    """
    groups = sorted({read_label(name) for name in names})
    if not all(is_label(group, GROUP_MAX_CHARS) for group in groups):
        raise LabelError(f"a group has 1 to {GROUP_MAX_CHARS} characters, none of them a control character")
    if len(groups) > GROUPS_MAX:
        raise LabelError(f"a document has at most {GROUPS_MAX} groups")
    return tuple(groups)


def read_metadata(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Return the values of each key, sorted, each once; a key may be given several times.

    Raises: LabelError: a key or a value is not valid, or there are too many.
    """
    values: dict[str, set[str]] = {}
    for key, value in pairs:
        values.setdefault(key, set()).add(read_label(value))
    if not all(_KEY.fullmatch(key) for key in values):
        raise LabelError("a key of metadata has 1 to 64 characters of A-Za-z0-9._-")
    if not all(is_label(each, METADATA_VALUE_MAX_CHARS) for found in values.values() for each in found):
        limit = METADATA_VALUE_MAX_CHARS
        raise LabelError(f"a value of metadata has 1 to {limit} characters, none of them a control character")
    if len(values) > METADATA_KEYS_MAX or any(len(found) > METADATA_VALUES_MAX for found in values.values()):
        limits = f"{METADATA_KEYS_MAX} keys of metadata, and a key at most {METADATA_VALUES_MAX} values"
        raise LabelError(f"a document has at most {limits}")
    return {key: tuple(sorted(values[key])) for key in sorted(values)}
