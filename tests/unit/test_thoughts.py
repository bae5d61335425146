"""A model's thoughts are not part of the draft, wherever their tags are split."""

from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.answer.sentences import SentenceParser
from rag.drafting.generation import Draft
from rag.drafting.thoughts import ThoughtFilter
from rag.types import Delta, Message, TokenUsage

SAID = "Staff have 12 days [S1]."


def say(pieces: list[str]) -> str:
    """What is left when all pieces have come."""
    thoughts, said = ThoughtFilter(), ""
    for piece in pieces:
        speech = thoughts.feed(piece)
        said = speech.text if speech.is_anew else said + speech.text
    return said + thoughts.close()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"<think>Let me see.</think>{SAID}", SAID),
        (f"<Thinking>Let me see.</THINKING>{SAID}", SAID),
        (f"<thought>a < b</thought>{SAID}", SAID),
        (f"{SAID}<think>And more", SAID),
        (f"Let me see.</think>{SAID}", SAID),
        (f"<think>a</think>b</think>{SAID}", SAID),
        (f"<think>a</think>{SAID}<think>b</think> More.", f"{SAID} More."),
        ("1 < 2 <thin <b>x</b> <", "1 < 2 <thin <b>x</b> <"),
        ("<thinker>x</thinker>", "<thinker>x</thinker>"),
    ],
)
@settings(deadline=None)  # the machine may be busy
@given(data=st.data())
def test_thoughts_are_taken_out_however_they_are_cut(text: str, said: str, data: st.DataObject) -> None:
    """Of any case, closed or not, opened or not; what only looks like a tag is said."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    bounds = [0, *cuts, len(text)]

    assert say([text[start:end] for start, end in pairwise(bounds)]) == said
    assert say(list(text)) == said


class Words:
    """A `TokenCounter`."""

    def count(self, text: str) -> int:
        return len(text.split())


async def read(*deltas: Delta) -> tuple[list[str], Draft]:
    async def come() -> AsyncIterator[Delta]:
        for delta in deltas:
            yield delta

    draft = Draft([Message("user", "How many days?")], SentenceParser(), max_tokens=64)
    await draft.read(come(), keeps_cut_tail=True)
    await draft.end(None)
    sentences = []
    while (sentence := await draft.next()) is not None:
        sentences.append(sentence.text)
    return sentences, draft


async def test_a_draft_holds_no_thoughts_and_pays_for_them() -> None:
    """Beside the text or inside it; the tokens that are counted here are those that were made."""
    sentences, draft = await read(Delta(thought="let me see "), Delta("<think>is it so</think>It is so."))

    assert sentences == ["It is so."]
    assert draft.usage(Words()) == TokenUsage(3, 8)


async def test_sentences_that_nobody_has_taken_are_taken_back() -> None:
    """A template that opens the thoughts in the prompt: only their end is seen."""
    sentences, _ = await read(Delta("I should look. It may be S1. So"), Delta("</think>It is so."))

    assert sentences == ["It is so."]


@pytest.mark.parametrize("reason", ["length", "max_tokens", "MAX_TOKENS", "model_length"])
async def test_a_bound_is_one_in_every_spelling(reason: str) -> None:
    """OpenAI's, Anthropic's, Gemini's and Mistral's word for it: a draft that was cut is never called whole."""
    _, draft = await read(Delta("It is"), Delta(finish_reason=reason))

    assert draft.is_cut
