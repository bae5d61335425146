"""What a chunk is about and does not say itself: it is searched and ranked with the chunk, and never shown with it."""

from collections.abc import Sequence
from typing import Final

from rag.language import detect_language, sentence_spans
from rag.types import CONTEXT_SEPARATOR, Span

MAX_TITLE_CHARS: Final = 100
MAX_OPENING_CHARS: Final = 80


def contexts_of(title: str, spans: Sequence[Span]) -> list[str]:
    """For each chunk the title, the document's first sentence, which often says whose document it is, and the headings
    above; nothing that the chunk itself begins with.

    No title that is in another language: of questions in the language of the text it is seldom a part, and it draws the
    vectors away from them.
    """
    title, opening = title[:MAX_TITLE_CHARS], _opening_of(title, spans[0].text)
    contexts = []
    for at, span in enumerate(spans):
        speaks = detect_language(title)
        is_foreign = speaks != "other" and detect_language(span.text) not in (speaks, "other")
        parts = ["" if is_foreign or span.text.startswith(title) else title, opening if at else "", span.context]
        contexts.append(CONTEXT_SEPARATOR.join(filter(None, parts)))
    return contexts


def _opening_of(title: str, text: str) -> str:
    """The first sentence of a document, if it is short: longer ones say more than whose document it is."""
    rest = text.removeprefix(title).lstrip()
    start, end = next(iter(sentence_spans(rest)), (0, 0))
    return " ".join(rest[start:end].split()) if end - start <= MAX_OPENING_CHARS else ""
