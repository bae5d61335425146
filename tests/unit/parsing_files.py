"""Write files for the tests of the parser, and read them as the ingestion does."""

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from rag.errors import ParseError
from rag.parsing import parse
from rag.types import Document

Read = Callable[[str, bytes], Document]


def make_zip(entries: Mapping[str, str | bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return file.getvalue()


def make_bomb(name: str) -> bytes:
    """Return a small archive with an entry that fills the memory."""
    return make_zip({name: b"0" * (65 * 2**20)})


def mark_encrypted(data: bytes) -> bytes:
    """Return an archive whose entries say that they are encrypted: bit 0 of the flags, in the directory of the file."""
    marked = bytearray(data)
    at = marked.find(b"PK\x01\x02")
    while at >= 0:
        marked[at + 8] |= 1
        at = marked.find(b"PK\x01\x02", at + 4)
    return bytes(marked)


def read_file(folder: Path, name: str, data: bytes) -> Document:
    path = folder / name
    path.write_bytes(data)
    return parse(path)


def reason_of(folder: Path, name: str, data: bytes) -> str:
    with pytest.raises(ParseError) as caught:
        read_file(folder, name, data)
    return str(caught.value)
