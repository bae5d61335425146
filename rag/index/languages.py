"""Store the language of each chunk of a version, so that one language can be searched alone.

Embedding models put texts of one language nearer to each other than to their translations: if there are enough chunks
in the language of the question, a chunk in the other one is never among the nearest.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag.index.manifest import BrokenIndexError
from rag.text.language import Language, detect_language

LANGUAGES_NAME: Final = "languages.i8"
# In the order of their codes in the file.
LANGUAGES: Final[tuple[Language, ...]] = ("other", "en", "vi")


class LanguageFile:
    """Languages by ordinal; in a version made without them, none is known and all are `other`."""

    def __init__(self, codes: NDArray[np.int8], *, is_known: bool = True) -> None:
        self.codes: Final = codes
        self.is_known: Final = is_known
        self._ordinals = {name: np.flatnonzero(codes == code) for code, name in enumerate(LANGUAGES)}

    @classmethod
    def load(cls, folder: Path, total: int) -> "LanguageFile":
        """Read the languages of a version.

        Raises: BrokenIndexError: the file does not belong to the version.
        """
        path = folder / LANGUAGES_NAME
        if not path.exists():
            return cls(np.zeros(total, dtype=np.int8), is_known=False)
        codes = np.fromfile(path, dtype=np.int8)
        if len(codes) != total:
            raise BrokenIndexError(f"{LANGUAGES_NAME} does not belong to the version")
        return cls(codes)

    def ordinals(self, language: Language) -> NDArray[np.int64]:
        """Return the ordinals of the chunks in this language, ascending."""
        return self._ordinals[language]


def detect_codes(texts: Iterable[str]) -> NDArray[np.int8]:
    """Detect the language of each text; returns the codes of the file, int8, (n,)."""
    return np.array([LANGUAGES.index(detect_language(text)) for text in texts], dtype=np.int8)
