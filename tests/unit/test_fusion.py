"""Reciprocal rank fusion: items that several rankings agree on come first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.retrieval.fusion import RANK_CONSTANT, fuse

RANKINGS = st.lists(st.lists(st.integers(0, 20), unique=True), max_size=4)


def test_the_score_is_the_sum_of_reciprocal_ranks() -> None:
    """Source: Cormack et al. 2009, with ranks from 1."""
    fused = dict(fuse([["a", "b"], ["b"]]))

    assert fused["a"] == pytest.approx(1 / (RANK_CONSTANT + 1))
    assert fused["b"] == pytest.approx(1 / (RANK_CONSTANT + 2) + 1 / (RANK_CONSTANT + 1))


def test_what_both_rankings_hold_beats_the_first_of_one() -> None:
    """Agreement counts more than a single high rank."""
    assert [item for item, _ in fuse([["a", "c"], ["b", "c"]])] == ["c", "a", "b"]


def test_a_tie_goes_to_the_first_ranking() -> None:
    """The order is the same on every run."""
    assert [item for item, _ in fuse([["a"], ["b"]])] == ["a", "b"]


@pytest.mark.parametrize("rankings", [[], [[]], [[], []]])
def test_nothing_fuses_to_nothing(rankings: list[list[str]]) -> None:
    """No ranking, or only empty ones, is no error."""
    assert fuse(rankings) == []


@given(RANKINGS)
def test_every_item_comes_out_once_best_first(rankings: list[list[int]]) -> None:
    """Fusion loses nothing, repeats nothing, and sorts."""
    fused = fuse(rankings)

    assert {item for item, _ in fused} == {item for ranking in rankings for item in ranking}
    assert len(fused) == len({item for item, _ in fused})
    assert [score for _, score in fused] == sorted((score for _, score in fused), reverse=True)
