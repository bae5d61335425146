"""The console command `rag`: what people type about a service, in one place.

`python -m rag` is the same where the package is not installed, as in the image. Commands that exist as modules of their
own (`rag.ingestion`, `rag.preflight`, `rag.identity`) get their arguments as they are.
"""

import sys

import click

from rag import VERSION
from rag.cli.asking import ask, search

_AS_GIVEN = {"ignore_unknown_options": True}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="rag")
def main() -> None:
    """Ask a tenant's documents, and look after the service that answers."""


main.add_command(ask)
main.add_command(search)


@main.command(add_help_option=False, context_settings=_AS_GIVEN, short_help="Change what a tenant is answered from.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def ingest(arguments: tuple[str, ...]) -> None:
    """Run `python -m rag.ingestion`: add, sync, remove, list, check, rollback."""
    from rag.ingestion.__main__ import main as run  # noqa: PLC0415  # numpy and faiss, which asking does not need

    sys.exit(run(arguments, prog="rag ingest"))


@main.command(add_help_option=False, context_settings=_AS_GIVEN, short_help="Copy the index to another engine.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def migrate(arguments: tuple[str, ...]) -> None:
    """Run `python -m rag.ingestion migrate`."""
    from rag.ingestion.__main__ import main as run  # noqa: PLC0415  # as above

    sys.exit(run(["migrate", *arguments], prog="rag"))


@main.command(add_help_option=False, context_settings=_AS_GIVEN, short_help="Check a deployment for production.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def preflight(arguments: tuple[str, ...]) -> None:
    """Run `python -m rag.preflight`."""
    from rag.preflight.__main__ import main as run  # noqa: PLC0415  # as above

    sys.exit(run(arguments, prog="rag preflight"))


@main.command("new-key", add_help_option=False, context_settings=_AS_GIVEN, short_help="Make an API key.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def new_key(arguments: tuple[str, ...]) -> None:
    """Run `python -m rag.identity new-key`."""
    from rag.identity.__main__ import main as run  # noqa: PLC0415  # as above

    sys.exit(run(["new-key", *arguments], prog="rag"))
