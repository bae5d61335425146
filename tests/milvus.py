"""A Milvus Lite server as a process of its own, spoken to through the client that a cluster is spoken to with.

It proves what the client sends and what we make of the answers. It is another program than Milvus: one process without
replicas, whose reads are always up to date, so it proves nothing of a cluster.
"""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Self

_START = "from milvus_lite.cmdline import main; main()"


class MilvusLite:
    """A server on a free port of this machine, whose data outlive it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"milvus+http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start, and return once it listens."""
        command = [sys.executable, "-c", _START, "server", "--data-dir", str(self._folder), "--host", "127.0.0.1"]
        command += ["--port", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert "listening" in line, line
        return self

    def kill(self) -> None:
        """End it at once, as a machine that fails does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None
