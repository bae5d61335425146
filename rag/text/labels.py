"""Read the names of groups, and the values of metadata: what is compared is what a person sees.

The same letter with a diacritic can be encoded in two ways, and a name that was copied often brings a space with it.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

GROUP_MAX_CHARS: Final = 128
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def read_label(text: str) -> str:
    """Return the text in NFC, without white space around it."""
    return unicodedata.normalize("NFC", text).strip()


def is_label(text: str, max_chars: int) -> bool:
    """Return whether the text, as `read_label` returns it, is a valid name or value: short, and nothing invisible."""
    return 0 < len(text) <= max_chars and not _CONTROL.search(text)


def read_groups(texts: Iterable[str]) -> frozenset[str]:
    """Return the groups that a document can have; other names grant nothing and are left out."""
    return frozenset(label for label in map(read_label, texts) if is_label(label, GROUP_MAX_CHARS))
