"""Runs the measurements one after the other, or the named ones: `python -m load.bench [front] [encoder] …`.

The table of batch sizes takes longer than all others together, so it runs only where it is named.

Goals are shown as met or missed and decide nothing: a noisy machine is no failure.
"""

import sys
from typing import Final

from load.bench.batching import print_batching
from load.bench.encoder import print_encoder
from load.bench.front import print_front
from load.bench.generation import print_generation
from load.bench.ingestion import print_ingestion
from load.bench.limits import print_limits

BENCHES: Final = {
    "front": print_front,
    "encoder": print_encoder,
    "ingestion": print_ingestion,
    "batching": print_batching,
    "generation": print_generation,
}
LONG_BENCHES: Final = {"limits": print_limits}


def main(names: list[str]) -> None:
    for name in names or BENCHES:
        (BENCHES | LONG_BENCHES)[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
