"""Counting tokens from a model's `tokenizer.json` alone: no torch, no transformers, so the front can afford it."""

from pathlib import Path

from tokenizers import Tokenizer


class FileTokenCounter:
    """Counts as the model that the folder belongs to does, special tokens aside.

    Raises: FileNotFoundError: the folder has no `tokenizer.json`.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "tokenizer.json"
        if not path.exists():
            raise FileNotFoundError(f"model folder {folder.name!r} has no tokenizer.json")
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)
