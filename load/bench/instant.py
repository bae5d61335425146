"""Serve as an OpenAI-compatible generator that answers at once and costs next to nothing.

It answers each prompt with the start of its first passage, in pieces like a model's tokens. Written on a bare protocol,
because on two cores a web framework here would be measured as a part of what is in front of it.
"""

import asyncio
import json
import re
import sys
from typing import Final

_FIRST_PASSAGE: Final = re.compile(r"\[S1\] (.*?)(?:\n\n|\n</|\Z)", re.DOTALL)
_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_PIECE_CHARS: Final = 5
_DRAFT_CHARS: Final = 160
_MODELS: Final = b'{"object":"list","data":[]}'


class _Server(asyncio.Protocol):
    """One connection, whose requests come one after the other."""

    def __init__(self) -> None:
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, end, rest = self._held.partition(b"\r\n\r\n")
        found = _LENGTH.search(head)
        length = int(found[1]) if found else 0
        if not end or len(rest) < length:
            return
        self._held = rest[length:]
        if head.startswith(b"GET"):
            self._send(b"application/json", _MODELS)
        else:
            self._send(b"text/event-stream", _draft(json.loads(rest[:length])["messages"][-1]["content"]))

    def _send(self, kind: bytes, body: bytes) -> None:
        length = str(len(body)).encode()
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\ncontent-length: " + length + b"\r\n\r\n" + body
        )


def _draft(prompt: str) -> bytes:
    found = _FIRST_PASSAGE.search(prompt)
    passage = (found[1] if found else "Nothing.").split("\n")[-1][:_DRAFT_CHARS]
    text = f"{passage} [S1]"
    pieces = [text[start : start + _PIECE_CHARS] for start in range(0, len(text), _PIECE_CHARS)]
    deltas = [{"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]} for piece in pieces]
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": len(pieces)}}
    events = [*(json.dumps(event) for event in (*deltas, last, usage)), "[DONE]"]
    return "".join(f"data: {event}\n\n" for event in events).encode()


async def serve(port: int) -> None:
    """Serve on this loopback port for ever."""
    server = await asyncio.get_running_loop().create_server(_Server, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
