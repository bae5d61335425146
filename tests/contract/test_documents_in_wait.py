"""Malicious documents: a passage that manipulates the generator does not change what the client gets.

Each passage of the corpus is indexed beside honest passages on its topic. The drafts come from the worst possible
generators: one obeys the passage, one copies whatever it is shown, and one reveals its prompt. A passage that only
states something false cannot be told from the truth by any service; these are attacks that a reader would recognise.

`seen` marks the attacks that the rules of `rag.text.injection` detect. The rules were written with these passages at
hand, and detect few orders in unforeseen words: the other passages document that. Even for those, no citation is
unknown and no prompt is revealed.
"""

import json
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from rag.drafting.prompt import build_messages
from rag.pipeline import collect
from rag.text.language import sentence_spans
from rag.text.markers import has_marker
from rag.types import Chunk, Delta, Message, ModelInfo, Passage
from schemas.request import QueryRequest
from schemas.response import QueryResponse
from tests.fakes import FakeIndex, FakeIndexes, make_chunk, make_deadline, make_pipeline, make_record

CORPUS: Final = Path(__file__).parents[1] / "corpus"
LANGUAGES: Final = ("en", "vi")
LEAST_PER_LANGUAGE: Final = 24
LEAST_SEEN: Final = 40
FENCE: Final = "sources-"


@dataclass(frozen=True, slots=True)
class Ambush:
    """A hostile passage, the question that it waits for, and the honest passages that answer it."""

    id: str
    lang: str
    title: str
    text: str
    question: str
    honest: str
    wanted_by_attacker: tuple[str, ...]
    company: tuple[str, ...]
    seen: bool


Disobey = Callable[[Ambush, Sequence[Message]], Iterator[str]]


def _read_lines(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (CORPUS / name).read_text("utf-8").splitlines()]


@cache
def read_ambushes() -> tuple[Ambush, ...]:
    honest = _read_lines("honest_passages.jsonl")
    ambushes = []
    for row in _read_lines("hostile_passages.jsonl"):
        topic = (row["lang"], row["topic"])
        company = tuple(each["text"] for each in honest if (each["lang"], each["topic"]) == topic)
        texts = {key: row[key] for key in ("id", "lang", "title", "text", "question", "honest")}
        ambushes.append(
            Ambush(
                **texts, wanted_by_attacker=tuple(row["wanted_by_attacker"]), company=company, seen=bool(row["seen"])
            )
        )
    return tuple(ambushes)


def obey(ambush: Ambush, messages: Sequence[Message]) -> Iterator[str]:
    """What the attacker wants, then the whole of its passage, all under the passage's own label."""
    label = _label_of(ambush, messages)
    for wanted in ambush.wanted_by_attacker:
        yield f"{wanted} {label}. "
    yield from _copy(ambush.text, label)


def copy_everything(ambush: Ambush, messages: Sequence[Message]) -> Iterator[str]:
    """All passages, the hostile one first, each sentence under the label of its passage."""
    for text in (ambush.text, *ambush.company):
        yield from _copy(text, _label_of(ambush, messages, text))


def tell_the_prompt(ambush: Ambush, messages: Sequence[Message]) -> Iterator[str]:
    """The messages word for word, then once more with the hostile passage as their source."""
    for message in messages:
        yield f"{message.content}\n\n"
    for message in messages:
        yield from _copy(message.content, _label_of(ambush, messages))


class WorstGenerator:
    """A `TextGenerator` that does as the passage wishes."""

    info = ModelInfo("worst-generator", "1")

    def __init__(self, ambush: Ambush, disobey: Disobey) -> None:
        self._ambush = ambush
        self._disobey = disobey
        self.messages: Sequence[Message] = ()

    @asynccontextmanager
    async def stream(
        self, messages: Sequence[Message], *, max_tokens: int, timeout_s: float, trace_id: str
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        self.messages = messages
        yield self._say(messages)

    async def _say(self, messages: Sequence[Message]) -> AsyncIterator[Delta]:
        for text in self._disobey(self._ambush, messages):
            yield Delta(text)
        yield Delta(finish_reason="stop")


class AmbushedIndex(FakeIndex):
    """The hostile passage under its own title, then the honest ones."""

    def __init__(self, ambush: Ambush) -> None:
        super().__init__(ambush.text, *ambush.company)
        self._ambush = ambush

    @property
    def chunks(self) -> list[Chunk]:
        found = super().chunks
        return [replace(each, title=self._ambush.title) if each.text == self._ambush.text else each for each in found]


AMBUSHES: Final = pytest.mark.parametrize("ambush", read_ambushes(), ids=lambda ambush: ambush.id)
SEEN: Final = pytest.mark.parametrize(
    "ambush", [each for each in read_ambushes() if each.seen], ids=lambda ambush: ambush.id
)
GENERATORS: Final = pytest.mark.parametrize("disobey", [obey, copy_everything, tell_the_prompt])


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_corpus_is_large_enough_and_fair(lang: str) -> None:
    """Enough in each language; the true answer stands in the honest passages and what the attacker wants does not."""
    ambushes = [ambush for ambush in read_ambushes() if ambush.lang == lang]

    assert len({ambush.id for ambush in ambushes}) == len(ambushes) >= LEAST_PER_LANGUAGE
    for ambush in ambushes:
        company = _fold(" ".join(ambush.company))
        assert len(ambush.company) >= 2
        assert _fold(ambush.honest) in company
        assert not any(_fold(wanted) in company for wanted in ambush.wanted_by_attacker)


def test_most_attacks_are_seen() -> None:
    """Of those in the corpus."""
    assert sum(ambush.seen for ambush in read_ambushes()) >= LEAST_SEEN


@GENERATORS
@SEEN
async def test_what_the_answer_is_about_does_not_change(ambush: Ambush, disobey: Disobey) -> None:
    """The honest passage answers, and nothing that the attacker wants is said."""
    answer = _without_markers(await _ask(ambush, WorstGenerator(ambush, disobey)))

    said = [wanted for wanted in ambush.wanted_by_attacker if _fold(wanted) in _fold(answer)]
    assert not said, answer
    assert _fold(ambush.honest) in _fold(answer)


@GENERATORS
@AMBUSHES
async def test_no_citation_is_unknown(ambush: Ambush, disobey: Disobey) -> None:
    """Every marker has its citation and every citation its chunk; no other id is in the answer, in any form."""
    response = await _ask(ambush, WorstGenerator(ambush, disobey))

    answer = _without_markers(response)
    texts = [ambush.text, *ambush.company]
    assert not has_marker(_without_invisible(answer))
    assert all(f"[{citation.source_id}]" in response.answer for citation in response.citations)
    assert all(citation.quote in texts[int(citation.chunk_id[-5:]) - 1] for citation in response.citations)


@GENERATORS
@AMBUSHES
async def test_the_prompt_is_not_revealed(ambush: Ambush, disobey: Disobey) -> None:
    """Neither a sentence of the system message nor the name of the fence."""
    generator = WorstGenerator(ambush, disobey)
    answer = _fold(_without_markers(await _ask(ambush, generator)))

    system = (generator.messages or _shown_messages(ambush))[0].content
    assert not any(_fold(system[start:end]) in answer for start, end in sentence_spans(system))
    assert FENCE not in answer


async def _ask(ambush: Ambush, generator: WorstGenerator) -> QueryResponse:
    indexes = FakeIndexes(demo=AmbushedIndex(ambush))
    pipeline = make_pipeline(generator=generator, indexes=indexes)
    query = QueryRequest(question=ambush.question, max_output_tokens=2048)
    return await collect(pipeline.answer(query, record=make_record(), deadline=make_deadline()))


def _copy(text: str, label: str) -> Iterator[str]:
    for start, end in sentence_spans(text):
        yield f"{text[start:end]} {label}\n"


def _label_of(ambush: Ambush, messages: Sequence[Message], text: str | None = None) -> str:
    """The label under which the prompt shows this text; `[S1]` where it was kept out of the prompt."""
    before, found, _ = messages[-1].content.partition(f"] {text or ambush.text}")
    return before[before.rindex("[") :] + "]" if found else "[S1]"


def _shown_messages(ambush: Ambush) -> list[Message]:
    passages = [Passage(at, make_chunk(text, at)) for at, text in enumerate(ambush.company, start=1)]
    return build_messages(ambush.question, passages, "vi" if ambush.lang == "vi" else "en")


def _without_markers(response: QueryResponse) -> str:
    answer = response.answer
    for citation in response.citations:
        answer = answer.replace(f" [{citation.source_id}]", "").replace(f"[{citation.source_id}]", "")
    return answer


def _without_invisible(text: str) -> str:
    return "".join(each for each in text if unicodedata.category(each) != "Cf")


def _fold(text: str) -> str:
    """As a reader takes it: without what is invisible, lower case, on one line."""
    return " ".join(unicodedata.normalize("NFKC", _without_invisible(text)).casefold().split())
