"""Count tokens with only a model's `tokenizer.json`, without torch or transformers, so that the front stays small."""

from functools import lru_cache
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

# Passages recur in questions about the same subject. The cache takes a few MB and saves a millisecond per passage.
COUNTS_KEPT: Final = 1024


class FileTokenCounter:
    """Counts tokens as the model of the folder does, without special tokens.

    Raises: FileNotFoundError: the folder has no `tokenizer.json`.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "tokenizer.json"
        if not path.exists():
            raise FileNotFoundError(f"model folder {folder.name!r} has no tokenizer.json")
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._count_once = lru_cache(COUNTS_KEPT)(self._count)

    def count(self, text: str) -> int:
        """Return the number of tokens; recent texts are cached."""
        return self._count_once(text)

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)
