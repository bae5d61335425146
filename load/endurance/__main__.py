"""`python -m load.endurance [--minutes 30]`: drive a server of its own on fake models, and write the report."""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psutil

from load.driver.own_server import TENANTS, running_own_server
from load.endurance.callers import Tally, find_log_errors, send_all
from load.endurance.report import Sample, render
from load.endurance.vitals import FRONT, SUPERVISOR, Vitals, find_front, read_vitals
from load.machine import describe_machine, installed_versions
from load.processes import ROOT
from load.server import Server

BATCH: Final = 1000
CLIENTS: Final = 16
# After a batch, so that closed connections and abandoned requests are cleaned up.
SETTLE_S: Final = 3.0
HOOKS: Final = Path(__file__).parent / "hooks"


def main(argv: Sequence[str]) -> int:
    """Run the endurance test, write the report, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m load.endurance", description="Does a server stay what it is?")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long callers come (default 30)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "endurance.md", help="where the report goes")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told"
        told.mkdir()
        environment = {**os.environ, "PYTHONPATH": str(HOOKS), "ENDURANCE_DIR": str(told)}
        with running_own_server(Path(folder), environment, tenants=TENANTS[:1], is_fake=True) as server:
            tally = Tally()
            samples = asyncio.run(_drive(server, told, tally, minutes=arguments.minutes))
            errors = find_log_errors(server.log_path)
    about: Mapping[str, object] = {**describe_machine(), **installed_versions()}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(render(samples, tally, errors, about), "utf-8")
    return 1 if tally.find_wrong() else 0


async def _drive(server: Server, told: Path, tally: Tally, *, minutes: float) -> list[Sample]:
    """Send batches until the time is over, and return a sample after each; the first batch warms up."""
    port = urlsplit(server.url).port
    assert port is not None
    began, samples = time.monotonic(), list[Sample]()
    while not samples or samples[-1].at_s < minutes * 60:
        await send_all(port, requests=BATCH, clients=CLIENTS, tally=tally, seed=len(samples))
        await asyncio.sleep(SETTLE_S)
        vitals = await asyncio.to_thread(_read_all, server, told)
        samples.append(Sample(BATCH * (len(samples) + 1), time.monotonic() - began, vitals))
        print(f"{samples[-1].requests} requests: {vitals}", file=sys.stderr, flush=True)
    return samples


def _read_all(server: Server, told: Path) -> dict[str, Vitals]:
    supervisor = psutil.Process(server.process.pid)
    return {FRONT: read_vitals(find_front(server), told), SUPERVISOR: read_vitals(supervisor)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
