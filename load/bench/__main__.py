"""Runs the measurements one after the other, or the named ones: `python -m load.bench [front] [ingestion]`."""

import sys

from load.bench.front import print_front
from load.bench.ingestion import GOAL, measure_ingestion


def main(names: list[str]) -> int:
    """Exit status 1 where a goal is missed."""
    met = []
    if not names or "front" in names:
        met.append(print_front())
    if not names or "ingestion" in names:
        ratio = measure_ingestion()
        print(f"ingestion / bare encode loop, chunks per second: {ratio:.2f} (goal {GOAL})")
        met.append(ratio >= GOAL)
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
