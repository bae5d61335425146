"""MaxSim of many parts of many passages at once is that of each part alone."""

from collections.abc import Sequence

import numpy as np
import pytest

from rag.engines.max_sim import (
    NO_TOKENS,
    TOKENS_AT_ONCE,
    WHOLE,
    Part,
    compare_tokens,
    score_parts,
    score_wholes,
    score_windows,
)
from rag.types import TokenVectors

DIMENSION = 8


def make_tokens(random: np.random.Generator, tokens: int, *, in_order: bool = True) -> TokenVectors:
    """Tokens of up to five characters with gaps between them; some without characters."""
    gaps, lengths = random.integers(0, 3, tokens), random.integers(0, 6, tokens)
    starts = np.cumsum(gaps + lengths) - lengths
    spans = np.stack((starts, starts + lengths), axis=1).astype(np.int32)
    values = random.integers(-127, 128, (tokens, DIMENSION)).astype(np.int8)
    return TokenVectors(
        values,
        (random.random(tokens, np.float32) / 300).astype(np.float32),
        spans if in_order else random.permutation(spans),
    )


def make_parts(random: np.random.Generator, count: int, last: int) -> list[Part]:
    """Windows anywhere, also empty ones and beyond the end, with and without a head, and the whole."""
    drawn = [sorted(int(each) for each in random.integers(0, last + 5, 2)) for _ in range(count)]
    return [(0, None, 0), *((start, end, int(random.choice([0, 3, 7]))) for start, end in drawn), (last + 9, None, 2)]


def score_alone(question: TokenVectors, passage: TokenVectors, part: Part) -> float:
    """Return the relevance by the definition, token by token."""
    start, end, head = part
    inside = [span[1] > start and (end is None or span[0] < end) for span in passage.spans]
    if not any(inside) or not len(question.scales):
        return NO_TOKENS
    if head:
        inside = [is_inside or span[1] <= head for is_inside, span in zip(inside, passage.spans, strict=True)]
    asked = question.values.astype(np.float32) * question.scales[:, None]
    held = passage.values.astype(np.float32) * passage.scales[:, None]
    return float((asked @ held.T)[:, inside].max(axis=1).mean())


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_parts_at_once_are_parts_alone(seed: int, in_order: bool) -> None:
    """In their order, wherever they begin and end, whether or not the tokens come in the order of the characters."""
    random = np.random.default_rng(seed)
    question, passage = make_tokens(random, 5), make_tokens(random, 40, in_order=in_order)
    parts = make_parts(random, 12, int(passage.spans.max()))

    scores = score_windows(question, passage, parts)

    assert scores == pytest.approx([score_alone(question, passage, part) for part in parts], abs=1e-6)


@pytest.mark.parametrize(("asked", "held"), [(0, 4), (4, 0), (0, 0)])
def test_nothing_to_compare_is_the_lowest(asked: int, held: int) -> None:
    """A question or a passage without tokens."""
    random = np.random.default_rng(1)

    scores = score_windows(make_tokens(random, asked), make_tokens(random, held), [(0, None, 0), (0, 3, 2)])

    assert scores == [NO_TOKENS] * 2


@pytest.mark.parametrize(
    "lengths",
    [[], [7], [3, 0, 5], [TOKENS_AT_ONCE, 1], [TOKENS_AT_ONCE + 1, 2, TOKENS_AT_ONCE - 2, 3], [900] * 6],
)
def test_a_passage_does_not_depend_on_its_company(lengths: Sequence[int]) -> None:
    """Its cosines are the same to the last bit, so the same question has the same answer in a larger index."""
    random = np.random.default_rng(2)
    question, passages = make_tokens(random, 6), [make_tokens(random, length) for length in lengths]

    together = compare_tokens(question, passages)

    alone = [compare_tokens(question, [passage])[0] for passage in passages]
    assert [each.tolist() for each in together] == [each.tolist() for each in alone]
    assert [each.shape for each in together] == [(6, length) for length in lengths]


def test_parts_that_are_no_windows_are_the_lowest() -> None:
    """All of them behind the last token that the model read."""
    random = np.random.default_rng(3)
    question, passage = make_tokens(random, 3), make_tokens(random, 9)
    beyond = int(passage.spans.max()) + 1

    assert (
        score_parts(compare_tokens(question, [passage])[0], passage.spans, [(beyond, None, 4)] * 2) == [NO_TOKENS] * 2
    )


@pytest.mark.parametrize("asked", [0, 1, 5, 9, 40])
def test_wholes_at_once_are_wholes_alone(asked: int) -> None:
    """To the last bit, also of passages without tokens, and with tokens that have no characters."""
    random = np.random.default_rng(4)
    question, passages = make_tokens(random, asked), [make_tokens(random, held) for held in (3, 0, 17, 40, 1)]
    passages[2].spans[:2] = 0
    compared = compare_tokens(question, passages)

    together = score_wholes(compared, passages)

    alone = [score_parts(each, one.spans, [WHOLE])[0] for each, one in zip(compared, passages, strict=True)]
    assert together == alone
