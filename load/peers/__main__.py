"""`python -m load.peers [embedding] [answering] [--rounds N]`: the tables of `make bench-peers`, in Markdown."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Final

from load.peers.answering import print_answering
from load.peers.cells import CELLS
from load.peers.embedding import print_embedding
from load.peers.plan import Plan
from load.peers.starting import read_versions
from rag.config.environment import load_settings
from rag.config.settings import Settings

ROUNDS: Final = 3
PARTS: Final[Mapping[str, Callable[[Settings, Plan], None]]] = {
    "embedding": print_embedding,
    "answering": print_answering,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m load.peers", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"one of {', '.join(PARTS)}; all by default")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    most = max(cell.clients * cell.batch for cell in CELLS)
    parser.add_argument("--most-texts", type=int, default=most, help="leave out cells with more texts at once")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the peers")
    told = parser.parse_args()
    if unknown := set(told.parts) - PARTS.keys():
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    # Ended by a signal, it would leave servers behind, some of them suspended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    settings = load_settings(os.environ)
    versions = ", ".join(f"{name} {version}" for name, version in read_versions().items())
    print(f"{settings.embedder_model}; {versions}; peers on torch in {told.dtype};")
    print(f"the median of {told.rounds} paired rounds, in brackets the least and the greatest", flush=True)
    for part in told.parts or PARTS:
        print(flush=True)
        PARTS[part](settings, Plan(told.rounds, told.dtype, told.most_texts))


if __name__ == "__main__":
    main()
