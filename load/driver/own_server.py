"""Run a server for the driver: the example documents in each tenant, one caller for all tenants, and no quotas.

With quotas the driver would measure the quotas, not the capacity of the service. Other settings come from the
environment.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from load.processes import ROOT, ServerError
from load.server import FAKE_MODELS, SERVING, UNLIMITED, Server, running_server

KEY: Final = "load-driver"
TENANTS: Final = ("demo", "second")
DOCUMENTS: Final = ROOT / "examples" / "documents"
_SECRET: Final = ("KEY", "URL", "FILE", "HEADERS")


@contextmanager
def running_own_server(
    folder: Path,
    environment: Mapping[str, str],
    *,
    tenants: Sequence[str] = TENANTS[:1],
    is_fake: bool = False,
    name: str = "server",
    port: int | None = None,
) -> Iterator[Server]:
    """Run a server with the documents ingested during the block, which starts once it is ready.

    An index from an earlier run in the folder is used again.

    `name` tells servers of one folder apart that run at the same time; on a free port if none is given.

    Raises: ServerError: the documents were not ingested, or the server did not become ready.
    """
    place = folder / ("fake" if is_fake else "real")
    place.mkdir(parents=True, exist_ok=True)
    settings = make_settings(place, is_fake=is_fake)
    whole = {**SERVING, **environment, **settings}
    for tenant in tenants:
        ingest_examples(tenant, whole)
    with running_server(place / name, whole, port=port) as server:
        yield server


def make_settings(place: Path, *, is_fake: bool) -> dict[str, str]:
    """Write the identities file, and return the settings that differ from the environment's."""
    principal = {"id": KEY, "key_sha256": hashlib.sha256(KEY.encode()).hexdigest(), "tenants": ["*"]}
    identities = place / "identities.yaml"
    identities.write_text(json.dumps({"principals": [principal]}), "utf-8")  # JSON is YAML
    ours = {
        "RAG_INDEX_DIR": str((place / "index").resolve()),
        "RAG_IDENTITIES_FILE": str(identities.resolve()),
        **UNLIMITED,
    }
    return {**ours, **FAKE_MODELS} if is_fake else ours


def show_settings(environment: Mapping[str, str], *, is_fake: bool) -> dict[str, str]:
    """Return the settings for the report, without any that may contain a secret or a path."""
    given = {
        name: value
        for name, value in environment.items()
        if name.startswith("RAG_") and not any(word in name for word in _SECRET) and not name.endswith("_DIR")
    }
    return given | UNLIMITED | (FAKE_MODELS if is_fake else {})


def ingest_examples(tenant: str, environment: Mapping[str, str]) -> None:
    """Puts the example documents into the index that the environment names.

    Raises: ServerError: they were not ingested.
    """
    command = [sys.executable, "-m", "rag.ingestion", "add", "--tenant", tenant, str(DOCUMENTS)]
    done = subprocess.run(  # noqa: S603 - our own command
        command, cwd=ROOT, env=dict(environment), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ServerError(f"the documents of {tenant} were not ingested\n{done.stderr.strip()}")
