"""Know which contents belong to a version, and to what a scope shows of it, as conditions of SQL."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from rag.index.postgres.pool import Pool
from rag.index.postgres.rows import group_label, value_label
from rag.types import IndexVersion, ModelInfo, Scope

_KEPT_VIEWS: Final = 64

_SIZE: Final[LiteralString] = """
SELECT coalesce(sum(c.chunks), 0)::bigint, count(*), coalesce(sum(c.words), 0)::bigint
FROM rag.documents d JOIN rag.contents c ON c.tenant = d.tenant AND c.doc = d.doc WHERE
"""
_LIVING: Final[LiteralString] = "d.tenant = %(tenant)s AND d.born <= %(version)s AND %(version)s < d.died"


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """A version that serves; `words`: the lengths of its chunks together; `languages`: the chunks of each."""

    tenant: int
    number: int
    summary: IndexVersion
    embedder: ModelInfo
    has_tokens: bool
    words: int
    languages: Sequence[int]
    last_doc: int
    hidden: Sequence[int] | None


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What a scope shows of a version: its size, and the conditions that admit a document, or any row with a `doc`."""

    served: Served
    summary: IndexVersion
    words: int
    is_whole: bool
    documents: LiteralString
    parameters: Mapping[str, Any]

    @property
    def mean_length(self) -> float:
        return self.words / max(1, self.summary.chunks)

    def rows(self, *, in_turn: bool = False) -> LiteralString:
        """Return the condition on the rows `r` of contents; `in_turn`: it is to be checked row by row.

        Of a whole version it names what is not in it, which is little; else it looks for the documents.
        """
        if self.is_whole and self.served.hidden is not None:
            return "r.tenant = %(tenant)s AND r.doc <= %(last_doc)s AND r.doc <> ALL(%(hidden)s::int[])"
        found = "r.doc IN (SELECT d.doc FROM rag.documents d WHERE " + self.documents + ")"  # noqa: S608 - literals
        # `coalesce` keeps the planner from making a join of it, in which the order of the graph is lost.
        return "r.tenant = %(tenant)s AND " + ("coalesce(" + found + ", false)" if in_turn else found)


class Views:
    """The views of the versions that serve; those used last are kept."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._kept: OrderedDict[tuple[Any, ...], View] = OrderedDict()

    async def find(self, served: Served, scope: Scope) -> View | None:
        """Return what the scope shows, None if there is nothing. Raises: IndexUnavailable."""
        is_open = not served.summary.grouped or all(
            not part.groups.isdisjoint(scope.groups) for part in served.summary.grouped
        )
        if is_open and scope.document_ids is None and not scope.metadata:
            return _whole(served)
        key = (served, scope.groups, scope.document_ids, tuple(sorted(scope.metadata.items())))
        view = self._kept.pop(key, None) or await self._measure(served, scope)
        self._kept[key] = view
        if len(self._kept) > _KEPT_VIEWS:
            self._kept.popitem(last=False)
        return view if view.summary.documents else None

    async def _measure(self, served: Served, scope: Scope) -> View:
        condition, parameters = _condition(served, scope)
        ((chunks, documents, words),) = await self._pool.ask(served.tenant, _SIZE + condition, parameters)
        if documents == served.summary.documents:
            return _whole(served)
        summary = IndexVersion(served.summary.version, chunks, documents, served.summary.built_at)
        return View(served, summary, words, False, condition, parameters)


def _whole(served: Served) -> View:
    parameters = _keys(served)
    return View(served, served.summary, served.words, True, _LIVING, parameters)


def _keys(served: Served) -> dict[str, Any]:
    return {
        "tenant": served.tenant,
        "version": served.number,
        "last_doc": served.last_doc,
        "hidden": list(served.hidden or ()),
    }


def _condition(served: Served, scope: Scope) -> tuple[LiteralString, dict[str, Any]]:
    parameters = _keys(served)
    condition: LiteralString = _LIVING + " AND (d.groups = '{}' OR d.groups && %(groups)s::text[])"
    parameters["groups"] = [group_label(group) for group in sorted(scope.groups)]
    if scope.document_ids is not None:
        condition += " AND d.document_id = ANY(%(document_ids)s::text[])"
        parameters["document_ids"] = sorted(scope.document_ids)
    # As many as a request may name keys; the names are ours.
    for at, (key, values) in enumerate(sorted(scope.metadata.items())):
        if at == len(_LABELS):
            raise ValueError("a request names fewer keys")
        condition += " AND d.labels && %(" + _LABELS[at] + ")s::text[]"
        parameters[_LABELS[at]] = [value_label(key, value) for value in sorted(values)]
    return condition, parameters


_LABELS: Final[tuple[LiteralString, ...]] = (
    "label_0", "label_1", "label_2", "label_3", "label_4", "label_5", "label_6", "label_7",
    "label_8", "label_9", "label_10", "label_11", "label_12", "label_13", "label_14", "label_15",
)  # fmt: skip
