"""Read the passages of one request for the check: once, to be compared with every sentence.

Reading a chunk takes about 2 ms and depends on nothing but the chunk, so the last results are cached.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from rag.text.language import Language, detect_language, stored_language
from rag.types import Chunk, Passage, Quote, Window
from rag.verification.quotation import Quotation, carrying_span, pick_cells, quote_statement, unit_of
from rag.verification.statements import Statement, read_statements
from rag.verification.support import Claim, Evidence, Facts, Support, join_facts, measure, read_evidence, read_facts

# About 50 KB each. The key includes the chunk's id, which names its tenant: tenants share nothing.
_KEPT_CHUNKS: Final = 512
_DISPENSABLE_SUPPORT: Final = 0.02  # a marker that adds less support than this is removed
# Shorter sentences tell too little about their language; so do rows and items, which are names and figures.
_TELLING_WORDS: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """The statements `first` to `last` of a chunk, which are understood only together, and what is known of them.

    `text` is `chunk.text[start:end]`. `earlier` are the stems that they may refer to and do not hold: those of the text
    above them (title, headings, the lead of their list) and of the sentence before.
    """

    first: int
    last: int
    start: int
    end: int
    text: str
    facts: Facts
    earlier: frozenset[str]
    language: Language


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A quotation, and the keys of the statements that it shows."""

    quotation: Quotation
    keys: frozenset[str]


# For a question that does not ask for a list, and for one that does; None: too long to be shown.
Showable = tuple[Shown | None, Shown | None]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A passage with its statements, and the unit of each; `evidence` covers them, and the title and headings too.

    `showable` has the quotations of those statements that may be quoted.
    """

    passage: Passage
    statements: tuple[Statement, ...]
    units: tuple[Unit, ...]
    showable: tuple[Showable | None, ...]
    evidence: Evidence
    title: frozenset[str]  # stems
    language: Language


def read_source(passage: Passage) -> Source:
    """Read a passage; the results for the last chunks are cached."""
    return Source(passage, *_read(passage.chunk))


@dataclass(frozen=True, slots=True, eq=False)
class Quotable:
    """A statement of a source, which may be quoted; `unit` are those that are understood only together with it."""

    source: Source
    statement: Statement
    unit: Unit
    showable: Showable

    @property
    def text(self) -> str:
        """The verbatim text of the unit."""
        return self.unit.text

    @property
    def span(self) -> tuple[int, int]:
        """Where `text` stands in the chunk's text."""
        return self.unit.start, self.unit.end

    @property
    def facts(self) -> Facts:
        """The facts of the unit."""
        return self.unit.facts

    @property
    def language(self) -> Language:
        """The language of the statement; that of the passage if the statement is too short to tell."""
        return self.unit.language

    def quote(self, asked: Claim, *, seeks_list: bool) -> tuple[Quote, Quotation] | None:
        """Return the quotation for the statement; None if it is too long to be shown."""
        shown = self.show(asked, seeks_list=seeks_list)
        return (Quote(self.source.passage, shown[0].start, shown[0].end), shown[0]) if shown else None

    def show(self, asked: Claim, *, seeks_list: bool) -> tuple[Quotation, frozenset[str]] | None:
        """Return the quotation, and the keys of what it shows; None if it is too long to be shown."""
        shown = self.showable[seeks_list]
        if shown is None:
            return None
        if self.statement.kind == "row":
            return replace(shown.quotation, sent=pick_cells(self.statement.text, asked)), shown.keys
        return shown.quotation, shown.keys


def windows_of(found: Iterable[Quotable]) -> list[Window]:
    """Return the statements in their passages, for the reranker to score."""
    passages: dict[int, tuple[str, int]] = {}  # by number: its text with its headings, where its own text begins
    windows: list[Window] = []
    for each in found:
        passage, unit = each.source.passage, each.unit
        known = passages.get(passage.number)
        if known is None:
            known = passages[passage.number] = passage.chunk.ranked_text, passage.chunk.text_start
        text, before = known
        windows.append(Window(text, before + unit.start, before + unit.end, before, passage.tokens))
    return windows


def quotables(sources: Iterable[Source]) -> list[Quotable]:
    """Return every statement that may be quoted, in order; of equal ones only the first."""
    found: dict[str, Quotable] = {}
    for source in sources:
        for statement, unit, showable in zip(source.statements, source.units, source.showable, strict=True):
            if showable is not None and statement.key not in found:
                found[statement.key] = Quotable(source, statement, unit, showable)
    return list(found.values())


@lru_cache(_KEPT_CHUNKS)
def _read(
    chunk: Chunk,
) -> tuple[tuple[Statement, ...], tuple[Unit, ...], tuple[Showable | None, ...], Evidence, frozenset[str], Language]:
    statements = tuple(read_statements(chunk))
    evidence = read_evidence([statement.text for statement in statements])
    over_all = read_facts(". ".join(filter(None, (chunk.title, chunk.context, chunk.heading))))
    evidence = replace(evidence, stems=evidence.stems | over_all.stems, bigrams=evidence.bigrams | over_all.bigrams)
    units = tuple(_read_unit(chunk, statements, evidence, over_all.stems, at) for at in range(len(statements)))
    showable = tuple(_read_showable(chunk, statements, units, at) for at in range(len(statements)))
    return statements, units, showable, evidence, read_facts(chunk.title).stems, stored_language(chunk.text)


def _read_showable(chunk: Chunk, statements: Sequence[Statement], units: Sequence[Unit], at: int) -> Showable | None:
    if not statements[at].is_quotable:
        return None
    unit = units[at].first, units[at].last

    def show(*, seeks_list: bool) -> Shown | None:
        found = quote_statement(chunk, statements, at, unit=unit, seeks_list=seeks_list)
        if found is None:
            return None
        return Shown(found, frozenset(each.key for each in statements[found.first : found.last + 1]))

    return show(seeks_list=False), show(seeks_list=True)


def _read_unit(
    chunk: Chunk, statements: Sequence[Statement], evidence: Evidence, over_all: frozenset[str], at: int
) -> Unit:
    statement, (first, last) = statements[at], unit_of(chunk, statements, at)
    facts = join_facts(evidence.sentences[first : last + 1])
    before = evidence.sentences[first - 1].stems if first else frozenset[str]()
    above = over_all.union(*(evidence.sentences[place].stems for place in statement.above))
    is_telling = statement.kind == "sentence" and len(statement.text.split()) >= _TELLING_WORDS
    language = detect_language(statement.text) if is_telling else stored_language(chunk.text)
    start, end = statements[first].start, statements[last].end
    return Unit(first, last, start, end, chunk.text[start:end], facts, (before | above) - facts.stems, language)


def measure_sources(claim: Claim, sources: Sequence[Source]) -> Support:
    """Return the support of the claim by these passages together."""
    return measure(claim, [source.evidence for source in sources])


def best_alone(claim: Claim, sources: Iterable[Source], *, supported_from: float) -> tuple[Source, Support] | None:
    """Return the passage that best supports the claim fully by itself, the first of equals; None if none does."""
    scored = [(source, measure_sources(claim, [source])) for source in sources]
    full = [pair for pair in scored if pair[1].is_complete and pair[1].score >= supported_from]
    return max(full, key=lambda pair: pair[1].score, default=None)


def drop_dispensable(claim: Claim, cited: Sequence[Source], support: Support) -> list[Source]:
    """Return the cited passages without those that add too little support; the first one cited is tried last."""
    needed = list(cited)
    for source in reversed(cited):
        rest = [other for other in needed if other is not source]
        remaining = measure_sources(claim, rest)
        if rest and remaining.is_complete and remaining.score >= support.score - _DISPENSABLE_SUPPORT:
            needed = rest
    return needed


def quote_for(claim: Claim, source: Source) -> tuple[Quote, list[Statement]] | None:
    """Return the part of the passage that supports the claim, with its statements; None if the passage has none."""
    if not source.statements:
        return None
    first, last = carrying_span(claim, source.evidence, source.statements, source.passage.chunk) or (0, 0)
    shown = list(source.statements[first : last + 1])
    return Quote(source.passage, shown[0].start, shown[-1].end), shown
