"""Decide what of a page a person reads: not its scripts and menus, nor what is struck out or hidden.

What a person could take for the text of the page and is left out all the same is counted and told.
"""

import re
from enum import Enum
from typing import Final

from lxml import etree


def _tags(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


class Verdict(Enum):
    """Whether an element is read; the value says in a warning what was not, and is empty if nobody asks."""

    SEEN = ""
    NOT_TEXT = " "
    STRUCK = "struck-out passage"
    HIDDEN = "hidden passage"
    FRAME = "embedded frame"
    CHOICE = "list to choose from"

    def tell(self, count: int) -> str:
        """Return the warning for so many elements."""
        if count == 1:
            return f"not in the text: 1 {self.value}"
        many = "lists to choose from" if self is Verdict.CHOICE else f"{self.value}s"
        return f"not in the text: {count} {many}"


_NEVER: Final = _tags("script style object canvas audio video datalist link meta base title frameset map colgroup rp")
_OWNERS_OF_FOOTERS: Final = ("article", "main", "section", "blockquote")  # else it is the site's: copyright and links
_BODIES: Final = ("main", "article", "h1")  # what holds one of these is no menu
_HIDING_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_MENU_ROLES: Final = _tags("navigation menu menubar search")
_NAME = re.compile(r"[a-z]+")
_MENU_NAMES: Final = _tags("nav navbar navigation menu submenu breadcrumb breadcrumbs pagination pager topnav")
_COOKIE_NAMES: Final = _tags("cookie cookies cookiebar cookiebanner consent gdpr")
_BANNER_NAMES: Final = _tags("banner bar popup modal notice overlay cookiebar cookiebanner dialog toast")
# Shown after a click: the other tabs, and the answers of an accordion.
_OPENED_NAMES: Final = _tags(
    "tab tabpanel tabcontent panel pane collapse collapsible accordion faq answer toggle expandable details"
)
_ICON_NAMES: Final = _tags("icon icons fa fas far fab material glyphicon bi anchor katex")
_QUESTION_NAMES: Final = _tags("accordion faq collapse collapsed question")
_MAX_MENU_CHARS: Final = 3000
_MIN_LINK_SHARE: Final = 0.7


def judge(element: etree._Element, *, shows_hidden: bool = False) -> Verdict:  # noqa: PLR0911 - one line per reason
    """Return whether a person reads the element and, if not, of what kind it is."""
    tag = str(element.tag)
    if tag in _NEVER or _is_menu(element, tag):
        return Verdict.NOT_TEXT
    if tag in ("del", "s", "strike"):
        return Verdict.STRUCK if _has_words(element) else Verdict.NOT_TEXT
    if not shows_hidden and _is_hidden(element, tag):
        return Verdict.HIDDEN if _has_words(element) and tag != "iframe" else Verdict.NOT_TEXT
    if tag == "iframe":
        return Verdict.FRAME if element.get("width") not in ("0", "1") else Verdict.NOT_TEXT
    if tag == "noscript" and (_is_in_head(element) or re.search("java ?script", read_text_of(element), re.IGNORECASE)):
        return Verdict.NOT_TEXT
    if tag == "select" and not any("selected" in option.attrib for option in element.iter("option")):
        return Verdict.CHOICE if _has_words(element) else Verdict.NOT_TEXT
    if tag == "button" and not _is_question(element):
        return Verdict.NOT_TEXT
    return Verdict.SEEN


def read_text_of(element: etree._Element) -> str:
    """Return all text inside the element, in one line."""
    return " ".join("".join(map(str, element.itertext())).split())


def _has_words(element: etree._Element) -> bool:
    return any(char.isalnum() for piece in element.itertext() for char in str(piece))


def _names_of(element: etree._Element) -> set[str]:
    return set(_NAME.findall(f"{element.get('class', '')} {element.get('id', '')}".lower()))


def _is_in_head(element: etree._Element) -> bool:
    return next(element.iterancestors("head"), None) is not None


def _is_hidden(element: etree._Element, tag: str) -> bool:
    attributes = element.attrib
    if tag == "template":
        return True
    if attributes.get("aria-hidden") == "true" and _is_decoration(element):
        return True
    is_styled_away = "style" in attributes and _HIDING_STYLE.search(str(attributes["style"])) is not None
    if not is_styled_away and ("hidden" not in attributes or attributes["hidden"] == "until-found"):
        return False
    return tag not in ("html", "body", "main") and not (
        attributes.get("role") == "tabpanel" or _OPENED_NAMES & _names_of(element)
    )


def _is_decoration(element: etree._Element) -> bool:
    """Return whether what is hidden from screen readers alone is no text: a sign, an icon, a formula's second form."""
    return not _has_words(element) or bool(_ICON_NAMES & _names_of(element))


def _is_question(button: etree._Element) -> bool:
    """Return whether the button is the title of what it opens, as in a list of frequent questions."""
    if next(button.iterancestors("h1", "h2", "h3", "h4", "h5", "h6", "summary", "dt"), None) is not None:
        return True
    return bool(_QUESTION_NAMES & _names_of(button))


def _is_menu(element: etree._Element, tag: str) -> bool:
    role = element.get("role", "")
    if tag == "footer" or role == "contentinfo":
        return next(element.iterancestors(*_OWNERS_OF_FOOTERS), None) is None and not _holds_body(element)
    if tag == "nav" or role in _MENU_ROLES:
        return not _holds_body(element)
    if tag not in ("div", "ul", "ol", "section", "aside", "header", "dialog", "form", "p", "table"):
        return False
    names = _names_of(element)
    if _MENU_NAMES & names:
        return _is_mostly_links(element) and not _holds_body(element)
    if _COOKIE_NAMES & names and (_BANNER_NAMES & names or next(element.iter("button"), None) is not None):
        text = _read_some(element)
        return len(text) < _MAX_MENU_CHARS and "cookie" in text.lower() and not _holds_body(element)
    return False


def _holds_body(element: etree._Element) -> bool:
    return element.tag in _BODIES or next(element.iterdescendants(*_BODIES), None) is not None


def _read_some(element: etree._Element) -> str:
    """Return the text of the element, or a part longer than any menu: a whole page is not read for each name in it."""
    pieces: list[str] = []
    length = 0
    for piece in element.itertext():
        pieces.append(" ".join(str(piece).split()))
        length += len(pieces[-1])
        if length > _MAX_MENU_CHARS:
            break
    return " ".join(filter(None, pieces))


def _is_mostly_links(element: etree._Element) -> bool:
    text = _read_some(element)
    if len(text) > _MAX_MENU_CHARS:
        return False
    linked = sum(_count_letters(read_text_of(link)) for link in element.iter("a", "button"))
    return linked >= _MIN_LINK_SHARE * _count_letters(text)


def _count_letters(text: str) -> int:
    return sum(char.isalnum() for char in text)
