"""Decode server-sent events from the bytes of a response, split at any place; bounded in memory, linear in time.

Source: HTML Standard, section 9.2, server-sent events.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from rag.errors import UpstreamError

# A chunk of chat completion is a few hundred bytes; a line of a megabyte is an attack or a defect.
LINE_LIMIT_BYTES: Final = 1 << 20
LINES_LIMIT: Final = 1000
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class ServerEvent(NamedTuple):
    """One event: its data, with lines joined by LF, and its `event:` field, empty if there is none."""

    data: bytes
    kind: bytes = b""


class EventDecoder:
    """Decodes the bytes of an event stream to events, without I/O.

    It works on bytes, so that a character split over two pieces is whole before it is decoded. It splits only at LF and
    CR: `str.splitlines` would also split at U+2028, which JSON allows inside a string. Each piece is read once: the
    parts of an unfinished line are kept in a list and joined when the line ends.
    """

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._line_bytes = 0
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._kind = b""
        self._after_cr = False
        self._begin: bytes | None = b""  # a possible part of a byte order mark; None once the start has been read

    def feed(self, piece: bytes) -> Iterator[ServerEvent]:
        """Decode one piece, and yield the events that it completes.

        Raises: UpstreamError: a line or an event exceeds the limits.
        """
        if self._begin is not None:
            piece = self._begin + piece
            if len(piece) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(piece):
                self._begin = piece
                return
            piece, self._begin = piece.removeprefix(BYTE_ORDER_MARK), None
        if not piece:
            return
        if self._after_cr:  # a CR LF split over two pieces is one line end
            piece = piece.removeprefix(b"\n")
        if b"\r" in piece:
            self._after_cr = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        else:
            self._after_cr = False
        first, *rest = piece.split(b"\n")
        self._hold(first)
        for following in rest:
            line, self._line, self._line_bytes = b"".join(self._line), [], 0
            if (event := self._take(line)) is not None:
                yield event
            self._hold(following)

    def close(self) -> Iterator[ServerEvent]:
        """Yield an unfinished last event, because some servers omit the last blank line."""
        if self._begin:
            yield from self.feed(b" ")  # passes on an incomplete byte order mark as data
        yield from self.feed(b"\n")
        yield from self.feed(b"\n")

    def _hold(self, part: bytes) -> None:
        if part:
            self._line.append(part)
            self._line_bytes += len(part)
            if self._line_bytes > LINE_LIMIT_BYTES:
                raise UpstreamError(upstream_error="a line without end")

    def _take(self, line: bytes) -> ServerEvent | None:
        """Process one line, and return an event if the line ends one."""
        if line:
            name, _, value = line.partition(b":")
            if name == b"data":
                self._add_data(value.removeprefix(b" "))
            elif name == b"event":
                self._kind = value.removeprefix(b" ")
            return None
        data, kind, self._data, self._kind, self._data_bytes = self._data, self._kind, [], b"", 0
        return ServerEvent(b"\n".join(data), kind) if data else None

    def _add_data(self, value: bytes) -> None:
        self._data.append(value)
        self._data_bytes += len(value)
        if self._data_bytes > LINE_LIMIT_BYTES or len(self._data) > LINES_LIMIT:
            raise UpstreamError(upstream_error="an event without end")
