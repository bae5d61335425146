"""Run by `test_milvus_engine.py`: a process that changes or rolls back an index and is killed before its n-th write."""

import os
import signal

from rag.index.milvus.address import MilvusAddress
from rag.index.milvus.engine import MilvusEngine
from tests.milvus import MortalWriter, change
from tests.unit.index_fakes import EMBEDDER

NEW_DOCUMENTS = {"old": ["changed text"], "new": ["one", "two"]}


def run(url: str, tenant_id: str, work: str, steps: int) -> None:
    """Do the work; the process dies instead of its write number `steps`, counted from zero."""
    address = MilvusAddress.parse(url)
    engine = MilvusEngine(address, MortalWriter(address, steps, lambda: os.kill(os.getpid(), signal.SIGKILL)))
    if work == "change":
        change(engine, NEW_DOCUMENTS, tenant_id=tenant_id, drop=["lost"], keeps_tokens=True)
    else:
        engine.rollback(tenant_id, EMBEDDER, lambda: None)
    os._exit(0)
