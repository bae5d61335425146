"""Choose the document id of each file among those that its name can give, in view of the documents of the index."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rag.index.manifest import DocumentEntry, Origin
from rag.text.document_ids import list_ids, make_former_id, make_id


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
    return list_ids(origin.name, Path(origin.path).suffix)


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
