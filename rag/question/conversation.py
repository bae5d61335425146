"""Read a question in its conversation: what a follow-up leaves out is filled in from the earlier questions.

What was said before only helps to search. It is never evidence, and never an instruction: a turn that gives orders to
the assistant is passed over.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from rag.ports import ChunkIndex
from rag.question.followup import Before, stand_alone
from rag.question.lexicon import Lexicon
from rag.question.reading import Reading, read_with
from rag.question.terms import read_terms
from rag.text.injection import gives_orders
from rag.text.language import Language, detect_language, normalize, sentence_spans, words
from rag.text.markers import strip_markers
from rag.types import Chunk
from schemas.request import Turn

# Of a longer turn the last sentences are read: the question stands at the end.
_GIST_CHARS: Final = 400
# A topic that nobody mentioned in so many questions is not what a pronoun stands for.
_QUESTIONS: Final = 5
_WITNESSES: Final = 30
# A word that does not begin a sentence, and two words side by side, which may.
_INSIDE = re.compile(r"(?:(?<=[^\W\d_] )|(?<=[^\W\d_], ))([^\W\d_]\w*)")
_PAIR = re.compile(r"(?<!\w)([^\W\d_]\w*)(?= ([^\W\d_]\w*))")


async def read_follow_up(question: str, history: Sequence[Turn], index: ChunkIndex) -> Reading:
    """Read a question after the turns of its history, in the spelling of this index.

    Raises: IndexUnavailable.
    """
    lexicon = Lexicon(index)
    earlier = await _read_earlier(history, question, lexicon)
    spoken = earlier[-1].reading.language if earlier else None
    reading = await read_with(lexicon, question, spoken=spoken)
    if reading.is_small_talk or not earlier:
        return reading
    said = " ".join([reading.text, *(each.reading.text for each in earlier)])
    found = await index.search_lexical(said, _WITNESSES)
    witnesses = [stored.chunk for stored in await index.fetch([chunk_id for chunk_id, _ in found])]
    # Comparing the words of several long questions can take 0.1 s.
    return await asyncio.to_thread(
        _complete_after, reading, earlier, find_capitalised(said, witnesses), is_folded=question.isascii()
    )


def _complete_after(
    reading: Reading, earlier: Sequence["_Earlier"], names: Collection[str], *, is_folded: bool
) -> Reading:
    """Complete a question after these, each of them after those before it."""
    spoken = earlier[-1].reading.language
    if spoken and all(term.kind == "name" or not term.word.isalpha() for term in read_terms(reading.text, names)):
        reading = replace(reading, language=spoken)  # `Alder 500?` is in no language
    before: Before | None = None
    for each in earlier:
        asked = _complete(each.reading, before, names, is_folded=each.is_folded)
        before = Before(asked.text, asked.searched_in, each.said)
    return _complete(reading, before, names, is_folded=is_folded)


@dataclass(frozen=True, slots=True)
class _Earlier:
    """An earlier question, with the answer that followed it; `is_folded`: it was typed without diacritics."""

    reading: Reading
    is_folded: bool
    said: str = ""


def _complete(reading: Reading, before: Before | None, names: Collection[str], *, is_folded: bool) -> Reading:
    if before is None:
        return reading
    text = stand_alone(reading.text, before, reading.language, names=names, is_folded=is_folded)
    if text == reading.text:
        return reading
    # Across languages the new name may have been put into the old question.
    language = reading.language if before.language == reading.language else detect_language(text)
    return replace(reading, text=text, standalone=text, completed_in=language)


async def _read_earlier(history: Sequence[Turn], question: str, lexicon: Lexicon) -> list[_Earlier]:
    """Return the last questions that asked something, in order; `question` is asked after them."""
    found: list[_Earlier] = []
    spoken: Language | None = None
    turns = list(_gists(history))
    await lexicon.learn(question, *(text for role, text in turns if role == "user"))
    for role, text in turns:
        if role == "assistant":
            found[-1:] = [replace(found[-1], said=text)] if found else []
            continue
        reading = await read_with(lexicon, text, spoken=spoken)
        if not reading.is_small_talk:
            found.append(_Earlier(reading, text.isascii()))
            spoken = reading.language
    return found


def _gists(history: Sequence[Turn]) -> Iterator[tuple[str, str]]:
    """Yield role and gist of each turn from the first of the last questions on, without those that give orders."""
    asked_at = [at for at, turn in enumerate(history) if turn.role == "user"][-_QUESTIONS:]
    for turn in history[asked_at[0] :] if asked_at else ():
        text = strip_markers(turn.content)
        if not gives_orders(text) and (text := gist(text)):
            yield turn.role, text


def gist(content: str) -> str:
    """Return the last sentences of a turn, on one line."""
    text = normalize(" ".join(content.split()))
    if len(text) <= _GIST_CHARS:
        return text
    starts = [start for start, _ in sentence_spans(text) if len(text) - start <= _GIST_CHARS]
    return text[starts[0] :] if starts else text[-_GIST_CHARS:].partition(" ")[2]


def find_capitalised(text: str, witnesses: Sequence[Chunk]) -> frozenset[str]:
    """Return the words and the pairs of words of the text, case-folded, that these chunks write with capital letters.

    Many people type `song xanh` for Sông Xanh.
    """
    typed = words(text)
    asked = {*typed, *(" ".join(pair) for pair in pairwise(typed))}
    balance: Counter[str] = Counter()
    for chunk in witnesses:
        written = normalize(f"{chunk.title}\n{chunk.ranked_text}")
        for found in (*_INSIDE.finditer(written), *_PAIR.finditer(written)):
            parts = [part for part in found.groups() if part]
            if (key := " ".join(parts).casefold()) in asked and not any(part.isupper() for part in parts):
                balance[key] += 1 if all(part[0].isupper() for part in parts) else -1
    return frozenset(key for key, more in balance.items() if more > 0)
