"""`python -m load.growth [--sizes 1000,10000] [--out FOLDER]`: measure every size and print the table.

A million chunks take some 12 GB of disk in the temporary directory, and half an hour.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from load.growth.building import add_one, build_vectors, build_words, copy_vectors, ingest, measure_parts
from load.growth.isolation import run_alone
from load.growth.report import Report, Size, render_table
from load.growth.searching import draw_questions, search
from load.machine import describe_machine, installed_versions
from load.processes import ROOT

SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)


def main(argv: Sequence[str]) -> int:
    """Measure all sizes, write the report after each, and return the exit status."""
    arguments = _parse(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    sizes = []
    for chunks in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder:
            sizes.append(measure(Path(folder), chunks))
        # After each size, because somebody may interrupt the last one, which takes long.
        _write(arguments.out, sizes)
    print(render_table(sizes))
    return 0


def measure(folder: Path, chunks: int) -> Size:
    """Run all steps for one size, one after the other."""
    ingested = run_alone(ingest, folder, chunks)
    parts = run_alone(measure_parts, folder)
    run_alone(copy_vectors, folder)
    run_alone(draw_questions, folder)
    exact = run_alone(build_vectors, folder, "exact")
    approximate = run_alone(build_vectors, folder, "approximate")
    assert approximate.dense is not None
    return Size(
        ingested=ingested,
        parts=parts,
        exact=exact,
        approximate=approximate,
        lexical=run_alone(build_words, folder),
        searched=run_alone(search, folder, with_approximate=approximate.dense.kind != "flat"),
        added=run_alone(add_one, folder),
    )


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m load.growth", description="How does an index grow?")
    parser.add_argument("--sizes", type=_read_sizes, default=SIZES, metavar="N,N", help="numbers of chunks")
    parser.add_argument("--out", type=Path, default=ROOT / ".data" / "growth", metavar="FOLDER")
    return parser.parse_args(argv)


def _read_sizes(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _write(folder: Path, sizes: Sequence[Size]) -> None:
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    report = Report(date, describe_machine(), installed_versions(), sizes)
    (folder / "growth.json").write_text(json.dumps(report.as_json(), indent=1) + "\n", "utf-8")
    (folder / "growth.md").write_text(render_table(sizes) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
