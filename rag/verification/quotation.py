"""Quote a statement of a document: verbatim, with as much around it as the reader needs.

A sentence is quoted alone, unless it begins with a word that points back. A list item comes with its list, or with the
list's lead; a lead or a heading comes with the items below it. Of a table row only the cells that the question asks for
are quoted, each with the name of its column.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from rag.types import Chunk
from rag.verification.statements import MAX_LIST_CHARS, MAX_SENTENCE_CHARS, ROW_MARK, Statement
from rag.verification.support import Claim, Evidence, coverage, read_facts

_SECOND_SENTENCE_GAIN: Final = 0.15  # share of the claim's weight: a smaller gain is not worth a longer quote
_SHORT_LIST_CHARS: Final = 450
_KEPT_ROWS: Final = 2048
_LABEL_MARK: Final = ": "
# A sentence that begins like this is understood only with the one before it.
_POINTS_BACK = re.compile(
    r"(?:it|they|this|these|those|he|she|such|otherwise|instead|if so|if not|in (?:this|that) case|both|the latter)\b"
    r"|(?:\w+ ){1,3}(?:này|đó|ấy)\b|(?:nó|họ|nếu không|nếu vậy|khi ấy)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Quotation:
    """What is quoted for a statement: `text` is `chunk.text[start:end]`, `sent` is its form in an answer.

    `first` and `last` are the positions of the statements shown.
    """

    start: int
    end: int
    sent: str
    first: int
    last: int


def quote_statement(
    chunk: Chunk,
    statements: Sequence[Statement],
    at: int,
    *,
    unit: tuple[int, int],
    seeks_list: bool,
) -> Quotation | None:
    """Return the quotation of the statement `at`; None if it is too long to be shown.

    `unit` is what `unit_of` returns for it; `seeks_list` says whether the question asks for a list. Of a row all cells
    are quoted: `pick_cells` takes those that the question asks for.
    """
    statement = statements[at]
    if statement.kind == "row":
        return Quotation(statement.start, statement.end, statement.text, at, at)
    if statement.first_item is not None and statement.last_item is not None:
        return _quote_list(chunk, statements, at, seeks_list=seeks_list)
    found = _verbatim(chunk, statements, *unit)
    # Where the lines of a file end says nothing of its sentences.
    return replace(found, sent=" ".join(found.sent.split())) if statement.kind == "sentence" else found


def unit_of(chunk: Chunk, statements: Sequence[Statement], at: int) -> tuple[int, int]:
    """Return the first and the last of the statements that are understood only together with the one at `at`.

    A sentence that points back belongs to the sentence before it; a lead or a heading to the items below it.
    """
    statement = statements[at]
    if statement.kind in ("lead", "heading"):
        return at, at if statement.last_item is None else statement.last_item
    before = statements[at - 1] if at else None
    if statement.kind == "sentence" and before is not None and before.kind == "sentence":
        is_next_to = not chunk.text[before.end : statement.start].strip(" ") and before.is_quotable
        if is_next_to and _POINTS_BACK.match(statement.text) and statement.end - before.start <= MAX_SENTENCE_CHARS:
            return at - 1, at
    return at, at


def carrying_span(
    claim: Claim, evidence: Evidence, statements: Sequence[Statement], chunk: Chunk
) -> tuple[int, int] | None:
    """Return the first and last statement of the smallest span that supports the claim; None if no word of it is there.

    The span is the best sentence, or two neighbours if the second adds enough. `evidence` was read from these
    statements.
    """
    stems = [facts.stems for facts in evidence.sentences]
    if not stems:
        return None
    best = max(range(len(stems)), key=lambda at: (coverage(claim, [stems[at]]), -len(statements[at].text)))
    alone = coverage(claim, [stems[best]])
    if not alone:
        return None
    pairs = [(at, at + 1) for at in (best - 1, best) if 0 <= at < len(stems) - 1]
    together, first = max(
        ((coverage(claim, [stems[a], stems[b]]), a) for a, b in pairs if _are_neighbours(chunk, statements, a)),
        default=(0.0, best),
    )
    if together - alone >= _SECOND_SENTENCE_GAIN * sum(claim.content.values()):
        return first, first + 1
    return best, best


def _quote_list(chunk: Chunk, statements: Sequence[Statement], at: int, *, seeks_list: bool) -> Quotation | None:
    statement = statements[at]
    assert statement.first_item is not None
    assert statement.last_item is not None
    first, last = statement.first_item, statement.last_item
    opens = first - 1 if first and statements[first - 1].last_item == last else None
    whole = _verbatim(chunk, statements, first if opens is None else opens, last)
    size = whole.end - whole.start
    is_head = statement.kind in ("lead", "heading")
    if is_head or seeks_list:
        if size <= MAX_LIST_CHARS:
            return whole
        if is_head:
            return None
    alone = _verbatim(chunk, statements, at, at)
    if re.search(r"[.!?…]\W*\Z", statement.text) and len(statement.text.split()) >= 5:
        return alone
    if size <= _SHORT_LIST_CHARS:
        return whole
    if opens is None:
        return alone
    lead = statements[opens].text.rstrip(":：*_ ")
    return Quotation(alone.start, alone.end, f"{lead}{_LABEL_MARK}{alone.sent}", at, at)


def _verbatim(chunk: Chunk, statements: Sequence[Statement], first: int, last: int) -> Quotation:
    start, end = statements[first].start, statements[last].end
    return Quotation(start, end, chunk.text[start:end], first, last)


def pick_cells(row: str, asked: Claim) -> str:
    """Return the cells asked for: `X2: Power 7,500 Pa` of `Model: X2 | Power: 7,500 Pa | Weight: 3 kg`.

    The whole row is returned if the question names none of its columns, or if its cells have no names.
    """
    read = _read_cells(row)
    if read is None:
        return row
    name, cells, labels = read
    shares = [coverage(asked, [stems]) for stems in labels]
    # `Birk D8` and not `Birk D8 Eco`, if the question does not say Eco.
    whole = [bool(stems) and stems <= asked.content.keys() for stems in labels]
    if any(whole):
        shares = [share if is_whole else 0.0 for share, is_whole in zip(shares, whole, strict=True)]
    most = max(shares)
    if not most:
        return row
    picked = [(label, value) for (label, value), share in zip(cells, shares, strict=True) if share == most]
    return f"{name}: " + ", ".join(f"{label} {value}" for label, value in picked)


@lru_cache(_KEPT_ROWS)
def _read_cells(row: str) -> tuple[str, list[tuple[str, str]], list[frozenset[str]]] | None:
    """Return the name of a row, its other cells as (label, value), and the stems of each label that the name lacks.

    None if its cells have no names. The results for the last rows are cached: a question meets every row of its
    passages.
    """
    (label, _, value), *others = (cell.partition(_LABEL_MARK) for cell in row.split(ROW_MARK))
    if len(others) < 2 or not all(mark for _, mark, _ in others):
        return None
    name = value or label
    known = read_facts(name).stems
    stems = [read_facts(label).stems - known for label, _, _ in others]
    return name, [(label, value) for label, _, value in others], stems


def _are_neighbours(chunk: Chunk, statements: Sequence[Statement], first: int) -> bool:
    """Return whether only white space stands between this statement and the next."""
    return not chunk.text[statements[first].end : statements[first + 1].start].strip()
