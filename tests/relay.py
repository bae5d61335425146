"""Stands between the service and a server of somebody else's: counts connections, keeps what goes over each of them."""

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_PIECE_BYTES = 65536
_TIMEOUT_S = 10


@dataclass(slots=True)
class Passed:
    """One connection: what went over it, either way, and whether the service closed it before the server did."""

    asked: bytearray = field(default_factory=bytearray)
    answered: bytearray = field(default_factory=bytearray)
    left: threading.Event = field(default_factory=threading.Event)
    is_over: bool = False  # the server has closed it

    @property
    def questions(self) -> int:
        """Chat completions that were asked for."""
        return self.asked.count(b"POST /v1/chat/completions ")


class Relay:
    """Passes bytes on as they come to a port of this machine; a server that is away is a connection that is closed."""

    def __init__(self) -> None:
        self.connections: list[Passed] = []
        self.at_stream: Callable[[], None] | None = None  # called once, before the next event stream is passed on
        self.url = ""  # as in RAG_GENERATOR_URL
        self._target = ("127.0.0.1", 0)

    def turn_to(self, port: int) -> None:
        """Another server from now on, and nothing known of its connections."""
        self._target = ("127.0.0.1", port)
        self.connections = []

    def asking(self) -> list[Passed]:
        """The connections over which chat completions were asked for."""
        return [passed for passed in self.connections if passed.questions]

    @contextmanager
    def running(self) -> Iterator["Relay"]:
        relay = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError), socket.create_connection(relay._target, _TIMEOUT_S) as upstream:
                    upstream.settimeout(None)
                    relay._pass_on(self.request, upstream)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 64

        with Server(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, name="relay")
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()

    def _pass_on(self, service: socket.socket, upstream: socket.socket) -> None:
        passed = Passed()
        self.connections.append(passed)
        answering = threading.Thread(target=self._answer, args=(upstream, service, passed), daemon=True)
        answering.start()
        with suppress(OSError):
            while piece := service.recv(_PIECE_BYTES):
                passed.asked += piece
                upstream.sendall(piece)
        if not passed.is_over:
            passed.left.set()
        with suppress(OSError):
            upstream.shutdown(socket.SHUT_RDWR)
        answering.join()

    def _answer(self, upstream: socket.socket, service: socket.socket, passed: Passed) -> None:
        with suppress(OSError):
            while piece := upstream.recv(_PIECE_BYTES):
                passed.answered += piece
                if self.at_stream is not None and b"text/event-stream" in piece:
                    act, self.at_stream = self.at_stream, None
                    act()
                service.sendall(piece)
        passed.is_over = True
        with suppress(OSError):
            service.shutdown(socket.SHUT_RDWR)
