"""Run the load driver's command: progress on stderr, a table on stdout, the report and its plots in a folder."""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from load.driver.options import parse_options
from load.driver.outcome import Ending
from load.driver.page import render_page, render_sweeps
from load.driver.record import Session, write_session
from load.driver.session import drive
from load.driver.tables import find_faults, render_table
from load.evaluation.xquad import DataError
from load.processes import ServerError

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it


def main(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Return 0 if anything was answered, whatever the figures are; else 1, after printing the reason to stderr."""
    # SIGTERM acts like Ctrl-C: by default it would end us at once and leave our server running.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        options = parse_options(argv)
        _allow_many_connections()
        session = asyncio.run(drive(options, environment))
    except (DataError, ServerError) as error:
        _tell(str(error))
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    options.out.mkdir(parents=True, exist_ok=True)
    write_session(session, options.out / "report.json")
    _write_page(session, options.out / "report.html")
    print(render_table(session))
    for fault in find_faults(session):
        _tell(fault)
    if any(outcome.ending in (Ending.OK, Ending.ABANDONED) for run in session.runs for outcome in run.outcomes):
        return EXIT_OK
    _tell("nothing was answered")
    return EXIT_FAILED


def _write_page(session: Session, path: Path) -> None:
    path.write_text(render_page(session), "utf-8")
    for name, plot in render_sweeps(session).items():
        path.with_name(f"{name}.svg").write_text(plot, "utf-8")
    _tell(f"the report is {path}")


def _allow_many_connections() -> None:
    """Raise the limit on open files to the maximum: against a hanging server, each request needs a connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _tell(text: str) -> None:
    print(f"load: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
