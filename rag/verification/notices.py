"""Hold the sentences of an answer that are the service's own, in the language of the question."""

from collections.abc import Mapping
from typing import Final

from rag.text.language import Language
from rag.text.markers import strip_markers

# Precedes a quotation in another language than the question's.
INTRODUCTIONS: Final[Mapping[tuple[Language, Language], str]] = {
    ("en", "vi"): "In the documents, in Vietnamese: ",
    ("vi", "en"): "Trong tài liệu, bằng tiếng Anh: ",
}


def older_edition_text(title: str, language: Language) -> str:
    """Return the notice that an older edition of a document contradicts what was just said."""
    plain = strip_markers(title)
    if language == "vi":
        return f"Bản cũ hơn, “{plain}”, quy định khác."
    return f"An older edition, “{plain}”, says otherwise."
