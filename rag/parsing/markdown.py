"""Read Markdown by way of HTML: one walk over a tree serves both, and HTML inside Markdown needs no special case."""

import re
import tomllib
from collections.abc import MutableMapping, Sequence
from dataclasses import replace
from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from rag.errors import ParseError
from rag.parsing import charsets, html
from rag.parsing.blocks import Draft


def _tags(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


_YAML = re.compile(r"\A---[^\S\n]*\n(.*?\n)?(?:---|\.\.\.)[^\S\n]*(?:\n|\Z)", re.DOTALL)
_YAML_LINE = re.compile(r"\s*(?:#.*|[\w\"'.-][^:]*:(?:\s.*)?|-(?:\s.*)?|[\]}],?)?|\s+.*")
_YAML_TITLE = re.compile(r"^title:[^\S\n]*(['\"]?)(.+?)\1[^\S\n]*$", re.MULTILINE)
_TOML = re.compile(r"\A\+\+\+[^\S\n]*\n(.*?)^\+\+\+[^\S\n]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
# Items deeper than this are dropped without a word by the parser; Python's recursion ends before, and is told.
_MAX_NESTING: Final = 10_000
_FOOTNOTE = re.compile(r"\[\^([^\]\s]{1,40})\]")
_FOOTNOTE_START = re.compile(r"\[\^([^\]\s]{1,40})\]:[ \t]*")
_TAG = re.compile(r"<(?=/?([A-Za-z][\w.:-]*))")
# What a page may hold; other words in angle brackets are placeholders, such as `<your-name>`, and are read as text.
_HTML_TAGS: Final = _tags(
    "a abbr acronym address article aside audio b bdi bdo big blockquote body br button canvas caption center",
    "cite  code col colgroup data datalist dd del details dfn dialog dir div dl dt em embed fieldset figcaption",
    "figure  font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe img input ins",
    "kbd label  legend li link main map mark math menu meta meter nav noframes noscript object ol optgroup option",
    "output p  param picture pre progress q rp rt ruby s samp script search section select small source span",
    "strike strong  style sub summary sup svg table tbody td template text textarea tfoot th thead time title tr",
    "track tt u ul var  video wbr path g rect circle line defs use polygon annotation semantics mrow mi mn mo",
    "msup msub mfrac msqrt",
)


def read(data: bytes) -> Draft:
    """Read Markdown; the title is that of the front matter, if it has one. The rest of the front matter is dropped.

    Raises: ParseError: its lists are nested deeper than the parser goes.
    """
    text = charsets.decode(data).replace("\r\n", "\n").replace("\r", "\n")
    title, text = _split_front_matter(text)
    try:
        rendered = _make_parser().render(text)
    except RecursionError as error:
        raise ParseError("its lists or quotations are nested too deep") from error
    return replace(html.read_text(rendered), title=title)


def _split_front_matter(text: str) -> tuple[str, str]:
    """Return title and body; two rules at the top with text between are no front matter, and stay in the body."""
    found = _YAML.match(text)
    if found is not None:
        matter = found.group(1) or ""
        if all(_YAML_LINE.fullmatch(line) for line in matter.split("\n")):
            title = _YAML_TITLE.search(matter)
            return (title.group(2) if title else ""), text[found.end() :]
    found = _TOML.match(text)
    if found is not None:
        try:
            title_value = tomllib.loads(found.group(1)).get("title", "")
        except tomllib.TOMLDecodeError:
            return "", text
        return str(title_value), text[found.end() :]
    return "", text


def _make_parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING}).enable(["table", "strikethrough"])
    parser.block.ruler.before("reference", "footnote", _read_footnote, {"alt": ["paragraph", "reference"]})
    parser.inline.ruler.before("link", "footnote_mark", _read_footnote_mark)
    parser.inline.ruler.before("emphasis", "product", _read_product)
    parser.add_render_rule("html_inline", _render_html)
    parser.add_render_rule("html_block", _render_html)
    return parser


def _read_footnote(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Read `[^1]: text` as a paragraph `[1] text`; a link's address of this form would not be shown at all."""
    if state.is_code_block(start):
        return False
    line = state.src[state.bMarks[start] + state.tShift[start] : state.eMarks[start]]
    mark = _FOOTNOTE_START.match(line)
    if mark is None or silent:
        return mark is not None
    last = start + 1
    while last < end and not state.isEmpty(last) and not _starts_footnote(state, last):
        last += 1
    content = state.getLines(start, last, state.blkIndent, False).strip()
    state.line = last
    opened = state.push("paragraph_open", "p", 1)
    opened.map = [start, last]
    inline = state.push("inline", "", 0)
    inline.content, inline.map, inline.children = f"[^{mark.group(1)}] {content[mark.end() :]}", [start, last], []
    state.push("paragraph_close", "p", -1)
    return True


def _starts_footnote(state: StateBlock, line: int) -> bool:
    return _FOOTNOTE_START.match(state.src, state.bMarks[line] + state.tShift[line], state.eMarks[line]) is not None


def _read_footnote_mark(state: StateInline, silent: bool) -> bool:
    mark = _FOOTNOTE.match(state.src, state.pos, state.posMax)
    if mark is None:
        return False
    if not silent:
        state.pending += f"[{mark.group(1)}]"
    state.pos = mark.end()
    return True


def _read_product(state: StateInline, silent: bool) -> bool:
    """Keep the star between two figures: `2*3*4` is not 234."""
    at = state.pos
    if not (state.src[at] == "*" and 0 < at < state.posMax - 1):
        return False
    if not (state.src[at - 1].isdigit() and state.src[at + 1].isdigit()):
        return False
    if not silent:
        state.pending += "*"
    state.pos += 1
    return True


def _render_html(
    renderer: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: MutableMapping[str, Any]
) -> str:
    """Return HTML as it is, but for tags that HTML does not have."""
    return _TAG.sub(lambda found: "<" if found.group(1).lower() in _HTML_TAGS else "&lt;", tokens[at].content)
