"""Find the title of an official Vietnamese document, which begins with the nation's motto and the issuing body.

Their first heading says the same in all of them; the name of the law stands below, behind its type.
Source: Decree 30/2020/NĐ-CP on the work with documents, annex I: the parts of a document and their places.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from rag.parsing.article_labels import LABEL, is_capitals
from rag.parsing.blocks import Block, clean
from rag.parsing.tables import CELL_SEPARATOR

_MOTTO_WITHIN_LINES: Final = 12
_TYPE_WITHIN_LINES: Final = 40
_MAX_NAME_LINES: Final = 5
_MAX_NAME_CHARS: Final = 180

_MOTTO = re.compile(
    r"c[ộô]ng h(?:òa|oà) xã hội chủ nghĩa việt nam|độc lập\s*\W?\s*tự do\s*\W?\s*hạnh phúc", re.IGNORECASE
)
_TYPE = re.compile(
    r"(HIẾN PHÁP|BỘ LUẬT|LUẬT|PHÁP LỆNH|LỆNH|NGHỊ QUYẾT(?: LIÊN TỊCH)?|NGHỊ ĐỊNH|QUYẾT ĐỊNH|THÔNG TƯ(?: LIÊN TỊCH)?"
    r"|CHỈ THỊ|QUY CHẾ|QUY ĐỊNH|ĐIỀU LỆ|NỘI QUY|THÔNG BÁO|HƯỚNG DẪN|KẾ HOẠCH|BÁO CÁO|TỜ TRÌNH|CÔNG ĐIỆN|HỢP ĐỒNG"
    r"|THỎA ƯỚC|BIÊN BẢN|ĐƠN|GIẤY)(?![^\W_])[\s:.]*"
)
_NUMBER = re.compile(r"(?:Luật\s+)?số\s*:?\s*(\d+[\w/.-]*)\s*$|(?:số\s*:?\s*)?(\d+/[\w/.-]+)\s*$", re.IGNORECASE)
# What follows the name: the grounds, the body that decides, place and date, the first article.
_AFTER_NAME = re.compile(
    r"căn cứ|theo đề nghị|xét đề nghị|bộ trưởng|thủ tướng|chủ tịch|giám đốc|tổng giám đốc|thống đốc|hiệu trưởng"
    r"|chính phủ\s*$|quốc hội\s*(?:ban hành|$)|ủy ban|uỷ ban|hội đồng|kính gửi|quyết định\s*:|[^,]{2,30}, ngày\s|\W*$",
    re.IGNORECASE,
)


def official_title(blocks: Sequence[Block]) -> str | None:
    """Return type and name, "NGHỊ ĐỊNH Quy định …"; "" if none is found, None if this is no official document."""
    lines = list(islice(_lines(blocks), _TYPE_WITHIN_LINES))
    first = next((at for at, line in enumerate(lines[:_MOTTO_WITHIN_LINES]) if _MOTTO.search(line)), None)
    if first is None:
        return None
    number = ""
    for at, line in enumerate(lines):
        if found := _NUMBER.match(line):
            number = number or found[1] or found[2]
        kind = _TYPE.match(line) if at > first else None
        if kind and not line.endswith(":"):
            name = _read_name(line[kind.end() :], lines[at + 1 :])
            return " ".join(filter(None, (kind[1], name or number)))
    return ""


def is_preamble(title: str) -> bool:
    """Return whether a title is the nation's name or its motto."""
    return _MOTTO.search(unicodedata.normalize("NFC", title)) is not None


def first_own_heading(blocks: Sequence[Block]) -> str:
    """Return the first heading of the highest level that is neither the motto nor an article of a law; else ""."""
    for block in blocks:
        text = " ".join(clean(block.text).split())
        if block.level == 1 and not is_preamble(text) and not LABEL.match(text):
            return text
    return ""


def _lines(blocks: Sequence[Block]) -> Iterator[str]:
    for block in blocks:
        for line in clean(block.text).split("\n"):
            for cell in line.split(CELL_SEPARATOR):
                if text := " ".join(cell.split()):
                    yield text


def _read_name(rest: str, following: Sequence[str]) -> str:
    """Return the name behind a type: the rest of its line, or the lines below as far as they go on."""
    if _NUMBER.match(rest):
        rest = ""
    parts = [rest] if rest else []
    for line in following[:_MAX_NAME_LINES]:
        if _AFTER_NAME.match(line) or LABEL.match(line) or _MOTTO.search(line) or _NUMBER.match(line):
            break
        if parts and not (is_capitals(line) if is_capitals(parts[-1]) else line[0].islower()):
            break
        if len(" ".join((*parts, line))) > _MAX_NAME_CHARS:
            break
        parts.append(line)
    return " ".join(parts)
