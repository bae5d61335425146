"""Wiring of the preflight: arguments, environment, exit status."""

import logging
import os
import sys
from collections.abc import Sequence

from rag.preflight.command import parse_arguments, run


def main(argv: Sequence[str], *, prog: str) -> int:
    """Run the command; `prog` is its name in what it says of itself. Return the exit status."""
    arguments = parse_arguments(argv, prog=prog)
    # A look must not fetch what is not there; read when the hub's client is imported, which is later.
    os.environ["HF_HUB_OFFLINE"] = "1"
    logging.disable()  # what the parts would warn of is a finding
    return run(arguments, dict(os.environ))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], prog="python -m rag.preflight"))
