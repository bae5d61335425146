"""Read the characters of Word's symbol fonts, which have no meaning without their font: "≤" is a letter of Symbol."""

import re
from collections.abc import Mapping
from typing import Final

_PRIVATE: Final = range(0xF000, 0xF100)  # where Word keeps the characters of symbol fonts
_ANY_PRIVATE = re.compile("[\uf000-\uf0ff]")
_BULLETS: Final[Mapping[str, str]] = {"\uf0b7": "•", "\uf0a7": "▪"}  # the same in every font that is used for them


def _table(first: int, characters: str) -> dict[int, str]:
    return {first + at: character for at, character in enumerate(characters) if character != "\0"}


# Adobe's Symbol encoding; what is missing is as in ASCII.
_SYMBOL: Final[Mapping[int, str]] = {
    **_table(0x20, " !∀#∃%&∋()∗+,−./0123456789:;<=>?≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_"),
    **_table(0x61, "αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼"),
    **_table(0xA0, "€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…\0\0↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊〈®©™∑"),
    0xF1: "〉", 0xF2: "∫",
}  # fmt: skip
# Wingdings, as far as it is used in texts.
_WINGDINGS: Final[Mapping[int, str]] = {
    **_table(0x20, " ✏✂✁"), 0x28: "☎", 0x29: "✆", 0x2A: "✉", 0x36: "⌛", 0x37: "⌨", 0x3E: "✇", 0x3F: "✍", 0x46: "☞",
    0x45: "☜", 0x47: "☝", 0x48: "☟", 0x4A: "☺", 0x4B: "😐", 0x4C: "☹", 0x4E: "☠", 0x52: "☼", 0x54: "❄",
    0x6C: "●", 0x6D: "❍", 0x6E: "■", 0x6F: "□", 0x70: "❐", 0x71: "❑", 0x72: "❒", 0x73: "⬧", 0x74: "⧫", 0x75: "◆",
    0x76: "❖", 0x77: "⬥", 0x78: "⌧", 0x7B: "❀", 0x7C: "✿", 0x7D: "❝", 0x7E: "❞",
    **_table(0x80, "⓪①②③④⑤⑥⑦⑧⑨⑩⓿❶❷❸❹❺❻❼❽❾❿"), 0x9E: "·", 0x9F: "•", 0xA0: "▪", 0xA1: "○", 0xA4: "◉", 0xA5: "◎",
    0xA7: "▪", 0xA8: "□", 0xAA: "✦", 0xAB: "★", 0xAC: "✶", 0xAF: "✵", 0xB0: "⌖", 0xB5: "✪", 0xB6: "✰",
    0xD8: "➢", 0xDC: "➲", **_table(0xDF, "←→↑↓↖↗↙↘←➔↑↓↖↗↙↘⇦⇨⇧⇩⬄⇳"), 0xFB: "✗", 0xFC: "✓", 0xFD: "☒", 0xFE: "☑",
}  # fmt: skip
_WINGDINGS_2: Final[Mapping[int, str]] = {
    0x4F: "✗", 0x50: "✓", 0x51: "☒", 0x52: "☑", 0x53: "☒", 0x54: "☒", 0x97: "●", 0xA2: "■", 0xA3: "□", 0xA4: "□",
}  # fmt: skip
_FONTS: Final[Mapping[str, Mapping[int, str]]] = {
    "symbol": _SYMBOL,
    "wingdings": _WINGDINGS,
    "wingdings 2": _WINGDINGS_2,
}


def read_symbol(code: int, font: str) -> str:
    """Return a character of a font in Unicode; one that is not known is named, as its meaning may matter."""
    table = _FONTS.get(font.strip().casefold())
    place = code - _PRIVATE.start if code in _PRIVATE else code
    if table is not None and place in table:
        return table[place]
    if table is None and code not in _PRIVATE and 0x20 <= code < 0xD800:
        return chr(code)
    return f" (symbol {code:04X} of {font.strip()[:40] or 'an unknown font'}) "


def read_symbols(text: str, font: str) -> str:
    """Return a text with the characters of symbol fonts in Unicode."""
    return _ANY_PRIVATE.sub(lambda found: _BULLETS.get(found[0]) or read_symbol(ord(found[0]), font), text)
