"""The passages of one request as the check sees them: read once, compared with every sentence.

Reading a chunk takes about 2 ms and depends on nothing but the chunk, so what was read of the last ones is kept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from rag.language import Language, stored_language
from rag.types import Chunk, Passage, Quote, Window
from rag.verification.quotation import Statement, carrying_span, read_statements
from rag.verification.support import Claim, Evidence, Facts, Support, measure, read_evidence

# About 40 KB each. A chunk's id, which is part of the key, names its tenant: nothing is shared between two of them.
_KEPT_CHUNKS: Final = 512
_DISPENSABLE_SUPPORT: Final = 0.02  # a marker that adds less than this is taken off


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A passage with what it states, sentence by sentence; `evidence` was read from `statements`."""

    passage: Passage
    statements: tuple[Statement, ...]
    evidence: Evidence
    language: Language


def read_source(passage: Passage) -> Source:
    return Source(passage, *_read(passage.chunk))


@dataclass(frozen=True, slots=True, eq=False)
class Quotable:
    """The sentence `at` of a source, which can be sent as it stands."""

    source: Source
    at: int

    @property
    def statement(self) -> Statement:
        return self.source.statements[self.at]

    @property
    def facts(self) -> Facts:
        return self.source.evidence.sentences[self.at]

    @property
    def facts_before(self) -> Facts | None:
        return self.source.evidence.sentences[self.at - 1] if self.at else None

    @property
    def quote(self) -> Quote:
        return Quote(self.source.passage, self.statement.text)

    @property
    def window(self) -> Window:
        """The sentence in its passage, to be scored there."""
        passage = self.source.passage
        return Window(passage.chunk.text, self.statement.start, self.statement.end, passage.tokens)


def quotables(sources: Iterable[Source]) -> list[Quotable]:
    """Every sentence that can be sent as it stands, in order; one that several passages hold appears once."""
    found: dict[str, Quotable] = {}
    for source in sources:
        for at, statement in enumerate(source.statements):
            if statement.is_quotable:
                found.setdefault(statement.key, Quotable(source, at))
    return list(found.values())


@lru_cache(_KEPT_CHUNKS)
def _read(chunk: Chunk) -> tuple[tuple[Statement, ...], Evidence, Language]:
    statements = tuple(read_statements(chunk))
    evidence = read_evidence([statement.text for statement in statements])
    return statements, evidence, stored_language(chunk.text)


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
    chunk = source.passage.chunk
    first, last = carrying_span(claim, source.evidence, source.statements, chunk) or (0, 0)
    shown = list(source.statements[first : last + 1])
    return Quote(source.passage, chunk.text[shown[0].start : shown[-1].end]), shown
