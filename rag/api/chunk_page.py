"""The page of one chunk, which a citation links to: its text with the quotation highlighted, and nothing that runs.

Everything on it comes from documents and from the URL, so everything is escaped, and the policy allows no script at
all and no style but this one, by its digest.
"""

import base64
import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from types import MappingProxyType
from typing import Final
from urllib.parse import quote as percent_encode

from rag.text.language import Language, stored_language
from rag.types import Chunk, PlacedChunk

_STYLE: Final = """
  :root { color-scheme: light dark }
  body { font: 16px/1.6 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem }
  .where { opacity: .75 }
  .text { white-space: pre-wrap; overflow-wrap: anywhere }
  mark { padding: .1em 0 }
  nav { display: flex; justify-content: space-between; margin-top: 2rem }
  @media (prefers-color-scheme: dark) { mark { background: #655200; color: #fff } }
"""
_STYLE_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
PAGE_HEADERS: Final = (
    (
        b"content-security-policy",
        f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'".encode(),
    ),
    (b"referrer-policy", b"no-referrer"),  # the address may hold the quotation
)
# A quotation whose white space was changed on the way is looked for word by word, if it has no more words than this.
_WORDS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class _Labels:
    page: str
    pages: str
    printed: str
    previous: str
    next: str


_ENGLISH: Final = _Labels("Page", "Pages", "printed", "Previous passage", "Next passage")
_LABELS: Final[Mapping[Language, _Labels]] = MappingProxyType(
    {"en": _ENGLISH, "vi": _Labels("Trang", "Trang", "số in", "Đoạn trước", "Đoạn sau")}
)


def render_page(found: PlacedChunk, quote: str) -> str:
    """Return the page in the chunk's language, or in English around a text in a language that is not known."""
    chunk = found.chunk
    language = stored_language(chunk.text)
    labels = _LABELS.get(language, _ENGLISH)
    own = "" if language in _LABELS else ' lang=""'
    where = " · ".join(filter(None, (chunk.heading, _name_pages(chunk, labels))))
    return f"""<!doctype html>
<html lang="{language if language in _LABELS else "en"}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{escape(chunk.title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1{own}>{escape(chunk.title)}</h1>
<p class="where"{own}>{escape(where)}</p>
<div class="text"{own}>{_mark(chunk.text, quote)}</div>
</main>
<nav>{_link(found.previous, "prev", labels.previous)}{_link(found.next, "next", labels.next)}</nav>
</body>
</html>
"""


def find_quote(text: str, quote: str) -> tuple[int, int] | None:
    """Return where the quotation stands in the text first; white space may differ. None if it is not there."""
    quote = unicodedata.normalize("NFC", quote).strip()
    if not quote:
        return None
    start = text.find(quote)
    if start >= 0:
        return start, start + len(quote)
    words = quote.split()
    if len(words) > _WORDS_MAX:
        return None
    match = re.search(r"\s+".join(map(re.escape, words)), text)
    return match.span() if match else None


def _mark(text: str, quote: str) -> str:
    span = find_quote(text, quote)
    if span is None:
        return escape(text)
    start, end = span
    return f"{escape(text[:start])}<mark>{escape(text[start:end])}</mark>{escape(text[end:])}"


def _name_pages(chunk: Chunk, labels: _Labels) -> str | None:
    if chunk.page_start is None:
        return None
    if chunk.page_end is None or chunk.page_end == chunk.page_start:
        counted = f"{labels.page} {chunk.page_start}"
    else:
        counted = f"{labels.pages} {chunk.page_start}–{chunk.page_end}"
    return f"{counted} ({labels.printed} {chunk.page_label})" if chunk.page_label else counted


def _link(chunk_id: str | None, relation: str, label: str) -> str:
    """Relative, so that it holds below any prefix; with `./`, because the id begins like a scheme."""
    if chunk_id is None:
        return "<span></span>"
    return f'<a rel="{relation}" href="./{percent_encode(chunk_id, safe="")}">{label}</a>'
