"""`python -m rag.identity new-key`: makes an API key, and the entry of the identities file that lets it in.

The key goes to stdout and the entry to stderr, so that you can pipe the key into a secret store and still read the
entry. The command does not store the key: if you lose it, make a new one.
"""

import argparse
import secrets
import sys
from collections.abc import Sequence

from rag.identity.api_keys import describe_entry, make_key, parse_identities
from rag.identity.principal import OPEN_TENANT
from rag.identity.sources import SourceError


def main(argv: Sequence[str] | None = None, *, prog: str = "python -m rag.identity") -> int:
    """Run the command; `prog` is its name in what it says of itself. Return the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.split("\n", maxsplit=1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    new_key = commands.add_parser(
        "new-key", help="makes an API key", description="Prints a new key to stdout, its YAML entry to stderr."
    )
    new_key.add_argument("--id", default=f"key-{secrets.token_hex(4)}", help="name of the caller, for logs and quotas")
    new_key.add_argument(
        "--tenants", default=OPEN_TENANT, help='tenants that it may use, parted by commas; "*" for all (default: demo)'
    )
    new_key.add_argument(
        "--group", action="append", default=[], dest="groups", metavar="G", help="a group that it is in; repeatable"
    )
    new_key.add_argument("--write", action="store_true", help="it may also change the documents of its tenants")
    arguments = parser.parse_args(argv)
    key = make_key()
    entry = describe_entry(
        key,
        principal_id=arguments.id,
        tenants=arguments.tenants.split(","),
        groups=arguments.groups,
        write=arguments.write,
    )
    try:
        parse_identities(f"principals:\n{entry}".encode())
    except SourceError as error:
        parser.error(str(error).removeprefix("principals[0]."))
    print("The entry below belongs under `principals:` of the identities file.", file=sys.stderr)
    print(entry, file=sys.stderr, end="", flush=True)
    print(key)
    return 0


if __name__ == "__main__":
    sys.exit(main())
