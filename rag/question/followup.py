"""Make a follow-up a question that stands on its own, by rules alone.

`And the Birk D8?` after `How much does the Alder 300 weigh?` becomes `How much does the Birk D8 weigh?`.

A question that asks something of its own about something of its own is left as it is. What is missing comes from the
last question: its place is taken (`for part-time staff` for `full-time staff`), or its names and nouns are added. The
rules see words, not meaning: if they are unsure they add, and what the new question says is never replaced.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from rag.question.placing import narrows, put_for_object, put_in_place
from rag.question.terms import is_attribute, read_chunks, read_terms
from rag.question.wording import END, Wording, attach, is_completed, read_wording
from rag.text.language import Language
from schemas.request import QUESTION_MAX_CHARS

_ROUNDS: Final = 3
# A longer question says what it is about; and comparing all words of two long texts would take a second.
_MOST_WORDS: Final = 60
# Of an answer: more names are of its other sentences.
_NAMES_OF_ANSWER: Final = 1
_FEW_WORDS: Final[dict[Language, int]] = {"en": 1, "vi": 2, "other": 1}
_BARE_WORDS: Final[dict[Language, int]] = {"en": 4, "vi": 6, "other": 4}


@dataclass(frozen=True, slots=True)
class Before:
    """The question before, which stands on its own, its language, and what was answered."""

    text: str
    language: Language
    said: str = ""


def stand_alone(
    question: str, before: Before, language: Language, *, names: Collection[str] = (), is_folded: bool = False
) -> str:
    """Return the question with what it lacks from the one before it; the question itself if it lacks nothing.

    The answer gives a name only if the question before has none. `names` are words that the documents write with a
    capital letter. `is_folded`: it was typed without diacritics. The result is never longer than a question may be, and
    stays the same if it is made standalone again.
    """
    made = question
    for _ in range(_ROUNDS):
        again = _complete(made, before, language, names, is_folded=is_folded)
        if again == made:
            return made if len(made) <= QUESTION_MAX_CHARS else question
        made = again
    return question


def _complete(question: str, before: Before, language: Language, names: Collection[str], *, is_folded: bool) -> str:
    asked = read_wording(question, language, names, is_folded=is_folded)
    if not 0 < len(asked.terms) <= _MOST_WORDS or is_completed(question):
        return question
    old = Wording(before.text, before.text.strip(END), before.language, names, is_opened=False, is_elliptic=False)
    topic = old.topic if old.names else [*_names_of(before.said, names), *old.topic]
    if asked.refers:
        return attach(asked, topic)
    if asked.asks:
        return attach(asked, _lacking(asked, old, topic))
    if not asked.topic and not asked.of_kind("attribute"):
        return question  # `vậy à?`
    return _complete_fragment(asked, old, topic)


def _lacking(asked: Wording, old: Wording, topic: Sequence[str]) -> Sequence[str]:
    """Return what a whole question lacks: nothing if it names something, or asks about enough of its own."""
    if asked.names:
        return []
    if asked.content_words <= _FEW_WORDS[asked.language] and not asked.is_expletive:
        return topic
    return (old.names or topic[:1]) if asked.is_opened else []


def _complete_fragment(asked: Wording, old: Wording, topic: Sequence[str]) -> str:
    """Complete words that ask nothing by themselves; without any sign of a follow-up they must fit the old question."""
    begins_inside = asked.terms[0].kind == "preposition"
    if asked.is_opened or asked.is_elliptic or begins_inside:
        return _contrast(asked, old, topic) or attach(old, [asked.core])
    if asked.content_words <= _BARE_WORDS[asked.language]:
        return put_in_place(asked, old) or asked.text
    return asked.text


def _names_of(said: str, names: Collection[str]) -> list[str]:
    terms = read_terms(said, names)
    return [chunk.of(said) for chunk in read_chunks(said, terms) if chunk.kind == "name"][:_NAMES_OF_ANSWER]


def _contrast(asked: Wording, old: Wording, topic: Sequence[str]) -> str | None:
    """Return the old question asked of the new thing, or what it is about asked for the new property."""
    placed = put_in_place(asked, old)
    if placed is not None:
        return placed
    content = asked.of_kind("content")
    if not content or asked.names:
        return None
    head = content[0].terms[0 if asked.language == "vi" else -1]
    is_definite = asked.core.casefold().startswith("the ")
    if is_attribute(head) or is_definite or narrows(asked, old):
        return attach(asked, old.names or topic)
    return put_for_object(asked, old)
