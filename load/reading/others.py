"""Read files with extractors of others: `python -m load.reading.others TOOL`, paths on stdin, JSON lines on stdout.

A process of its own for each tool: one may take all memory, and its packages stand in a folder of their own. Tools that
cannot read a kind say so for each file.
"""

import json
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from load.reading.libraries import read_by_library

MEMORY_BYTES: Final = 3 * 2**30
FILE_TIMEOUT_S: Final = 30


def cpu_seconds() -> float:
    """Return what this process and those it waited for have computed, which other work changes less than hours."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def read_by_pdfium(path: Path) -> str:
    """Return the text of a PDF in the order in which it is painted: the parser below ours, and nothing on top."""
    import pypdfium2  # noqa: PLC0415  # each tool is imported in its own process only

    if path.suffix.lower() != ".pdf":
        raise ValueError("PDF only")
    document = pypdfium2.PdfDocument(path)
    return "\n\n".join(page.get_textpage().get_text_range() for page in document)


def read_by_mupdf(path: Path) -> str:
    """Return the text by PyMuPDF. It is measured only: its licence, AGPL, is none for this project."""
    import pymupdf  # type: ignore[import-not-found]  # noqa: PLC0415

    if path.suffix.lower() not in {".pdf", ".epub", ".txt", ".html", ".docx", ".xlsx", ".pptx"}:
        raise ValueError("not a kind of MuPDF's")
    return "\n\n".join(page.get_text() for page in pymupdf.open(path))


def read_by_markitdown(path: Path) -> str:
    """Return the Markdown by markitdown."""
    return str(_open_markitdown().convert(str(path)).text_content)


@cache
def _open_markitdown() -> Any:  # its types are not installed
    from markitdown import MarkItDown  # type: ignore[import-not-found]  # noqa: PLC0415

    return MarkItDown()


TOOLS: Final[Mapping[str, Callable[[Path], str]]] = MappingProxyType(
    {
        "pypdfium2": read_by_pdfium,
        "PyMuPDF": read_by_mupdf,
        "markitdown": read_by_markitdown,
        "library": read_by_library,
    }
)


def main(tool: str) -> None:
    """Read all files of stdin by the tool; one that takes too long ends the process, as no parser stops when asked."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    read = TOOLS[tool]
    answers, sys.stdout = sys.stdout, sys.stderr  # xlrd prints what it finds odd
    for line in sys.stdin:
        path = Path(line.rstrip("\n"))
        text, error = "", ""
        signal.alarm(FILE_TIMEOUT_S)
        started = cpu_seconds()
        try:
            text = read(path)
        except Exception as failure:  # noqa: BLE001  # parsers document no set of exceptions
            error = f"{type(failure).__name__}: {failure}"[:200]
        seconds = cpu_seconds() - started
        signal.alarm(0)
        answer = {"path": str(path), "text": text, "error": error, "seconds": seconds}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
