"""Find what changed between a sentence and the one it was copied from: overlap does not see edits of near copies.

The sentence is aligned with the statement that shares most words with it, or with two neighbours. Only if most of its
words stand there in the same order are the gaps examined for edits that change the meaning: a negation on one side
only, another figure, name or unit, a word replaced by its opposite, two names exchanged. A paraphrase is no near copy
and is not judged here.
"""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from rag.text.language import sentence_spans
from rag.verification.edits import (
    Gap,
    Word,
    are_exchanged,
    count_negations,
    is_negated,
    read_words,
    replaces_figure,
    replaces_name,
    replaces_unit,
    turns,
)

Edit = Literal["negation", "figure", "name", "opposite", "unit", "exchange"]

_NEAR_COPY: Final = 0.75  # share of the sentence's words that the statement holds, in the same order
_WORTH_ALIGNING: Final = 0.55  # share of its distinct words that the statement holds, in any order
_CANDIDATES: Final = 3
_NEARLY_AS_NEAR: Final = 3  # words: a candidate may share this many fewer than the best one
_WORDS_MAX: Final = 150  # words: no real sentence is longer, and aligning is quadratic


class Original(NamedTuple):
    """A sentence of a passage, and the stems of its words."""

    text: str
    stems: frozenset[str]


def find_edit(sentence: str, statements: Sequence[Original], names: frozenset[str]) -> tuple[Edit, int] | None:
    """Return the edit and the statement it was made to; None if there is none, or if the sentence is no near copy.

    `names` are stems known to be names, even at the beginning of a sentence. If the sentence is equally near to several
    statements, an edited one counts: from "Managers have 6 days. Staff have 12." it does not follow that managers have
    12.
    """
    new = read_words(sentence)
    if not new or len(new) > _WORDS_MAX:
        return None
    found, is_near = _nearest(
        new, [([at], read_words(statements[at].text)) for at in _candidates(new, statements)], names
    )
    if is_near or len(sentence_spans(sentence)) > 1:
        return found
    pair = _best_pair(new, statements)  # two sentences told as one
    return _nearest(new, [(pair, [word for at in pair for word in read_words(statements[at].text)])], names)[0]


def _nearest(
    new: Sequence[Word], originals: Sequence[tuple[Sequence[int], Sequence[Word]]], names: frozenset[str]
) -> tuple[tuple[Edit, int] | None, bool]:
    """Return the edit of the original nearest to the sentence, and whether the sentence is a near copy of any."""
    best = least = _least(new)
    found: tuple[Edit, int] | None = None
    is_near = False
    for places, old in originals:
        edit, matched = _compare(old, new, names)
        if are_exchanged(old, new):
            edit, matched = "exchange", len(new)
        is_near = is_near or matched >= least
        if matched > best or (matched == best and found is None):
            best, found = matched, (edit, places[0]) if edit else None
    return found, is_near


def _best_pair(new: Sequence[Word], statements: Sequence[Original]) -> list[int]:
    """Return the two neighbours that together hold most of its words; empty if they hold too few."""
    stems = {word.stem for word in new}
    shared = [len(stems & (a.stems | b.stems)) for a, b in pairwise(statements)]
    at = shared.index(max(shared)) if shared else 0
    return [at, at + 1] if shared and shared[at] >= _NEAR_COPY * len(stems) else []


def _least(new: Sequence[Word]) -> float:
    """Return how many words must match in a near copy; of three words one may differ."""
    return min(_NEAR_COPY * len(new), max(len(new) - 1, 2))


def _candidates(new: Sequence[Word], statements: Sequence[Original]) -> list[int]:
    stems = {word.stem for word in new}
    shared = [(len(stems & statement.stems), -at) for at, statement in enumerate(statements)]
    best = sorted(shared, reverse=True)[:_CANDIDATES]
    least = max(_WORTH_ALIGNING * len(stems), best[0][0] - _NEARLY_AS_NEAR) if best else 0
    return [-at for count, at in best if count >= least]


def _compare(old: Sequence[Word], new: Sequence[Word], names: frozenset[str]) -> tuple[Edit | None, int]:
    """Return the first edit found, and how many words stand in both in the same order."""
    matcher = SequenceMatcher(None, [word.stem for word in old], [word.stem for word in new], autojunk=False)
    matched = sum(block.size for block in matcher.get_matching_blocks())
    if matched < _least(new):
        return None, matched
    gaps = list(_gaps(old, new, matcher.get_opcodes()))
    edits: tuple[tuple[Edit, bool], ...] = (
        ("negation", is_negated(gaps)),
        ("figure", any(replaces_figure(gap, gaps) for gap in gaps)),
        ("name", any(replaces_name(gap, gaps, names) for gap in gaps)),
        ("opposite", any(turns(gap) for gap in gaps)),
        ("unit", any(replaces_unit(gap) for gap in gaps)),
    )
    return next((edit for edit, is_made in edits if is_made), None), matched


def _gaps(old: Sequence[Word], new: Sequence[Word], opcodes: Sequence[tuple[str, int, int, int, int]]) -> Iterator[Gap]:
    """Yield the gaps, in order.

    Words of the statement before the first or after the last common word count only as far as the sentence replaces
    them; an exception is a "no" right before the first common word.
    """
    last = len(opcodes) - 1
    for at, (tag, start, end, b1, b2) in enumerate(opcodes):
        if tag == "equal":
            continue
        near = max(b2 - b1 + 1, 2) if b2 > b1 else 1
        a1 = max(start, end - near) if at == 0 else start
        a2 = min(end, start + near) if at == last else end
        if b2 > b1 or (0 < at < last) or (at == 0 and count_negations(old[a1:a2])):
            yield Gap(old[a1:a2], new[b1:b2], follows_figure=a1 > 0 and bool(old[a1 - 1].figures))
