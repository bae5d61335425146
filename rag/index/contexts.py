"""Give each chunk a context, the subject that it does not state itself; it is searched and ranked, but never shown."""

from collections.abc import Sequence
from typing import Final

from rag.text.language import detect_language, sentence_spans
from rag.types import CONTEXT_SEPARATOR, Span

MAX_TITLE_CHARS: Final = 100
MAX_OPENING_CHARS: Final = 80


def contexts_of(title: str, spans: Sequence[Span]) -> list[str]:
    """Return the context of each chunk: the title, the document's first sentence, and the headings above the chunk.

    The first sentence often says whose document it is. What the chunk itself begins with is left out. So is a title in
    another language than the chunk: questions in the chunk's language seldom contain it, and it moves the vectors away
    from them.
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
    """Return the first sentence of a document if it is short; a long one says more than whose document it is."""
    rest = text.removeprefix(title).lstrip()
    start, end = next(iter(sentence_spans(rest)), (0, 0))
    return " ".join(rest[start:end].split()) if end - start <= MAX_OPENING_CHARS else ""
