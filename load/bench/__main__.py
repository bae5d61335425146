"""`python -m load.bench`: run the benchmarks one after the other, in a few minutes.

Benchmarks named on the command line (`python -m load.bench batching generation`) take as many rounds as for the tables
in docs/benchmarks.md. Those that start vLLM (generation, the table of batch sizes) take longer than all others
together, and run only if they are named.

Goals are shown as met or missed but do not fail the run, because the machine may be noisy.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Final

from load.bench.batching import print_batching
from load.bench.encoder import print_encoder
from load.bench.front import print_front
from load.bench.generation import print_generation
from load.bench.ingestion import print_ingestion
from load.bench.limits import print_limits
from load.bench.proxy import print_proxy
from load.bench.strangers import print_strangers

ROUNDS: Final = 3
# Each function gets a number of rounds; some ignore it and use their own.
BENCHES: Final[Mapping[str, Callable[[int], None]]] = {
    "front": lambda _: print_front(),
    "encoder": lambda _: print_encoder(),
    "ingestion": lambda _: print_ingestion(),
    "batching": print_batching,
    "generation": print_generation,
    "limits": lambda _: print_limits(),
    "proxy": print_proxy,
    "strangers": lambda _: print_strangers(),
}
SHORT: Final = ("front", "encoder", "ingestion", "batching")


def main(names: list[str]) -> None:
    """Run the named benchmarks, or the default ones."""
    for name in names or SHORT:
        BENCHES[name](ROUNDS if names else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
