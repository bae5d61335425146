"""Runs the measurements one after the other, or the named ones: `python -m load.bench [front] [ingestion] [batching]`.

Goals are shown as met or missed and decide nothing: a noisy machine is no failure.
"""

import sys

from load.bench.batching import print_batching
from load.bench.front import print_front
from load.bench.ingestion import print_ingestion


def main(names: list[str]) -> None:
    if not names or "front" in names:
        print_front()
    if not names or "ingestion" in names:
        print_ingestion()
    if not names or "batching" in names:
        print_batching()


if __name__ == "__main__":
    main(sys.argv[1:])
