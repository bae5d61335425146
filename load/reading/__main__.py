"""`python -m load.reading FOLDER…`: one row for each kind of file, for docs/documents.md, and each file on stderr.

Words are compared in both directions: what share of another extractor's words we have (nothing is lost), and what
share of ours it has (nothing is made up). Neither is right by itself: menus, running headers, hidden and deleted text
are left out here on purpose, and names of columns are repeated in each row.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from load.reading.expected import REFUSED
from load.reading.others import FILE_TIMEOUT_S, TOOLS
from rag.errors import ParseError
from rag.parsing import SUFFIXES, parse

PACKAGES: Final = Path(__file__).parents[2] / ".data" / "tools" / "extractors"
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Extracted:
    """What one extractor made of one file: its text, or why there is none; `pages` is 0 for files without pages."""

    text: str
    error: str
    seconds: float
    pages: int = 0
    warnings: tuple[str, ...] = ()


Files = Mapping[Path, Extracted]
COLUMNS: Final = (
    *("kind", "files", "read", "refused rightly", "refused wrongly", "read wrongly"),
    *("their words kept", "our words backed", "ours, files/s"),
    *(f"{tool}, files/s" for tool in TOOLS),
)


def read_ours(path: Path) -> Extracted:
    """Read one file as an ingestion reads it."""
    started = time.perf_counter()
    try:
        document = parse(path)
    except ParseError as error:
        return Extracted("", str(error), time.perf_counter() - started)
    seconds = time.perf_counter() - started
    return Extracted(document.text, "", seconds, len(document.pages), document.warnings)


def read_theirs(tool: str, paths: Sequence[Path]) -> dict[Path, Extracted]:
    """Read the files by another extractor; one that takes its process with it is left out, and the rest goes on."""
    found: dict[Path, Extracted] = {}
    while left := [path for path in paths if path not in found]:
        process = subprocess.run(  # noqa: S603  # our own module
            [sys.executable, "-m", "load.reading.others", tool],
            input="".join(f"{path}\n" for path in left),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": f"{PACKAGES}:{Path.cwd()}"},
            text=True,
            check=False,
            timeout=FILE_TIMEOUT_S * (len(left) + 1),
        )
        for line in process.stdout.splitlines():
            said = json.loads(line)
            found[Path(said["path"])] = Extracted(said["text"], said["error"], said["seconds"])
        unread = [path for path in left if path not in found]
        if unread:
            found[unread[0]] = Extracted("", "the process ended", 0.0)
    return found


def count_words(text: str) -> Counter[str]:
    """Return the words of a text, in NFKC and without case, by how often they occur."""
    return Counter(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def share(of: Counter[str], in_other: Counter[str]) -> float | None:
    """Return the share of words that the other one has too; None if there are none."""
    total = of.total()
    return (of & in_other).total() / total if total else None


def render_row(paths: Sequence[Path], ours: Files, theirs: Mapping[str, Files]) -> list[object]:
    """Return the figures of one kind."""
    read = [path for path in paths if not ours[path].error]
    refused = {path for path in paths if ours[path].error}
    rightly = sum(path.name in REFUSED for path in refused)
    wrongly_read = sum(path.name in REFUSED for path in read)
    other = theirs["markitdown"]
    words = [(count_words(ours[path].text), count_words(other[path].text)) for path in read if not other[path].error]
    kept = [share(their, our) for our, their in words]
    backed = [share(our, their) for our, their in words]
    speeds = [_speed(paths, each) for each in (ours, *(theirs[tool] for tool in TOOLS))]
    counts = [len(paths), len(read), rightly, len(refused) - rightly, wrongly_read]
    return [*counts, _median(kept), _median(backed), *speeds]


def _median(shares: Iterable[float | None]) -> str:
    known = [each for each in shares if each is not None]
    return f"{statistics.median(known):.3f} ({min(known):.2f})" if known else "–"


def _speed(paths: Sequence[Path], found: Files) -> str:
    read = [found[path] for path in paths if not found[path].error]
    seconds = sum(each.seconds for each in read)
    return f"{len(read) / seconds:.0f}" if seconds and len(read) * 2 > len(paths) else "–"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m load.reading", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    folders: list[Path] = parser.parse_args().folders
    paths = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    theirs = {tool: read_theirs(tool, paths) for tool in TOOLS}
    ours = {path: read_ours(path) for path in paths}
    for path in paths:
        state = ours[path].error or "; ".join(ours[path].warnings) or "read"
        print(f"{path.name}: {state}", file=sys.stderr)
    kinds: dict[str, list[Path]] = {}
    for path in paths:
        kinds.setdefault(path.suffix.lower()[1:], []).append(path)
    print(f"| {' | '.join(COLUMNS)} |\n|---" + "|---:" * (len(COLUMNS) - 1) + "|")
    for kind, of_kind in sorted(kinds.items()):
        print(f"| {' | '.join(map(str, [kind, *render_row(of_kind, ours, theirs)]))} |")


if __name__ == "__main__":
    main()
