"""Read web pages for what a person would see: headings, paragraphs, list items and table rows.

selectolax was rejected: Lexbor's tree building is quadratic in the depth (100,000 open `<div>` took 36 s). lxml's
libxml2 stops at a bounded depth and reports it.
"""

import re
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from lxml import etree

from rag.errors import ParseError
from rag.parsing import charsets
from rag.parsing.blocks import Draft
from rag.parsing.html_formulas import read_formula, read_script
from rag.parsing.html_visibility import Verdict, judge, read_text_of
from rag.parsing.html_writer import Writer

_DECLARED_CHARSET = re.compile(
    rb"<(?:meta|\?xml)[^>]{0,300}(?:charset|encoding)\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE
)
_SNIFFED_BYTES: Final = 4096  # HTML standard, 13.2.3.2: declared within the first 1024 bytes; some pages do it later
_MAX_NAMED_FRAMES: Final = 5
_SVG_TEXT: Final = "text"


def read(data: bytes) -> Draft:
    """Read a page, in any encoding that `charsets.decode` knows or the page declares."""
    declared = _DECLARED_CHARSET.search(data, 0, _SNIFFED_BYTES)
    return read_text(charsets.decode(data, declared.group(1).decode("ascii", "replace") if declared else None))


def read_text(markup: str) -> Draft:
    """Return the blocks of a page or a fragment; what of it is left out is told in the warnings.

    Raises: ParseError: nested deeper than libxml2 goes, and deeper content would be lost silently; or a set of frames.
    """
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    root = etree.fromstring(markup.encode("utf-8"), parser)
    if root is None:
        return Draft([])
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" or "depth" in entry.message for entry in parser.error_log):
        raise ParseError("its elements are nested too deep")
    _refuse_frames(root)
    draft = _walk(root)
    # Some pages hide all they hold until a script has run.
    return draft if draft.blocks else _walk(root, shows_hidden=True)


def _refuse_frames(root: etree._Element) -> None:
    if next(root.iter("frameset"), None) is None:
        return
    names = [PurePosixPath(urlsplit(frame.get("src", "")).path).name for frame in root.iter("frame")]
    listed = ", ".join(name for name in names[:_MAX_NAMED_FRAMES] if name) or "no names"
    raise ParseError(f"it is a set of frames: its text is in other files ({listed}); add those")


def _walk(root: etree._Element, *, shows_hidden: bool = False) -> Draft:
    writer = Writer()
    left_out: dict[Verdict, int] = {}
    walk = etree.iterwalk(root, events=("start", "end"))
    is_skipped = False
    for event, element in walk:
        if event == "end":
            if not is_skipped:
                writer.close(element)
            is_skipped = False
            writer.add(element.tail)
            continue
        verdict = judge(element, shows_hidden=shows_hidden)
        if verdict is not Verdict.SEEN:
            left_out[verdict] = left_out.get(verdict, 0) + 1
        whole = None if verdict is not Verdict.SEEN else _read_whole(element, writer)
        if verdict is not Verdict.SEEN or whole is not None:
            writer.add(whole)
            walk.skip_subtree()
            is_skipped = True
        else:
            writer.open(element)
            writer.add(element.text)
    writer.finish()
    warnings = [verdict.tell(left_out[verdict]) for verdict in Verdict if verdict.value.strip() and verdict in left_out]
    return Draft(writer.blocks, title=root.findtext("head/title") or "", warnings=warnings)


def _read_whole(element: etree._Element, writer: Writer) -> str | None:
    """Return the text of an element that is read in one piece; None if it is read part by part."""
    tag = element.tag
    if tag in ("sup", "sub"):
        return read_script(element, writer.before)
    if tag == "math":
        return f" {read_formula(element)} "
    if tag == "svg":
        return " ".join(["", *(read_text_of(part) for part in element.iter(_SVG_TEXT)), ""])
    if tag == "select":
        chosen = [read_text_of(option) for option in element.iter("option") if "selected" in option.attrib]
        return f" {', '.join(chosen)} "
    if tag == "textarea":
        return f" {read_text_of(element)} "
    return None
