"""Splitting documents into chunks: sizes, boundaries, pages, headings, exact offsets."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.parsing.chunking import split
from rag.types import Document, Heading, PageSpan

SENTENCE = "Nhân viên được nghỉ phép theo quy định của công ty."  # 11 words


class WordCounter:
    """Counts white-space words; `surplus` is added to texts of several sentences, as a tokenizer may."""

    def __init__(self, surplus: int = 0) -> None:
        self.calls: Counter[str] = Counter()
        self._surplus = surplus

    def count(self, text: str) -> int:
        self.calls[text] += 1
        return len(text.split()) + self._surplus * (text.count(".") > 1)


class CharCounter:
    def count(self, text: str) -> int:
        return len(text)


def document(*blocks: str, headings: tuple[str, ...] = (), pages: tuple[int, ...] = ()) -> Document:
    """Blocks joined by blank lines; `headings` names those that are; `pages` are the starts of pages."""
    text = "\n\n".join(blocks)
    found = tuple(Heading(text.index(name), text.index(name) + len(name), 1, name) for name in headings)
    ends = [*pages[1:], len(text)]
    spans = tuple(PageSpan(n + 1, start, end) for n, (start, end) in enumerate(zip(pages, ends, strict=bool(pages))))
    return Document(title="Thử", text=text, headings=found, pages=spans if pages else ())


def paragraph(sentences: int) -> str:
    return " ".join([SENTENCE] * sentences)


@given(
    text=st.text(st.sampled_from(list("aAộ1 .\n\n?|-#")), max_size=400),
    target=st.integers(1, 60),
    limit=st.integers(1, 80),
)
def test_chunks_cover_the_text_once_and_stay_within_the_limit(text: str, target: int, limit: int) -> None:
    """Every character but white space is in exactly one chunk, word for word, and no chunk is above the limit."""
    spans = split(Document("t", text), CharCounter(), target_tokens=target, limit_tokens=limit)

    position = 0
    for span in spans:
        assert not text[position : span.start].strip()
        assert span.text == text[span.start : span.end] == span.text.strip() != ""
        assert len(span.text) <= limit
        position = span.end
    assert not text[position:].strip()


def test_chunks_are_near_the_target_and_leave_no_tail() -> None:
    """The text after the last full chunk is shared out, not left as a scrap."""
    spans = split(document(*[paragraph(3)] * 13), WordCounter(), target_tokens=200, limit_tokens=500)

    assert all(130 <= len(span.text.split()) <= 270 for span in spans)


def test_a_chunk_begins_and_ends_with_a_sentence() -> None:
    """A quote is a sentence of a chunk; a torn one could not be quoted."""
    spans = split(document(paragraph(100)), WordCounter(), target_tokens=60, limit_tokens=500)

    assert len(spans) > 10
    assert all(span.text.startswith("Nhân viên") and span.text.endswith("công ty.") for span in spans)


def test_a_new_section_begins_a_new_chunk() -> None:
    """Two sections of a fair size are not thrown together, though both would fit."""
    spans = split(
        document("Một", paragraph(10), "Hai", paragraph(10), headings=("Một", "Hai")), WordCounter(), limit_tokens=500
    )

    assert [span.heading for span in spans] == ["Một", "Hai"]
    assert spans[1].text.startswith("Hai\n\nNhân viên")


def test_tiny_sections_share_a_chunk() -> None:
    """A question of a FAQ with one line of answer says too little alone."""
    spans = split(document("Một", SENTENCE, "Hai", SENTENCE, headings=("Một", "Hai")), WordCounter(), limit_tokens=500)

    assert [(span.heading, span.text.count("Nhân viên")) for span in spans] == [("Một", 2)]


def test_a_heading_is_never_the_end_of_a_chunk() -> None:
    """Cut off from the text after it, a heading says nothing and the text loses its subject."""
    blocks = [block for name in "ABCDEFGH" for block in (f"Mục {name}", paragraph(17))]
    spans = split(
        document(*blocks, headings=tuple(f"Mục {name}" for name in "ABCDEFGH")), WordCounter(), limit_tokens=200
    )

    assert len(spans) == 8
    assert not any(span.text.splitlines()[-1].startswith("Mục") for span in spans)


def test_text_before_the_first_heading_has_none() -> None:
    spans = split(document(paragraph(15), "Một", paragraph(15), headings=("Một",)), WordCounter(), limit_tokens=500)

    assert [span.heading for span in spans] == [None, "Một"]


def test_pages_come_from_the_first_and_the_last_character() -> None:
    """A citation names the pages on which the chunk stands, from the first to the last."""
    text = f"{SENTENCE}\n\n{SENTENCE}\n\n{SENTENCE}"
    step = len(SENTENCE) + 2
    pages = (
        PageSpan(1, 0, step),
        PageSpan(2, step, step),
        PageSpan(3, step, 2 * step),
        PageSpan(4, 2 * step, len(text)),
    )

    spans = split(Document("t", text, pages=pages), WordCounter(), target_tokens=22, limit_tokens=22)

    assert [(span.page_start, span.page_end) for span in spans] in ([(1, 3), (4, 4)], [(1, 1), (3, 4)])


def test_a_chunk_ends_with_the_page_when_it_is_large_enough() -> None:
    """Two pages of a fair size each give two chunks with one exact page each."""
    page = paragraph(10)

    spans = split(document(page, page, pages=(0, len(page) + 2)), WordCounter(), limit_tokens=500)

    assert [(span.page_start, span.page_end) for span in spans] == [(1, 1), (2, 2)]


def test_a_document_without_pages_has_none() -> None:
    spans = split(document(SENTENCE), WordCounter(), limit_tokens=500)

    assert [(span.page_start, span.page_end) for span in spans] == [(None, None)]


@pytest.mark.parametrize(("text", "pieces"), [("từ " * 1000, 10), ("từ" * 1000, 20)])
def test_an_endless_sentence_is_cut_at_white_space_or_else_anywhere(text: str, pieces: int) -> None:
    """A page without a full stop must not become a chunk that the embedder cuts silently."""
    spans = split(Document("t", text.strip()), CharCounter(), target_tokens=100, limit_tokens=100)

    assert len(spans) >= pieces
    assert all(len(span.text) <= 100 for span in spans)
    assert "".join(span.text for span in spans).replace(" ", "") == text.replace(" ", "")


def test_a_joined_chunk_is_counted_as_it_will_be_embedded() -> None:
    """Tokens of a chunk can be more than the sum over its sentences; the limit holds for the chunk."""
    counter = WordCounter(surplus=30)

    spans = split(document(paragraph(40)), counter, target_tokens=100, limit_tokens=110)

    assert all(counter.count(span.text) <= 110 for span in spans)


def test_each_sentence_is_counted_once() -> None:
    """Tokenising is the slow part; counting every prefix again would be quadratic."""
    counter = WordCounter()
    numbered = [f"Câu số {number} có vài từ." for number in range(300)]

    split(document(" ".join(numbered)), counter, limit_tokens=500)

    assert all(counter.calls[sentence] == 1 for sentence in numbered)
    assert sum(counter.calls.values()) < 320


def test_the_same_document_gives_the_same_chunks() -> None:
    """Chunk ids are numbers in order: another order would make old citations point elsewhere."""
    source = document(*[paragraph(number % 7 + 1) for number in range(60)])

    assert split(source, WordCounter(), limit_tokens=300) == split(source, WordCounter(), limit_tokens=300)


def test_an_empty_text_gives_no_chunks() -> None:
    assert split(Document("t", " \n"), WordCounter(), limit_tokens=10) == []
