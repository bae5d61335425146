"""Define the command line of the preflight: arguments, output and exit status."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Final

import httpx

from rag.preflight.assets import check_index, check_models
from rag.preflight.configuration import check_identities, check_serving, check_tenants_file, read_settings
from rag.preflight.dependencies import check_redis, check_services
from rag.preflight.deployment import TIMEOUT_S, deployment_checks
from rag.preflight.finding import Check, Finding, run_checks
from rag.preflight.host import check_host

EXIT_OK: Final = 0
EXIT_MISSING: Final = 1

DESCRIPTION: Final = """\
Says which conditions of production hold: one line for each, `ok`, `missing` or `warning`, what was found, and what is
to be done. Changes nothing, shows no secret; the exit status is 1 if anything is missing.

Inside a pod of the front, with its environment:    python -m rag.preflight
From outside, where the clients are:                PREFLIGHT_API_KEY=... python -m rag.preflight --only-url --url URL
"""


def parse_arguments(argv: Sequence[str], *, prog: str = "python -m rag.preflight") -> argparse.Namespace:
    """Parse the command line.

    Raises: SystemExit: with status 2, after printing what is wrong.
    """
    parser = argparse.ArgumentParser(
        prog=prog, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.add_argument("--url", help="look at a running deployment too; asks it one question")
    parser.add_argument("--only-url", action="store_true", help="leave out what is to be seen inside a pod alone")
    parser.add_argument("--tenant", default="demo", metavar="T", help="whose documents are asked (default: demo)")
    parser.add_argument(
        "--key-from",
        default="PREFLIGHT_API_KEY",
        metavar="NAME",
        help="variable with an API key (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)
    if arguments.only_url and not arguments.url:
        parser.error("--only-url needs --url")
    return arguments


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print each finding as it comes (with `--json`, all at the end), and return the exit status."""
    findings = []
    for finding in _look(arguments, environ):
        findings.append(finding)
        if not arguments.json:
            print(finding.line(), flush=True)
    is_ready = all(finding.state != "missing" for finding in findings)
    if arguments.json:
        print(json.dumps({"ready": is_ready, "findings": [asdict(finding) for finding in findings]}))
    return EXIT_OK if is_ready else EXIT_MISSING


def _look(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Iterator[Finding]:
    if not arguments.only_url:
        settings, findings = read_settings(environ)
        yield from findings
        checks: dict[str, Check] = {
            "serving": partial(check_serving, environ),
            "host": partial(check_host, settings, environ),
        }
        if settings is not None:
            checks |= {
                "identities": partial(check_identities, settings),
                "tenants file": partial(check_tenants_file, settings),
                "models": partial(check_models, settings),
                "index": partial(check_index, settings),
                "redis": partial(check_redis, settings),
                "services": partial(check_services, settings),
            }
        yield from run_checks(checks)
    if arguments.url:
        with httpx.Client(base_url=arguments.url, timeout=TIMEOUT_S) as client:
            key = environ.get(arguments.key_from) or None
            yield from run_checks(deployment_checks(client, key, arguments.tenant))
