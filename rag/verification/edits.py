"""Compare the words of two nearly equal texts, and find the differences that change the meaning."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise
from typing import Final, NamedTuple

from rag.text.stems import is_function_word, stem
from rag.verification.addresses import without_addresses
from rag.verification.numbers import FigureSet, locate_figures
from rag.verification.opposites import ANTONYMS, NEGATIONS, NEGATIVE, NOT_ONLY, UNITS, is_compound

_GAP_MAX: Final = 6  # words: a longer gap is a paraphrase, whose names and figures do not correspond
_NAMES_EXCHANGED_MAX: Final = 8
_RESTORED: Final = 0.75  # share of the word pairs that the statement holds once two names are exchanged back
_WORD = re.compile(r"\d+(?:[.,]\d+)+|[^\W_]+(?:['’](?!s\b)[^\W_]+)*")
_LISTING: Final = frozenset(("and", "or", "nor", "và", "hoặc", "cùng", "với"))
_BEGINS = re.compile(r"[.:;!?…\n\"“‘«(]")
_PREFIXES: Final = ("un", "in", "im", "il", "ir", "non", "dis")
_SAME_NAME: Final = 4  # letters: British and Britain are one name


class Word(NamedTuple):
    """One word of a text, in its place; `is_firm` if it is capitalised for another reason than beginning a sentence."""

    stem: str
    is_function: bool
    is_capital: bool
    is_firm: bool
    figures: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch in which the texts differ: `old` in the statement, `new` in the sentence."""

    old: Sequence[Word]
    new: Sequence[Word]
    follows_figure: bool = False

    @property
    def is_short(self) -> bool:
        """Whether both sides have words, and few enough to correspond."""
        return bool(self.old and self.new) and len(self.old) <= _GAP_MAX and len(self.new) <= _GAP_MAX


@lru_cache(1024)
def read_words(text: str) -> tuple[Word, ...]:
    """Return the words of a text in order, without addresses; the results for the last texts are cached."""
    text = without_addresses(text)
    figures = locate_figures(text.lower(), ambiguous=True)
    found: list[Word] = []
    end = 0
    for token in _WORD.finditer(text):
        folded = token[0].casefold()
        is_function = is_function_word(folded)
        is_capital = token[0][0].isupper() and not is_function
        is_firm = is_capital and bool(found) and _BEGINS.search(text, end, token.start()) is None
        values = tuple([value for value, first, last in figures if first < token.end() and token.start() < last])
        found.append(Word(stem(folded), is_function, is_capital, is_firm, values))
        end = token.end()
    return tuple(found)


def is_negated(gaps: Sequence[Gap]) -> bool:
    """Return whether the gaps together add or remove a negation; "rejected" for "did not accept" does neither.

    The negations of a clause that was cut out do not count.
    """
    before = after = 0
    for gap in gaps:
        if not gap.new and any(not word.is_function for word in gap.old if word.stem not in NEGATIONS):
            continue
        lost, gained = count_negations(gap.old), count_negations(gap.new)
        if lost != gained and _is_negative(gap.new if lost > gained else gap.old):
            continue
        before, after = before + lost, after + gained
    return (before - after) % 2 == 1


def count_negations(found: Sequence[Word]) -> int:
    """Count the negations, without "not only" and Vietnamese compounds."""
    count = 0
    for at, word in enumerate(found):
        following = found[at + 1].stem if at + 1 < len(found) else ""
        preceding = found[at - 1].stem if at else ""
        is_negation = word.stem in NEGATIONS or word.stem.endswith(("n't", "n’t"))
        count += is_negation and following not in NOT_ONLY and not is_compound(preceding, following)
    return count


def _is_negative(found: Sequence[Word]) -> bool:
    return any(word.stem in NEGATIVE or word.stem.startswith(("un", "non", "dis", "im", "in")) for word in found)


def replaces_figure(gap: Gap, gaps: Sequence[Gap]) -> bool:
    """Return whether the gap replaces a figure by another one.

    A figure that was moved here from a gap where no figure replaces it does not count.
    """
    if not gap.is_short:
        return False
    old, new = _figures(gap.old), _figures(gap.new)
    if not old or not new:
        return False
    foreign = [value for value in new if value not in FigureSet(old)]
    moved = FigureSet([value for other in gaps if not _figures(other.new) for value in _figures(other.old)])
    return any(value not in moved for value in foreign) and any(value not in FigureSet(new) for value in old)


def _figures(found: Sequence[Word]) -> list[float]:
    return [value for word in found for value in word.figures]


def replaces_name(gap: Gap, gaps: Sequence[Gap], names: frozenset[str]) -> bool:
    """Return whether the gap replaces a name by another one; parts, adjectives and initials of a name are the same."""
    if not gap.is_short:
        return False
    old, new = _names(gap.old, names), _names(gap.new, names)
    moved = {name for other in gaps if not _names(other.new, names) for name in _names(other.old, names)}
    foreign = [name for name in new if name not in moved and not any(_are_one(name, each) for each in old)]
    lost = [name for name in old if not any(_are_one(name, each) for each in new)]
    return bool(foreign and lost) and not _abbreviates(old, new) and not _abbreviates(new, old)


def _names(found: Sequence[Word], names: frozenset[str]) -> list[str]:
    return [
        word.stem for word in found if not word.figures and (word.is_firm or (word.is_capital and word.stem in names))
    ]


def _are_one(first: str, second: str) -> bool:
    shared = min(len(first), len(second), _SAME_NAME)
    return first[:shared] == second[:shared] and (shared == _SAME_NAME or len(first) == len(second))


def _abbreviates(short: Sequence[str], long: Sequence[str]) -> bool:
    return len(short) == 1 and len(long) > 1 and short[0] == "".join(name[0] for name in long)


def turns(gap: Gap) -> bool:
    """Return whether the gap replaces a word by its opposite, listed or prefixed, and no negation reverses it."""
    if not gap.is_short or (count_negations(gap.old) - count_negations(gap.new)) % 2:
        return False
    old, new = {word.stem for word in gap.old}, {word.stem for word in gap.new}
    pairs = [(a, b) for a in old - new for b in new - old]
    return any(frozenset(pair) in ANTONYMS or _is_prefixed(*pair) or _is_prefixed(*pair[::-1]) for pair in pairs)


def _is_prefixed(word: str, plain: str) -> bool:
    return len(plain) >= _SAME_NAME - 1 and any(word == prefix + plain for prefix in _PREFIXES)


def replaces_unit(gap: Gap) -> bool:
    """Return whether the gap replaces a unit (weeks for days), or right after a figure the thing that is counted."""
    if not gap.is_short:
        return False
    old, new = ({UNITS[word.stem] for word in side if word.stem in UNITS} for side in (gap.old, gap.new))
    if old and new:
        return old.isdisjoint(new)
    counted = [side[0] for side in (gap.old, gap.new) if not (side[0].is_function or side[0].figures)]
    return (
        gap.follows_figure
        and len(counted) == len(gap.old) + len(gap.new) == 2
        and not _are_one(*(word.stem for word in counted))
    )


def are_exchanged(old: Sequence[Word], new: Sequence[Word]) -> bool:
    """Return whether two names were exchanged: exchanged back, they have their former neighbours.

    Names in a plain listing may change places.
    """
    pairs = set(pairwise(word.stem for word in old))
    stems = [word.stem for word in new]
    runs = list(_runs(new))[:_NAMES_EXCHANGED_MAX]
    for (a1, a2), (b1, b2) in combinations(runs, 2):
        first, between, second = stems[a1:a2], stems[a2:b1], stems[b1:b2]
        if first == second or all(word.stem in _LISTING or word.is_capital for word in new[a2:b1]):
            continue
        drafted = _seams(stems, (a1, a2), (b1, b2))
        if sum(seam in pairs for seam in drafted) > len(drafted) // 2:
            continue
        back = [*stems[:a1], *second, *between, *first, *stems[b2:]]
        moved = a1 + len(second)
        restored = _seams(back, (a1, moved), (moved + len(between), b2))
        if all(seam in pairs for seam in restored) and _share(back, pairs) >= _RESTORED:
            return True
    return False


def _runs(found: Sequence[Word]) -> Iterator[tuple[int, int]]:
    """Yield the runs of capitalised words, as (start, end) in words."""
    start = None
    for at, word in enumerate([*found, None]):
        if word is not None and word.is_capital:
            start = at if start is None else start
        elif start is not None:
            yield start, at
            start = None


def _seams(stems: Sequence[str], *runs: tuple[int, int]) -> list[tuple[str, str]]:
    """Return the pairs of neighbouring words at the edges of each run, one inside and one outside."""
    edges = [edge for start, end in runs for edge in (start, end) if 0 < edge < len(stems)]
    return [(stems[edge - 1], stems[edge]) for edge in edges]


def _share(stems: Sequence[str], pairs: set[tuple[str, str]]) -> float:
    return sum(pair in pairs for pair in pairwise(stems)) / max(len(stems) - 1, 1)
