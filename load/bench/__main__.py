"""Runs the measurements one after the other, or the named ones: `python -m load.bench [front] [encoder] …`.

Goals are shown as met or missed and decide nothing: a noisy machine is no failure.
"""

import sys
from typing import Final

from load.bench.batching import print_batching
from load.bench.encoder import print_encoder
from load.bench.front import print_front
from load.bench.ingestion import print_ingestion

BENCHES: Final = {
    "front": print_front,
    "encoder": print_encoder,
    "ingestion": print_ingestion,
    "batching": print_batching,
}


def main(names: list[str]) -> None:
    for name, measure in BENCHES.items():
        if not names or name in names:
            measure()


if __name__ == "__main__":
    main(sys.argv[1:])
