"""Read Markdown by way of HTML: one walk over a tree serves both, and HTML inside Markdown needs no special case."""

import re
from dataclasses import replace

from markdown_it import MarkdownIt

from rag.parsing import charsets, html
from rag.parsing.blocks import Draft

_FRONT_MATTER = re.compile(r"\A---[^\S\n]*\n(.*?\n)?(?:---|\.\.\.)[^\S\n]*(?:\n|\Z)", re.DOTALL)
_FRONT_MATTER_TITLE = re.compile(r"^title:[^\S\n]*(['\"]?)(.+?)\1[^\S\n]*$", re.MULTILINE)


def read(data: bytes) -> Draft:
    """Read Markdown; the title is that of the front matter, if it has one. The rest of the front matter is dropped."""
    text = charsets.decode(data).replace("\r\n", "\n").replace("\r", "\n")
    front_matter = _FRONT_MATTER.match(text)
    title = None
    if front_matter is not None:
        title = _FRONT_MATTER_TITLE.search(front_matter.group(1) or "")
        text = text[front_matter.end() :]
    draft = html.read_text(MarkdownIt("commonmark").enable("table").render(text))
    return replace(draft, title=title.group(2) if title else "")
