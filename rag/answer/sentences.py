"""Parse drafts into sentences with markers, and render verified sentences as tokens with numbered markers.

Sans-IO: the parser takes pieces of any size and returns each sentence as soon as no later text can change it. The
result does not depend on where the text was split. `rag.text.markers` defines what a marker looks like; this file
assigns markers to sentences, and numbers and writes our own.
"""

import re
from collections.abc import Sequence
from typing import Final

from rag.answer.wrapping import Unwrapper, unwrap
from rag.text.injection import UNSEEN
from rag.text.language import ends_sentence
from rag.text.markers import marker_spans, may_begin_marker, split_markers, trailing_markers
from rag.types import DraftSentence

MAX_SENTENCE_CHARS: Final = 600  # a longer sentence is cut here, at white space if there is any
LOOKAHEAD_CHARS: Final = 160  # markers of a sentence are searched for this far past its end
_WINDOW_CHARS: Final = MAX_SENTENCE_CHARS + LOOKAHEAD_CHARS

# Line breaks of every kind become one kind. Invisible characters (controls, zero-width and direction marks) are
# removed: they could hide a marker from the grammar.
_CLEAN: Final[dict[int, str | None]] = {
    **dict.fromkeys(range(32)),
    **dict.fromkeys(range(0x7F, 0xA0)),
    **UNSEEN,
    **dict.fromkeys((0x0B, 0x0C, 0x85, 0x2028, 0x2029), "\n"),
    0x09: "\t",
    0x0A: "\n",
}
_CLOSERS = "\"'”’»›)\\]}」』】）］*_"
_STOP = re.compile(rf"\n|[.!?…。！？｡]+[{_CLOSERS}]*")
_OPEN_BRACKET = re.compile(r"[\[［【〔][^\]］】〕\n]{0,12}\Z")
# `… 12 days [S1].`: no later text can change such a sentence, so it need not wait.
_MARKED_STOP = re.compile(rf"\[S[0-9]{{1,3}}\][.!?]+[{_CLOSERS}]*\Z")
_IN_BRACKET = re.compile(r"\s*\d")
_NEXT_WORD = re.compile(r"\s*\S*")
_FINAL_PUNCTUATION = re.compile(rf"\s*[.!?…。！？｡:;,]+[{_CLOSERS}]*\s*\Z")
_TOKEN = re.compile(r"\s*(?:\[S[0-9]+\]|(?:(?!\[S[0-9])\S){1,24}|\S)|\s+\Z")
_WORDS_PER_PIECE: Final = 3


class SentenceParser:
    """Turns the deltas of one draft into its sentences.

    It accepts any text and is bounded: it holds no more than a sentence, its lookahead and the last delta. A line break
    ends a sentence, because models break lines only between sentences; otherwise `rag.text.language` decides.
    """

    def __init__(self) -> None:
        self._unwrapper = Unwrapper()
        self._buffer = ""
        self._lead = ""
        self._carried: list[int] = []  # markers that precede any text
        self._passed = 0  # up to here no stop ends the sentence at the start of the buffer

    def feed(self, text: str) -> list[DraftSentence]:
        """Return the sentences that this piece completes."""
        self._buffer += self._unwrapper.feed(text).translate(_CLEAN)
        return self._drain(closed=False)

    def close(self) -> list[DraftSentence]:
        """Return the remaining sentences once the draft has ended."""
        self._buffer += self._unwrapper.close().translate(_CLEAN)
        return self._drain(closed=True)

    def _drain(self, *, closed: bool) -> list[DraftSentence]:
        sentences: list[DraftSentence] = []
        start = 0
        while True:
            start = self._skip_space(start)
            window = self._buffer[start : start + _WINDOW_CHARS]
            ended = closed and start + len(window) == len(self._buffer)
            cut, self._passed = _first_cut(window, self._passed, ended=ended)
            if cut is None:
                self._buffer = self._buffer[start:]
                return sentences
            text_end, end = cut
            self._passed = 0
            if sentence := self._make(window[:text_end], window[text_end:end]):
                sentences.append(sentence)
            start += end

    def _skip_space(self, start: int) -> int:
        """Return the position of the next visible character; the space before it becomes the next sentence's lead."""
        end = start
        while end < len(self._buffer) and self._buffer[end].isspace():
            end += 1
        space = self._lead + self._buffer[start:end]
        self._lead = "\n\n"[: space.count("\n")] or (" " if space else "")
        return end

    def _make(self, raw: str, trailing: str) -> DraftSentence | None:
        text, inner = split_markers(unwrap(raw))
        markers = [*self._carried, *inner, *split_markers(trailing)[1]]
        if not text or (markers and not any(map(str.isalnum, text))):
            self._carried = markers[:MAX_SENTENCE_CHARS]
            return None
        sentence = DraftSentence(text=text, markers=tuple(dict.fromkeys(markers)), lead=self._lead)
        self._lead, self._carried = "", []
        return sentence


class SourceNumbering:
    """Assigns the numbers that the client sees: S1, S2, … in the order of their first marker, without gaps."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}

    def __contains__(self, passage_number: int) -> bool:
        return passage_number in self._numbers

    def assign(self, passage_number: int) -> int:
        """Return the source number of this passage; the first time, the next free one."""
        return self._numbers.setdefault(passage_number, len(self._numbers) + 1)


def render_markers(numbers: Sequence[int]) -> str:
    """Return `[S1][S2]` for `[1, 2]`."""
    return "".join(f"[S{number}]" for number in numbers)


def render_sentence(text: str, numbers: Sequence[int]) -> str:
    """Return the sentence with its markers before its final punctuation: `… 12 ngày nghỉ phép năm [S1].`"""
    if not numbers:
        return text
    final = _FINAL_PUNCTUATION.search(text)
    position = final.start() if final and final.start() else len(text)
    return f"{text[:position]} {render_markers(numbers)}{text[position:]}"


def pieces(text: str) -> list[str]:
    """Split a sentence with its rendered markers into the texts of token events; joined they are `text`.

    No marker is split; six words or more make at least two pieces. Long runs without white space are split too.
    """
    tokens = _TOKEN.findall(text)
    return ["".join(tokens[at : at + _WORDS_PER_PIECE]) for at in range(0, len(tokens), _WORDS_PER_PIECE)]


def _first_cut(window: str, passed: int, *, ended: bool) -> tuple[tuple[int, int] | None, int]:
    """Return where the sentence at the start of `window` ends, and where its trailing markers end; None: not known yet.

    The result depends on the text alone, never on how much of it has arrived: it is given only once all the characters
    that decide it are there. The second value is the `passed` of the next call: how far the window is already examined.
    """
    full = len(window) == _WINDOW_CHARS
    for stop in _STOP.finditer(window, passed):
        if stop.end() > MAX_SENTENCE_CHARS:
            break
        if stop.end() == len(window) and not ended and stop.group() != "\n":
            return None, passed
        cut = _cut_at(window, stop, settled=ended)
        if cut is None or cut[0]:
            return cut, passed
        passed = stop.end()
    if window and (ended or full):
        whole = ended and len(window) <= MAX_SENTENCE_CHARS
        end = len(window) if whole else _forced_cut(window)
        return (end, end), passed
    return None, passed


def _cut_at(window: str, stop: re.Match[str], *, settled: bool) -> tuple[int, int] | None:
    """Return the cut at this stop; (0, 0) if the sentence continues after it; None if more text may decide."""
    is_line_end = stop.group() == "\n"
    text_end = stop.start() if is_line_end else stop.end()
    ahead = window[text_end : text_end + LOOKAHEAD_CHARS]
    settled = settled or len(ahead) == LOOKAHEAD_CHARS
    if not is_line_end and ahead[:1].isspace() and _MARKED_STOP.search(window, 0, text_end):
        return text_end, text_end  # its sources are already given
    trailing = trailing_markers(ahead)
    if not settled and (may_begin_marker(ahead) or may_begin_marker(ahead[trailing:])):
        return None
    if is_line_end:
        is_inside = _OPEN_BRACKET.search(window, 0, text_end) and _IN_BRACKET.match(ahead)
        return (0, 0) if is_inside else (text_end, text_end + trailing)
    following = " A"  # after a marker the next word decides nothing: only "1." and "Dr." go on
    if not trailing:
        next_word = _NEXT_WORD.match(ahead)
        following = next_word.group() if next_word else ""
        if len(following) == len(ahead) and not settled:
            return None
    ends = ends_sentence(window[:text_end] + following, stop.start())
    return (text_end, text_end + trailing) if ends else (0, 0)


def _forced_cut(window: str) -> int:
    """Return the last white space within the bound that is not inside a marker."""
    markers = marker_spans(window)

    def is_inside(position: int) -> bool:
        return any(start < position < end for start, end in markers)

    spaces = (at for at in range(MAX_SENTENCE_CHARS, 0, -1) if window[at].isspace() and not is_inside(at))
    end = next(spaces, MAX_SENTENCE_CHARS)
    return next((start for start, stop in markers if 0 < start < end < stop), end)
