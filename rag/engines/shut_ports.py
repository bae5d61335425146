"""Sockets that listen and that we cannot close, because a library looks after them: the kernel drops what comes.

Source: socket(7), SO_ATTACH_FILTER; a classic BPF program of one instruction, which returns 0, the bytes to keep.
"""

import ctypes
import logging
import os
import socket
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

# Source: include/uapi/asm-generic/socket.h, include/uapi/linux/bpf_common.h; Python has no names for them.
_SO_ATTACH_FILTER: Final = 26
_RETURN_CONSTANT: Final = 0x06
_INSTRUCTION: Final = struct.Struct("HBBI")

logger = logging.getLogger(__name__)


def shut_ports() -> list[int]:
    """Makes every TCP port on which this process listens answer nobody, and returns them.

    Where the kernel does not know such filters the ports stay as they are, and that is logged.
    """
    handles = [int(each.name) for each in Path("/proc/self/fd").iterdir()]
    return [port for handle in handles if (port := _shut(handle)) is not None]


def _shut(handle: int) -> int | None:
    with suppress(OSError):
        if not stat.S_ISSOCK(os.fstat(handle).st_mode):
            return None
    with suppress(OSError), socket.socket(fileno=os.dup(handle)) as shared:
        if shared.family in (socket.AF_INET, socket.AF_INET6) and _is_listening(shared):
            port = int(shared.getsockname()[1])
            try:
                _attach(shared, _INSTRUCTION.pack(_RETURN_CONSTANT, 0, 0, 0))
            except OSError:
                logger.warning("port_open", extra={"fields": {"port": port}})
                return None
            return port
    return None


def _is_listening(shared: socket.socket) -> bool:
    return bool(shared.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _attach(shared: socket.socket, program: bytes) -> None:
    """Raises: OSError."""
    instructions = ctypes.create_string_buffer(program, len(program))
    about = struct.pack("HP", len(program) // _INSTRUCTION.size, ctypes.addressof(instructions))
    shared.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, about)
