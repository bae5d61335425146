"""`python -m load.reading FOLDER…`: one row for each kind of file, for docs/documents.md, and each file on stderr.

Words are compared in both directions: what share of another extractor's words we have (nothing is lost), and what
share of ours it has (nothing is made up). Neither is right by itself: menus, running headers, hidden and deleted text
are left out here on purpose, and names of columns are repeated in each row. The files of `load.reading.samples` are
written first and read too: what they say is known, and all of it must be there.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from load.reading.expected import REFUSED
from load.reading.others import FILE_TIMEOUT_S, TOOLS, cpu_seconds
from load.reading.samples import WORDS
from rag.errors import ParseError
from rag.parsing import SUFFIXES, parse

DATA: Final = Path(__file__).parents[2] / ".data"
PACKAGES: Final = DATA / "tools" / "extractors"
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
COMPARED: Final = ("markitdown", "library")
COLUMNS: Final = (
    *("kind", "files", "read", "refused rightly", "refused wrongly", "read wrongly", "known words kept"),
    *(column for tool in COMPARED for column in (f"{tool}: its words kept", "ours backed")),
    *("ours, files/CPU s", *(f"{tool}" for tool in TOOLS)),
)


def read_ours(path: Path) -> Extracted:
    """Read one file as an ingestion reads it."""
    started = cpu_seconds()
    try:
        document = parse(path)
    except ParseError as error:
        return Extracted("", str(error), cpu_seconds() - started)
    seconds = cpu_seconds() - started
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
            env=package_environment(),
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


def write_samples(folder: Path) -> None:
    """Write the files of known content, in the environment of the others."""
    command = [sys.executable, "-m", "load.reading.samples", str(folder)]
    subprocess.run(command, env=package_environment(), check=True)  # noqa: S603  # our own module


def package_environment() -> dict[str, str]:
    """Return the environment of a process that sees the packages of the others, and ours."""
    return {**os.environ, "PYTHONPATH": f"{PACKAGES}:{Path.cwd()}"}


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
    known = [_share_of_known(path, ours[path]) for path in read]
    counts = [len(paths), len(read), rightly, len(refused) - rightly, wrongly_read]
    shares = [share for tool in COMPARED for share in _compare(read, ours, theirs[tool])]
    speeds = [_speed(paths, each) for each in (ours, *(theirs[tool] for tool in TOOLS))]
    return [*counts, _median(known), *shares, *speeds]


def _share_of_known(path: Path, ours: Extracted) -> float | None:
    words = Path(f"{path}{WORDS}")
    return share(count_words(words.read_text(encoding="utf-8")), count_words(ours.text)) if words.exists() else None


def _compare(read: Iterable[Path], ours: Files, theirs: Files) -> tuple[str, str]:
    """Return how many of their words are ours, and how many of ours theirs, where both have read the file."""
    words = [(count_words(ours[path].text), count_words(theirs[path].text)) for path in read if not theirs[path].error]
    return _median(share(their, our) for our, their in words), _median(share(our, their) for our, their in words)


def _median(shares: Iterable[float | None]) -> str:
    known = [each for each in shares if each is not None]
    return f"{statistics.median(known):.3f} ({min(known):.2f})" if known else "–"


def _speed(paths: Sequence[Path], found: Files) -> str:
    read = [found[path] for path in paths if not found[path].error]
    seconds = sum(each.seconds for each in read)
    return (
        f"{len(read) / seconds:.{0 if len(read) >= 10 * seconds else 1}f}"
        if seconds and len(read) * 2 > len(paths)
        else "–"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m load.reading", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    samples = DATA / "reading"
    write_samples(samples)
    folders: list[Path] = [*parser.parse_args().folders, samples]
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
