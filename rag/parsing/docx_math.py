"""Write the equations of a Word file in one line: fractions with a stroke, powers with a caret, brackets where they are
needed. As plain text they would lose their structure, and 3 over 4 would read as 34.

Source: ISO/IEC 29500-1, section 22.1.
"""

from typing import Final

from lxml import etree

from rag.parsing.docx_package import W_VAL, qn

EQUATIONS: Final = frozenset({qn("m:oMath"), qn("m:oMathPara")})
_MAX_DEPTH: Final = 60
_M: Final = qn("m:r").removesuffix("r")
_W: Final = qn("w:r").removesuffix("r")
_M_VAL: Final = qn("m:val")
_LEFT_OUT: Final = frozenset({f"{_W}del", f"{_W}moveFrom"})
_SPACED: Final = frozenset("=<>≤≥≠≈≡→⇒⇔")
_SIMPLE_ENDS: Final = frozenset("%.,'′°")


def linear(element: etree._Element, depth: int = 0) -> str:  # noqa: PLR0911, PLR0912 - one case for each kind
    """Return an equation, or a part of one, as text in one line."""
    if depth > _MAX_DEPTH:
        return " ".join(t.text or "" for t in element.iter(f"{_M}t"))
    tag = str(element.tag)
    name = tag.removeprefix(_M) if tag.startswith(_M) else ""
    if tag in _LEFT_OUT:
        return ""
    if name == "r":
        return _run(element)
    parts = {
        str(child.tag).removeprefix(_M): child for child in element if isinstance(child.tag, str)
    }  # the last of equal ones

    def part(key: str) -> str:
        found = parts.get(key)
        return "" if found is None else linear(found, depth + 1).strip()

    match name:
        case "f":
            kind = _property(element, "f", "type")
            stroke = "" if kind == "noBar" else "/"
            top, bottom = _grouped(part("num")), _grouped(part("den"))
            return f"({top}; {bottom})" if not stroke else f"{top}{stroke}{bottom}"
        case "sSup":
            return f"{_grouped(part('e'))}^{_grouped(part('sup'))}"
        case "sSub":
            return f"{_grouped(part('e'))}_{_grouped(part('sub'))}"
        case "sSubSup":
            return f"{_grouped(part('e'))}_{_grouped(part('sub'))}^{_grouped(part('sup'))}"
        case "sPre":
            return f"_{_grouped(part('sub'))}^{_grouped(part('sup'))} {part('e')}"
        case "rad":
            degree = part("deg")
            return f"{'√' if degree in ('', '2') else f'root[{degree}]'}({part('e')})"
        case "nary":
            sign = _property(element, "nary", "chr") or "∫"
            limits = "".join(f"{mark}{_grouped(part(key))}" for mark, key in (("_", "sub"), ("^", "sup")) if part(key))
            return f"{sign}{limits} {part('e')}"
        case "d":
            begin, end = _property(element, "d", "begChr"), _property(element, "d", "endChr")
            between = _property(element, "d", "sepChr")
            items = [linear(child, depth + 1).strip() for child in element.iterchildren(f"{_M}e")]
            return f"{'(' if begin is None else begin}{(between or '|').join(items)}{')' if end is None else end}"
        case "func":
            return f"{part('fName')} {part('e')}"
        case "limLow" | "limUpp":
            return f"{part('e')}{'_' if name == 'limLow' else '^'}{_grouped(part('lim'))}"
        case "acc":
            return f"{part('e')}{_property(element, 'acc', 'chr') or chr(0x302)}"
        case "m":
            rows = [
                ", ".join(linear(cell, depth + 1).strip() for cell in row.iterchildren(f"{_M}e"))
                for row in element.iterchildren(f"{_M}mr")
            ]
            return f"({'; '.join(rows)})"
        case "eqArr":
            return "; ".join(linear(child, depth + 1).strip() for child in element.iterchildren(f"{_M}e"))
    if name.endswith("Pr"):
        return ""
    joint = "\n" if name == "oMathPara" else ""
    return joint.join(linear(child, depth + 1) for child in element if isinstance(child.tag, str))


def _run(element: etree._Element) -> str:
    text = "".join(child.text or "" for child in element if child.tag in (f"{_M}t", f"{_W}t"))
    return "".join(f" {char} " if char in _SPACED else char for char in text).replace("  ", " ")


def _property(element: etree._Element, owner: str, name: str) -> str | None:
    properties = element.find(f"{_M}{owner}Pr")
    found = None if properties is None else properties.find(f"{_M}{name}")
    return None if found is None else str(found.get(_M_VAL, found.get(W_VAL, "")))


def _grouped(text: str) -> str:
    """Put brackets around what is more than one word or number."""
    is_simple = all(char.isalnum() or char in _SIMPLE_ENDS for char in text)
    is_bracketed = text.startswith("(") and text.endswith(")") and text.find(")") == len(text) - 1
    return text if is_simple or is_bracketed else f"({text})"
