"""Name documents after their files, in the contract's alphabet, so that two names stay two documents.

The id is the path below the given folder, without its suffix. Names in ASCII keep every letter. What others lose
(diacritics, a whole script) would make `Nghị định` and `Nghì đình` one document, so a digest of the name stands behind
what is left of it. The same digest shortens names that are too long.

Here, because both doors need it: the command, and `POST /documents`.
"""

import hashlib
import re
import unicodedata
from typing import Final

MAX_CHARS: Final = 128
_DIGEST_CHARS: Final = 8
_FOREIGN_CHAR: Final = re.compile(r"[^A-Za-z0-9._-]")
_DASHES: Final = re.compile("-{2,}")
# Letters that no decomposition takes a mark off.
_LETTERS: Final = str.maketrans(
    {
        "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "ı": "i",
        "ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "þ": "th", "Þ": "Th",
    }
)  # fmt: skip


def make_id(name: str) -> str:
    """Return the id of a name; names that differ in more than punctuation and spaces have different ids."""
    name = unicodedata.normalize("NFC", name)
    plain = _FOREIGN_CHAR.sub("-", name)
    if not _loses_letters(name):
        return plain if len(plain) <= MAX_CHARS else _shorten(plain, name)
    decomposed = unicodedata.normalize("NFKD", name.translate(_LETTERS))
    bare = "".join(char for char in decomposed if not unicodedata.combining(char))
    return _shorten(_DASHES.sub("-", _FOREIGN_CHAR.sub("-", bare)), name)


def make_former_id(name: str) -> str:
    """Return the id that versions before this rule gave: a dash for every letter outside ASCII."""
    return _FOREIGN_CHAR.sub("-", unicodedata.normalize("NFC", name))


def list_ids(name: str, suffix: str) -> tuple[str, str, str]:
    """Return all ids that a file can get: by its name, with its suffix, and the one of the former rule."""
    return make_id(name), make_id(name + suffix.lower()), make_former_id(name)


def _loses_letters(name: str) -> bool:
    return any(not char.isascii() and unicodedata.category(char)[0] not in "PZ" for char in name)


def _shorten(text: str, name: str) -> str:
    """Return the beginning of the text, and a digest of the name."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARS]
    kept = text[: MAX_CHARS - _DIGEST_CHARS - 1].strip("-")
    return f"{kept}-{digest}" if kept else digest
