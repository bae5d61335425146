"""HTML and SVG from strings that cannot break out: what is not markup already is escaped on its way in."""

from html import escape


class Markup(str):
    """Text that was made by `tag` or `join`, or written by us."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """One element. In names of attributes `_` stands for `-`, and one at the end for nothing (`class_`)."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_show(value))}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{given}>{join(*children)}</{name}>")


def join(*parts: str) -> Markup:
    """The parts one after the other."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))


def _show(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)  # a tenth of a pixel
