"""Keep two writers of one tenant apart.

Milvus compares nothing before it sets, so it has no lock. On one machine a file is locked, as in the embedded engine:
that is exact, and ends with the process. Between machines there is a lease, a row that is renewed while its writer
lives. It keeps out a writer that comes while another one works. Two that begin within the same moment read it back
after a pause, and all but the last one leave; a writer that was held up for longer than its lease, and lost it, notices
that before it switches. What is left is a pause at that very step: one Ingestor for one index is the rule, and the
lease is for mistakes.
"""

import contextlib
import fcntl
import json
import os
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from rag.index.disk import open_private
from rag.index.milvus.driver import MilvusWriter, Row
from rag.index.milvus.filters import of_tenant
from rag.index.milvus.layout import META, UNUSED

LEASE_S: Final = 60.0
_RENEW_S: Final = 15.0
_RETRY_S: Final = 1.0
# Two writers that saw no lease have both written theirs after this.
_SETTLE_S: Final = 0.2


class LeaseLostError(OSError):
    """Another writer took over: this one was held up for too long, and must not switch."""


class Lease:
    """The right to change one tenant, as long as it is renewed."""

    def __init__(self, writer: MilvusWriter, tenant_id: str) -> None:
        self._writer = writer
        self._tenant_id = tenant_id
        self._holder = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"

    def require(self) -> None:
        """Check that the lease is still ours.

        Raises: LeaseLostError; OSError.
        """
        row = self._read()
        if row is None or row["name"] != _short(self._holder):
            raise LeaseLostError("another writer took over this tenant")

    @contextlib.contextmanager
    def held(self, on_wait: Callable[[], object]) -> Iterator[None]:
        """Take the lease, waiting for the one that holds it, and renew it until the end."""
        self._take(on_wait)
        ended = threading.Event()
        renewal = threading.Thread(target=self._renew, args=(ended,), daemon=True)
        renewal.start()
        try:
            yield
        finally:
            ended.set()
            renewal.join()
            with contextlib.suppress(OSError):
                self.require()
                self._write(until=0)

    def _take(self, on_wait: Callable[[], object]) -> None:
        has_told = False
        while True:
            if self._is_free(self._read()):
                self._write(until=time.time() + LEASE_S)
                time.sleep(_SETTLE_S)
                with contextlib.suppress(LeaseLostError):
                    return self.require()
            if not has_told:
                on_wait()
                has_told = True
            time.sleep(_RETRY_S)

    def _is_free(self, row: Row | None) -> bool:
        """Return whether nobody holds the lease; who is on this machine and held it is gone, as its file is locked."""
        if row is None:
            return True
        body = json.loads(row["body"])
        return bool(body["until"] < time.time() or body["holder"].partition("/")[0] == socket.gethostname())

    def _renew(self, ended: threading.Event) -> None:
        while not ended.wait(_RENEW_S):
            with contextlib.suppress(OSError):  # the next one may succeed; `require` tells before the switch
                self.require()
                self._write(until=time.time() + LEASE_S)

    def _read(self) -> Row | None:
        rows = self._writer.query(META, f'kind == "lease" and {of_tenant(self._tenant_id)}', ["name", "body"])
        return rows[0] if rows else None

    def _write(self, *, until: float) -> None:
        row = {"pk": f"lease/{self._tenant_id}", "kind": "lease", "tenant": self._tenant_id, "part": 0, **UNUSED}
        body = json.dumps({"holder": self._holder, "until": until})
        self._writer.upsert(META, [row | {"name": _short(self._holder), "body": body}])


@contextlib.contextmanager
def locked_here(address: str, tenant_id: str, on_wait: Callable[[], object]) -> Iterator[None]:
    """Keep other processes of this user on this machine from changing the tenant."""
    folder = Path(tempfile.gettempdir()) / f"rag-index-locks-{os.getuid()}"
    folder.mkdir(0o700, exist_ok=True)
    if folder.lstat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")
    name = "".join(each if each.isalnum() or each in "._-" else "_" for each in f"{address}-{tenant_id}")
    with open_private(folder / name, "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _short(holder: str) -> str:
    return holder[-64:]
