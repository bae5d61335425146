"""Read files in a child process, so that no file can take the ingestion with it.

Parsers are written in C and are handed what people were sent: one bomb of a few kilobytes fills the memory, one broken
font ends the process. The child has a bound of memory, each file a bound of time, and every end of the child is a
`ParseError`. It is used again, because its start costs half a second; a thread of this process would be no bound.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Literal

from pydantic import ValidationError

from rag.errors import ParseError
from rag.ingestion.child import REPLIES, Reply
from rag.types import Document

# The longest text that is read, ten million characters in a PDF of 5 000 pages, took 19 s of one core and 230 MB.
MEMORY_BYTES: Final = 2**30
TIMEOUT_S: Final = 300.0
_DOCLING_TIMEOUT_S: Final = 1200.0  # its client gives up before, and says so
# After so much a child is renewed: what its parsers have leaked or left in pieces does not count against a later file.
_RENEW_AFTER_FILES: Final = 300
_RENEW_AFTER_BYTES: Final = 32 * 2**20

_PYTHON: Final = (sys.executable, "-P", "-m")
_COMMAND: Final = (*_PYTHON, "rag.ingestion.child")
_DOCLING_COMMAND: Final = (*_PYTHON, "rag.ingestion.docling_child")
_START_TIMEOUT_S: Final = 60.0
_END_TIMEOUT_S: Final = 5.0
_POLL_S: Final = 0.05
_PIECE_BYTES: Final = 2**20
_MAX_REPLY_BYTES: Final = 256 * 2**20  # ten million characters, and again as headings
# Nothing of the parent's secrets is in reach of a parser; one thread of OpenBLAS keeps its buffers out of the bound.
_PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "TMPDIR")
_PASSED_ON_TO_CLIENTS: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
_OWN_ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1", "PYTHONUTF8": "1"}


class ChildError(OSError):
    """The child process cannot be started; no file is at fault."""


class FileReader:
    """Reads one file after the other; a context manager, at whose end the child ends.

    It belongs to the thread that uses it first: the child dies with that thread.
    """

    def __init__(
        self,
        *,
        memory_bytes: int = MEMORY_BYTES,
        timeout_s: float = TIMEOUT_S,
        command: Sequence[str] = _COMMAND,
        environment: Mapping[str, str] = MappingProxyType({}),
        renew_after_files: int = _RENEW_AFTER_FILES,
    ) -> None:
        """`environment`: what the child gets of it beside the little that every one gets."""
        self._memory_bytes = memory_bytes
        self._timeout_s = timeout_s
        self._command = command
        self._environment = environment
        self._renew_after_files = renew_after_files
        self._child: _Child | None = None

    def __enter__(self) -> "FileReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def read(self, path: Path) -> Document:
        """Read one file.

        Raises: ParseError: it cannot become a document, or was the end of the child. ChildError: there is no child.
        """
        while True:
            is_fresh = self._child is None
            child = self._child = self._child or _Child(self._command, self._environment, self._memory_bytes)
            try:
                reply = child.ask(path, self._timeout_s)
            except _EndedError as ended:
                self._end()
                if is_fresh or ended.because == "late":
                    raise ParseError(self._name_end(ended)) from None
            except BaseException:  # interrupted: an answer to this would be taken for one to the next
                self._end()
                raise
            else:
                if reply.needs_memory or child.files >= self._renew_after_files or child.bytes >= _RENEW_AFTER_BYTES:
                    self._end()
                if reply.document is not None:
                    return reply.document
                if not reply.needs_memory:
                    raise ParseError(reply.reason)
                if is_fresh:
                    raise ParseError(self._name_lack())
            # What earlier files left behind may be at fault: this one gets a child of its own.

    def _name_end(self, ended: "_EndedError") -> str:
        if ended.because == "late":
            return f"took longer than {self._timeout_s:g} s to read"
        if ended.because == "unclear":
            return "the parser crashed (its answer cannot be read)"
        if ended.status == -signal.SIGKILL:
            return "the parser was killed: the machine may have too little memory"
        # PDFium ends its process if it gets no memory.
        if ended.status < 0 and ended.peak_bytes >= self._memory_bytes // 2:
            return self._name_lack()
        how = signal.strsignal(-ended.status) if ended.status < 0 else f"exit status {ended.status}"
        return f"the parser crashed ({how})"

    def _name_lack(self) -> str:
        mib = self._memory_bytes >> 20
        return f"needs more than {f'{mib / 1024:g} GiB' if mib >= 1024 else f'{mib} MiB'} of memory to read"

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


def open_file_reader(docling_url: str | None = None) -> FileReader:
    """Return a reader of all kinds of files; the docling-serve at this URL reads PDF, if there is one."""
    if docling_url is None:
        return FileReader()
    proxies = _pick([*_PASSED_ON_TO_CLIENTS, *(name.lower() for name in _PASSED_ON_TO_CLIENTS)])
    return FileReader(
        timeout_s=_DOCLING_TIMEOUT_S,
        command=_DOCLING_COMMAND,
        environment={**proxies, "RAG_DOCLING_URL": docling_url},
    )


def _pick(names: Iterable[str]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if name in os.environ}


class _EndedError(Exception):
    """The child ended, with this status (negative: a signal), or was ended because it was late or spoke nonsense."""

    def __init__(self, status: int, peak_bytes: int, because: Literal["late", "unclear"] | None = None) -> None:
        self.status = status
        self.peak_bytes = peak_bytes
        self.because = because
        super().__init__(status)


class _Child:
    """One process; `files` and `bytes` count what it was asked to read."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], memory_bytes: int) -> None:
        paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        try:
            self._process = subprocess.Popen(  # noqa: S603  # our own module
                [*command, str(os.getpid()), str(memory_bytes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**_pick(_PASSED_ON), **_OWN_ENVIRONMENT, **environment, "PYTHONPATH": paths},
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise ChildError(f"the process that reads files does not start: {error.strerror}") from error
        self.files = self.bytes = self._peak_bytes = self._base_bytes = 0
        try:
            self._receive(_START_TIMEOUT_S)
        except BaseException as error:
            self.end()
            if isinstance(error, _EndedError):
                raise ChildError("the process that reads files does not start") from error
            raise
        self._base_bytes, self._peak_bytes = self._measure_peak(), 0

    def ask(self, path: Path, timeout_s: float) -> Reply:
        """Return the reply to a file.

        Raises: _EndedError: the child ended, or was ended.
        """
        assert self._process.stdin is not None
        self.files += 1
        with contextlib.suppress(OSError):  # the child says what is wrong with the file
            self.bytes += path.stat().st_size
        with contextlib.suppress(BrokenPipeError):  # reading finds that it has ended
            self._process.stdin.write(json.dumps(str(path.absolute())).encode() + b"\n")
        line = self._receive(timeout_s)
        try:
            return REPLIES.validate_json(line)
        except ValidationError:
            raise self._stop("unclear") from None

    def end(self) -> None:
        """End the process at once: it holds nothing that could be lost."""
        self._reap(kill=True)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _receive(self, timeout_s: float) -> bytes:
        assert self._process.stdout is not None
        source = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(source, select.POLLIN)
        deadline = time.monotonic() + timeout_s
        pieces: list[bytes] = []
        size = 0
        while not (pieces and pieces[-1].endswith(b"\n")):
            if time.monotonic() >= deadline:
                raise self._stop("late")
            if size > _MAX_REPLY_BYTES:
                raise self._stop("unclear")
            if poll.poll(_POLL_S * 1000):
                pieces.append(os.read(source, _PIECE_BYTES))
                size += len(pieces[-1])
                if not pieces[-1]:
                    raise _EndedError(self._reap(), self._peak_bytes)
            else:
                self._peak_bytes = max(self._peak_bytes, self._measure_peak() - self._base_bytes)
        return b"".join(pieces)

    def _stop(self, because: Literal["late", "unclear"]) -> _EndedError:
        return _EndedError(self._reap(kill=True), self._peak_bytes, because)

    def _reap(self, *, kill: bool = False) -> int:
        """Return the status of the process; one that hangs in the system is left to it."""
        for _ in range(2):
            if kill and self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):  # with what parsers have started: the child leads a group
                    os.killpg(self._process.pid, signal.SIGKILL)
            try:
                return self._process.wait(_END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                kill = True
        return -signal.SIGKILL

    def _measure_peak(self) -> int:
        """Return the most address space that the process has had; 0 if the system does not tell.

        The system's own count of the largest size is no use: a child inherits that of its parent, with its models.
        """
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self._process.pid}/status").read_text("ascii", "replace").splitlines():
                if line.startswith("VmPeak:"):
                    return int(line.split()[1]) * 1024
        return 0
