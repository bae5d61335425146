"""Make headings of the bold lines of a Word file: many authors use no styles."""

import re
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Final

from rag.parsing.article_labels import has_label
from rag.parsing.blocks import Block

MAX_LEVEL: Final = 6
_MAX_CHARS: Final = 120
_ENDS_NO_HEADING = re.compile(r"[.,;:!?…][\"'”’)\]]*\Z")


@dataclass(frozen=True, slots=True)
class Item(Block):
    """A block, and whether it is a paragraph in bold letters outside lists."""

    is_bold: bool = False


def mark_bold_headings(blocks: list[Block]) -> list[Block]:
    """Make short bold paragraphs above other text headings; the first of a document is its title."""
    bold = sum(len(block.text) for block in blocks if isinstance(block, Item) and block.is_bold)
    if 2 * bold > sum(len(block.text) for block in blocks):
        return blocks
    filled = [block for block in blocks if block.text]
    marked: list[Block] = []
    level = 0  # of the last heading that has a style
    for at, (block, after) in enumerate(zip_longest(filled, filled[1:])):
        level = block.level or level
        if after is not None and isinstance(block, Item) and _is_bold_heading(block, after):
            marked.append(
                replace(block, level=1 if at == 0 and not has_label(block.text) else min(max(level, 1) + 1, MAX_LEVEL))
            )
        else:
            marked.append(block)
    return marked


def _is_bold_heading(block: Item, after: Block) -> bool:
    return (
        block.is_bold
        and not block.level
        and not (isinstance(after, Item) and after.is_bold and not after.level and after.glue == "\n")
        and len(block.text) <= _MAX_CHARS
        and "\n" not in block.text
        and not _ENDS_NO_HEADING.search(block.text)
        and any(char.isalpha() for char in block.text)
    )
