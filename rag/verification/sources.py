"""The passages of one request as the check sees them: read once, compared with every sentence.

Reading a chunk takes about 2 ms and depends on nothing but the chunk, so what was read of the last ones is kept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from rag.language import Language, detect_language, stored_language
from rag.types import Chunk, Passage, Quote, Window
from rag.verification.quotation import Quotation, carrying_span, quote_statement, unit_of
from rag.verification.statements import Statement, read_statements
from rag.verification.support import Claim, Evidence, Facts, Support, join_facts, measure, read_evidence, read_facts

# About 40 KB each. A chunk's id, which is part of the key, names its tenant: nothing is shared between two of them.
_KEPT_CHUNKS: Final = 512
_DISPENSABLE_SUPPORT: Final = 0.02  # a marker that adds less than this is taken off
# Fewer words say too little of the language that they are in; so do rows and items, which are names and figures.
_TELLING_WORDS: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A passage with what it states; `evidence` was read from `statements`, and knows title and headings too.

    `topics` are for each statement the stems of what stands above it: title, headings, the lead of its list.
    """

    passage: Passage
    statements: tuple[Statement, ...]
    evidence: Evidence
    topics: tuple[frozenset[str], ...]
    title: frozenset[str]  # its stems
    language: Language


def read_source(passage: Passage) -> Source:
    return Source(passage, *_read(passage.chunk))


@dataclass(frozen=True, slots=True, eq=False)
class Quotable:
    """The statement `at` of a source, which can go out."""

    source: Source
    at: int

    @property
    def statement(self) -> Statement:
        return self.source.statements[self.at]

    @property
    def unit(self) -> tuple[int, int]:
        """The first and the last statement that say it together."""
        return unit_of(self.source.passage.chunk, self.source.statements, self.at)

    @property
    def text(self) -> str:
        start, end = self.span
        return self.source.passage.chunk.text[start:end]

    @property
    def span(self) -> tuple[int, int]:
        """Where `text` stands in the chunk's text."""
        first, last = self.unit
        return self.source.statements[first].start, self.source.statements[last].end

    @property
    def facts(self) -> Facts:
        first, last = self.unit
        return join_facts(self.source.evidence.sentences[first : last + 1])

    @property
    def earlier(self) -> frozenset[str]:
        """The stems of what it may refer to: what stands above it, and the sentence before."""
        first = self.unit[0]
        before = self.source.evidence.sentences[first - 1].stems if first else frozenset[str]()
        return before | self.source.topics[self.at]

    @property
    def language(self) -> Language:
        statement = self.statement
        is_telling = statement.kind == "sentence" and len(statement.text.split()) >= _TELLING_WORDS
        return detect_language(statement.text) if is_telling else self.source.language

    @property
    def window(self) -> Window:
        """The statement in its passage, to be scored there."""
        passage, (first, last) = self.source.passage, self.unit
        before = passage.chunk.text_start
        start, end = self.source.statements[first].start, self.source.statements[last].end
        return Window(passage.chunk.ranked_text, before + start, before + end, before, passage.tokens)

    def quote(self, asked: Claim, *, seeks_list: bool) -> tuple[Quote, Quotation] | None:
        """What goes out for it; None if it is too long to be shown."""
        chunk = self.source.passage.chunk
        found = quote_statement(chunk, self.source.statements, self.at, asked=asked, seeks_list=seeks_list)
        return (Quote(self.source.passage, found.start, found.end), found) if found else None


def quotables(sources: Iterable[Source]) -> list[Quotable]:
    """Every statement that can go out, in order; one that several passages hold appears once."""
    found: dict[str, Quotable] = {}
    for source in sources:
        for at, statement in enumerate(source.statements):
            if statement.is_quotable:
                found.setdefault(statement.key, Quotable(source, at))
    return list(found.values())


@lru_cache(_KEPT_CHUNKS)
def _read(chunk: Chunk) -> tuple[tuple[Statement, ...], Evidence, tuple[frozenset[str], ...], frozenset[str], Language]:
    statements = tuple(read_statements(chunk))
    evidence = read_evidence([statement.text for statement in statements])
    over_all = read_facts(". ".join(filter(None, (chunk.title, chunk.context, chunk.heading))))
    evidence = replace(evidence, stems=evidence.stems | over_all.stems, bigrams=evidence.bigrams | over_all.bigrams)
    topics = tuple(
        over_all.stems.union(*(evidence.sentences[place].stems for place in statement.above))
        for statement in statements
    )
    return statements, evidence, topics, read_facts(chunk.title).stems, stored_language(chunk.text)


def measure_sources(claim: Claim, sources: Sequence[Source]) -> Support:
    """The support that these passages give together."""
    return measure(claim, [source.evidence for source in sources])


def best_alone(claim: Claim, sources: Iterable[Source], *, supported_from: float) -> tuple[Source, Support] | None:
    """The passage that carries the claim fully by itself, best first, ties in their order; None if none does."""
    scored = [(source, measure_sources(claim, [source])) for source in sources]
    full = [pair for pair in scored if pair[1].is_complete and pair[1].score >= supported_from]
    return max(full, key=lambda pair: pair[1].score, default=None)


def drop_dispensable(claim: Claim, cited: Sequence[Source], support: Support) -> list[Source]:
    """The cited passages without those whose support the others give; the first one cited is the last to go."""
    needed = list(cited)
    for source in reversed(cited):
        rest = [other for other in needed if other is not source]
        remaining = measure_sources(claim, rest)
        if rest and remaining.is_complete and remaining.score >= support.score - _DISPENSABLE_SUPPORT:
            needed = rest
    return needed


def quote_for(claim: Claim, source: Source) -> tuple[Quote, list[Statement]] | None:
    """What of the passage carries the claim, and the statements that it is made of; None if nothing can be shown."""
    if not source.statements:
        return None
    first, last = carrying_span(claim, source.evidence, source.statements, source.passage.chunk) or (0, 0)
    shown = list(source.statements[first : last + 1])
    return Quote(source.passage, shown[0].start, shown[-1].end), shown
