"""Give each file its document id: the name in the contract's alphabet, so that two names stay two documents.

The id is the path below the given folder, without its suffix. Names in ASCII keep every letter. What others lose
(diacritics, a whole script) would make `Nghị định` and `Nghì đình` one document, so a digest of the name stands behind
what is left of it. The same digest shortens names that are too long.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rag.index.manifest import DocumentEntry, Origin

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


def choose_ids(
    wanted: Sequence[str | Origin], documents: Mapping[str, DocumentEntry] | None = None
) -> list[str | None]:
    """Choose an id for each file, in view of the documents of the index; None if all of its ids are taken by others.

    An id that is given stays. A file keeps the id under which it stands in the index. Of files that differ in the
    suffix only (`a.docx`, `a.pdf`) one is `a`, and the others have their suffix in the id.
    """
    documents = documents or {}
    known: dict[str, set[str]] = {}
    for entry in documents.values():
        if entry.origin is not None:
            known.setdefault(entry.origin.path, set()).add(entry.document_id)
    claims = Counter(make_former_id(each.name) for each in wanted if isinstance(each, Origin))
    chosen: list[str | None] = [None] * len(wanted)
    taken: set[str] = set()

    def choose(at: int, ids: Sequence[str]) -> None:
        free = next((each for each in ids if each not in taken), None)
        if free is not None:
            chosen[at] = free
            taken.add(free)

    for at, each in enumerate(wanted):
        if isinstance(each, str):
            choose(at, [each])
    for at, each in enumerate(wanted):
        if isinstance(each, Origin):
            mine = known.get(each.path, set()) | _inherit(each, documents, claims)
            choose(at, [candidate for candidate in _candidates(each) if candidate in mine])
    for at, each in enumerate(wanted):
        if isinstance(each, Origin) and chosen[at] is None:
            default, with_suffix, _ = _candidates(each)
            is_held = _is_of_sibling(each, documents.get(default))
            choose(at, [with_suffix] if is_held else [default, with_suffix])
    return chosen


def _candidates(origin: Origin) -> tuple[str, str, str]:
    """Return the id that a file has by itself, the one with its suffix, and the one that it would have had before."""
    name = origin.name
    return make_id(name), make_id(name + Path(origin.path).suffix.lower()), make_former_id(name)


def _inherit(origin: Origin, documents: Mapping[str, DocumentEntry], claims: Mapping[str, int]) -> set[str]:
    """Return the id of the document that this file became before origins were kept, if no other file claims it."""
    former = make_former_id(origin.name)
    entry = documents.get(former)
    is_mine = (
        entry is not None and entry.origin is None and claims[former] == 1 and make_id(origin.name) not in documents
    )
    return {former} if is_mine else set()


def _is_of_sibling(origin: Origin, entry: DocumentEntry | None) -> bool:
    """Return whether a document is that of a file, still there, which differs from this one in its suffix only."""
    if entry is None or entry.origin is None or entry.origin.path == origin.path:
        return False
    other = Path(entry.origin.path)
    return other.with_suffix("") == Path(origin.path).with_suffix("") and other.exists()


def _loses_letters(name: str) -> bool:
    return any(not char.isascii() and unicodedata.category(char)[0] not in "PZ" for char in name)


def _shorten(text: str, name: str) -> str:
    """Return the beginning of the text, and a digest of the name."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARS]
    kept = text[: MAX_CHARS - _DIGEST_CHARS - 1].strip("-")
    return f"{kept}-{digest}" if kept else digest
