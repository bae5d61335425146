"""Run the gate's command: progress on stderr, table and verdict on stdout, the verdict also as exit status."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from load.evaluation.xquad import DataError
from load.gate.options import KEY_VARIABLE, parse_options
from load.gate.report import render_json, render_table
from load.gate.run import CanaryError, run_gate
from load.gate.verdict import StableError

EXIT_PASSED: Final = 0
EXIT_REFUSED: Final = 1
EXIT_NOTHING_COMPARED: Final = 2  # as argparse ends on bad usage
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it


def main(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the gate; print `passed`, or a line `refused: …` for each reason, and return the exit status."""
    options = parse_options(argv)
    try:
        run = asyncio.run(run_gate(options, environment.get(KEY_VARIABLE) or None))
    except DataError as error:
        _tell(str(error))
        return EXIT_NOTHING_COMPARED
    except StableError as error:
        _tell(f"nothing was compared: the stable deployment: {error}")
        return EXIT_NOTHING_COMPARED
    except CanaryError as error:
        print(f"refused: {error}")
        return EXIT_REFUSED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    print(render_table(run))
    for warning in run.warnings:
        _tell(f"warning: {warning}")
    for reason in run.reasons:
        print(f"refused: {reason}")
    if not run.reasons:
        print("passed")
    if options.json is not None:
        options.json.write_text(render_json(run), "utf-8")
    return EXIT_REFUSED if run.reasons else EXIT_PASSED


def _tell(text: str) -> None:
    print(f"gate: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
