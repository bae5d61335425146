"""10 000 hostile streams through the whole pipeline, on fakes and in process: the rules that hold for every draft.

The form of an id is defined here independently, in few lines on folded text, and not taken from the code under test. A
failure names its seeds: `make_stream(seed)` makes the stream again.
"""

import re
import unicodedata
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import pytest

from rag.answer.sentences import SentenceParser
from rag.api.sse import until_terminal
from rag.errors import UpstreamError
from rag.pipeline import Pipeline
from rag.text.markers import has_marker
from rag.types import Delta, DraftSentence, Message, ModelInfo, Window
from rag.verification.notices import INTRODUCTIONS
from schemas.events import CitationEvent, DoneEvent, ErrorEvent, Event, MetaEvent, TokenEvent
from schemas.request import OUTPUT_TOKENS_MAX, QueryRequest
from schemas.response import Citation, Trace
from tests.corpus.hostile_streams import PASSAGES, UNKNOWN, HostileStream, make_stream
from tests.fakes import FakeIndex, FakeIndexes, make_deadline, make_pipeline, make_record

BATCHES: Final = 10
BATCH_STREAMS: Final = 1_000
SHOWN_FAILURES: Final = 20

OWN_MARKER: Final = re.compile(r"\[S([1-9]\d*)\]")
OWN_MARKERS: Final = re.compile(r" (?:\[S\d+\])+")
WORDS_TWO_EVENTS: Final = 6
# On folded text from which our own markers were taken: an S with a number, a number in square brackets of any kind or
# behind a word for a source, a footnote.
ID: Final = re.compile(
    r"(?<![^\W_])[sѕ][._#:+=-]?\d"
    r"|[\[【〔〖⟦「『〈]\s*(?:[\"'^#]|s\W?|(?:source|cite|nguồn)\W{0,2}s?)?\d{1,3}[a-z]?\s*(?:[]】〕〗⟧」』〉†:]|[,;–-]\s*s?\d|$)"
    r"|[({<«]\s*s\W?\d{1,3}(?![\d.,/])"
    r"|\b(?:source|cite|nguồn):?[^\S\n]?s?\d{1,3}(?![\d.,/])"
    r"|\d†",
)
FOOTNOTE: Final = re.compile(r"(?<![^\W_])\^?[⁰¹²³⁴-⁹₀-₉]|<sup>")


class Replay:
    """A `TextGenerator` that says the deltas it was last given, and then ends or breaks off."""

    info = ModelInfo("replay", "1")

    def __init__(self) -> None:
        self.deltas: Sequence[str] = ()
        self.finish_reason: str | None = None

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], *, max_tokens: int, timeout_s: float, trace_id: str
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        yield self._say()

    async def _say(self) -> AsyncIterator[Delta]:
        for text in self.deltas:
            yield Delta(text)
        if self.finish_reason is None:
            raise UpstreamError
        yield Delta(finish_reason=self.finish_reason)


class InOrderScorer:
    """A `PassageScorer` to which the passages are relevant in their order, and so are the sentences of each."""

    async def score(self, question: str, windows: Sequence[Window], *, timeout_s: float, trace_id: str) -> list[float]:
        return [1.0 - 0.1 * PASSAGES.index(window.passage) - 0.0001 * window.start for window in windows]


@dataclass(frozen=True, slots=True)
class Told:
    """What a client is told of one stream."""

    stream: HostileStream
    events: Sequence[Event]

    @property
    def tokens(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, TokenEvent)]

    @property
    def answer(self) -> str:
        return "".join(self.tokens)

    @property
    def citations(self) -> list[Citation]:
        return [event.citation for event in self.events if isinstance(event, CitationEvent)]

    @property
    def finish_reason(self) -> str | None:
        return self.events[-1].finish_reason if isinstance(self.events[-1], DoneEvent) else None

    @property
    def trace(self) -> Trace | None:
        return self.events[-1].trace if isinstance(self.events[-1], DoneEvent) else None


class Teller:
    """The pipelines of all modes, made once, over one generator."""

    def __init__(self) -> None:
        indexes = FakeIndexes(demo=FakeIndex(*PASSAGES))
        self._generator = Replay()
        self._pipelines: dict[str, Pipeline] = {
            mode: make_pipeline(generator=self._generator, scorer=InOrderScorer(), indexes=indexes, mode=mode)
            for mode in ("repair", "drop", "mark")
        }

    async def tell(self, stream: HostileStream) -> Told:
        self._generator.deltas, self._generator.finish_reason = stream.deltas, stream.finish_reason
        query = QueryRequest(question=stream.question, max_output_tokens=OUTPUT_TOKENS_MAX, include_trace=True)
        record = make_record()
        events = self._pipelines[stream.mode].answer(query, record=record, deadline=make_deadline())
        return Told(stream, [event async for event in until_terminal(events, trace_id=record.trace_id)])


def has_one_end(told: Told) -> bool:
    """Meta first, one terminal event, last; an error only where the generator broke off."""
    first, *middle, last = told.events
    is_broken_off = isinstance(last, ErrorEvent) and last.code == "UPSTREAM_ERROR" and not told.stream.finish_reason
    is_between = all(isinstance(event, TokenEvent | CitationEvent) for event in middle)
    return isinstance(first, MetaEvent) and is_between and (isinstance(last, DoneEvent) or is_broken_off)


def shows_no_unknown_id(told: Told) -> bool:
    """No id in any form but ours, and no number of an unknown id at all where nothing unverified goes out."""
    rest = OWN_MARKER.sub(" ¤ ", told.answer)
    folded = _fold(rest)
    if told.stream.mode != "mark" and any(number in folded for number in UNKNOWN):
        return False
    return not (ID.search(folded) or FOOTNOTE.search(rest) or has_marker(rest))


def cites_what_it_marks(told: Told) -> bool:
    """Every marker has one citation, every citation a marker, numbered from 1 in the order of the markers."""
    marked = list(dict.fromkeys(OWN_MARKER.findall(told.answer)))
    sources = [citation.source_id for citation in told.citations]
    return sources == [f"S{number}" for number in marked] == [f"S{at}" for at in range(1, len(sources) + 1)]


def cites_before_it_marks(told: Told) -> bool:
    """A client that draws each token as it comes knows its sources, and never sees half a marker."""
    known: set[str] = set()
    for event in told.events:
        if isinstance(event, CitationEvent):
            known.add(event.citation.source_id.removeprefix("S"))
        elif isinstance(event, TokenEvent) and not known.issuperset(OWN_MARKER.findall(event.text)):
            return False
    edges = set(accumulate(map(len, told.tokens)))
    inside = (at for marker in OWN_MARKER.finditer(told.answer) for at in range(marker.start() + 1, marker.end()))
    return edges.isdisjoint(inside)


def sends_pieces(told: Told) -> bool:
    """No empty token, and an answer of six words or more is at least two."""
    return all(told.tokens) and (len(told.answer.split()) < WORDS_TWO_EVENTS or len(told.tokens) > 1)


def keeps_every_byte(told: Told) -> bool:
    """The draft's own sentences stand in the answer as the parser gave them, and those are all that stands in it."""
    if told.trace is None or told.finish_reason == "no_answer":
        return True
    sent = [sentence for sentence in told.trace.sentences if sentence.sent]
    own = [sentence for sentence in sent if sentence.verdict in {"kept", "re-cited", "attributed"}]
    is_unaltered = all(OWN_MARKERS.sub("", sentence.sent) == sentence.draft for sentence in own)
    return is_unaltered and _visible(told.answer) == _visible("".join(sentence.sent for sentence in sent))


def invents_nothing(told: Told) -> bool:
    """The sentences of the draft are the stream's own characters, in its order."""
    if told.trace is None:
        return True
    characters = iter(_visible(told.stream.text))
    return all(each in characters for each in _visible("".join(sentence.draft for sentence in told.trace.sentences)))


def keeps_the_opening(told: Told) -> bool:
    """A true sentence with its right marker goes out to the letter, in every mode, unless the generator breaks off."""
    opening, final = told.stream.opening[:-1], told.stream.opening[-1:]
    return not opening or not told.finish_reason or told.answer.startswith(f"{opening} [S1]{final}")


# Before a quotation in another language than the question's.
INTRODUCTION = re.compile("|".join(map(re.escape, INTRODUCTIONS.values())))


def quotes_word_for_word(told: Told) -> bool:
    """A quote is a part of its chunk, and an answer by quotation is one of its quotes."""
    texts = {f"demo:handbook:v1:{number:05d}": text for number, text in enumerate(PASSAGES, start=1)}
    sentences = told.trace.sentences if told.trace else []
    repairs = [OWN_MARKERS.sub("", sentence.sent) for sentence in sentences if sentence.verdict == "repaired"]
    repairs = [INTRODUCTION.sub("", repair) for repair in repairs]
    are_parts = all(citation.quote and citation.quote in texts[citation.chunk_id] for citation in told.citations)
    return are_parts and all(any(repair in text for text in texts.values()) for repair in repairs)


def sends_nothing_without_source(told: Told) -> bool:
    """In `repair` and `drop` each sentence has its marker; without any there is no answer."""
    if told.stream.mode == "mark" or told.finish_reason == "no_answer":
        return True
    sent = [sentence.sent for sentence in told.trace.sentences] if told.trace else [told.answer]
    return all(OWN_MARKER.search(each) for each in sent if each)


RULES: Final[Sequence[Callable[[Told], bool]]] = (
    has_one_end,
    shows_no_unknown_id,
    cites_what_it_marks,
    cites_before_it_marks,
    sends_pieces,
    keeps_every_byte,
    invents_nothing,
    keeps_the_opening,
    quotes_word_for_word,
    sends_nothing_without_source,
)


@pytest.mark.parametrize("batch", range(BATCHES))
async def test_a_hostile_stream_breaks_no_promise(batch: int) -> None:
    """Whatever a model writes, and wherever its stream is cut."""
    teller = Teller()
    failures: list[str] = []
    for seed in range(batch * BATCH_STREAMS, (batch + 1) * BATCH_STREAMS):
        stream = make_stream(seed)
        told = await teller.tell(stream)
        failures += [f"{seed} ({stream.mode}): {rule.__name__}" for rule in RULES if not rule(told)]
        # Nothing behind the parser sees where the stream was cut.
        if _parse(*stream.deltas) != _parse(stream.text):
            failures.append(f"{seed} ({stream.mode}): depends on where it is cut")

    assert not failures, f"{len(failures)} broken:\n" + "\n".join(failures[:SHOWN_FAILURES])


def _parse(*deltas: str) -> list[DraftSentence]:
    parser = SentenceParser()
    sentences = [sentence for delta in deltas for sentence in parser.feed(delta)]
    return sentences + parser.close()


def _fold(text: str) -> str:
    """Lower case, one form for each character, and what nobody sees left out."""
    seen = (each for each in text if unicodedata.category(each) not in {"Cc", "Cf"} or each in "\n\t")
    return unicodedata.normalize("NFKC", "".join(seen)).casefold()


def _visible(text: str) -> str:
    return "".join(text.split())
