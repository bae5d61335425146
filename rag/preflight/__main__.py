"""`python -m rag.preflight`: connect the preflight to arguments, environment and exit status."""

import logging
import os
import sys
from collections.abc import Sequence

from rag.preflight.command import parse_arguments, run


def main(argv: Sequence[str], *, prog: str) -> int:
    """Run the command, whose help calls it `prog`, and return the exit status."""
    arguments = parse_arguments(argv, prog=prog)
    # A check must not download a missing model. The hub's client reads this when it is imported, which is later.
    os.environ["HF_HUB_OFFLINE"] = "1"
    logging.disable()  # whatever the parts would log as a warning is a finding
    return run(arguments, dict(os.environ))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], prog="python -m rag.preflight"))
