"""Collect what of the pages of a PDF is not in its text, by reason."""

from collections.abc import Sequence
from typing import Final

_MAX_WARNINGS: Final = 50
_QUOTED_CHARS: Final = 60


class Notes:
    """What of the pages is not in the text, by reason."""

    UNREADABLE: Final = "the characters have no known meaning, so the text is left out"
    IMAGE: Final = "an image without a text layer"

    def __init__(self) -> None:
        self._pages: dict[str, list[int]] = {}

    def add(self, reason: str, page: int) -> None:
        pages = self._pages.setdefault(reason, [])
        if page not in pages:
            pages.append(page)

    def refusal(self, page_count: int) -> str:
        """Return why the whole document is refused."""
        if self.UNREADABLE in self._pages and self.IMAGE not in self._pages:
            return "its text is unreadable: the characters have no known meaning"
        return f"scanned: {page_count} page{'s' * (page_count != 1)} without a text layer"

    def warnings(self) -> list[str]:
        """Return one line for each reason, in the order of the first page."""
        ordered = sorted(self._pages.items(), key=lambda item: min(item[1]))
        lines = [f"{_name_pages(sorted(pages))}: {reason}" for reason, pages in ordered]
        more = len(lines) - _MAX_WARNINGS
        return [*lines[:_MAX_WARNINGS], f"{more} more of these"] if more > 0 else lines


def _name_pages(pages: Sequence[int]) -> str:
    """Return `page 3` or `pages 2, 5-7`."""
    runs: list[list[int]] = []
    for page in pages:
        if runs and page == runs[-1][-1] + 1:
            runs[-1].append(page)
        else:
            runs.append([page])
    names = ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
    return f"page{'s' * (len(pages) > 1)} {names}"


def quote(text: str) -> str:
    return f'"{text[:_QUOTED_CHARS]}{"…" * (len(text) > _QUOTED_CHARS)}"'
