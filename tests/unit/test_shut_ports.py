"""Ports of libraries that nobody may reach: what a process that listens may do about them."""

import socket
import subprocess
import sys
from contextlib import suppress

LISTENS = """
import socket, sys
from rag.engines.shut_ports import shut_ports
def listen():
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    return listening
shut, datagrams = listen(), socket.socket(type=socket.SOCK_DGRAM)
shut_by_us = shut_ports()
open_ = listen()
print(*shut_by_us, shut.getsockname()[1], open_.getsockname()[1], flush=True)
sys.stdin.read()
"""


def can_connect(port: int) -> bool:
    with suppress(TimeoutError), socket.create_connection(("127.0.0.1", port), timeout=0.5):
        return True
    return False


def test_ports_that_are_shut_let_nobody_in() -> None:
    """They listen as before, and what is opened later is open."""
    with subprocess.Popen(
        [sys.executable, "-c", LISTENS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        told, shut, left_open = map(int, process.stdout.readline().split())
        reached = can_connect(shut), can_connect(left_open)
        process.stdin.close()

    assert told == shut
    assert reached == (False, True)
