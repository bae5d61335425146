"""Build HTML and SVG safely: every string that is not already markup is escaped."""

from html import escape


class Markup(str):
    """Text that needs no escaping: made by `tag` or `join`, or a constant."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """Return one element. In attribute names `_` becomes `-`, except that a final `_` is removed (`class_`)."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_show(value))}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{given}>{join(*children)}</{name}>")


def join(*parts: str) -> Markup:
    """Concatenate the parts."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))


def _show(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)  # a tenth of a pixel
