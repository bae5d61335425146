"""JSON-RPC 2.0 as the Model Context Protocol uses it: one message per body, ids that are strings or integers.

Source: https://www.jsonrpc.org/specification; MCP 2025-11-25, "Base Protocol", section "Messages".
"""

import json
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
# JSON-RPC leaves the code of a cancelled request open; this is the one of the Language Server Protocol.
REQUEST_CANCELLED: Final = -32800

MessageId = int | str
Json = dict[str, Any]  # Any: JSON of any kind


class Message(BaseModel):
    """What a client sends: a request (`method` and `id`), a notification (`method`), or a response (neither)."""

    model_config = ConfigDict(frozen=True, strict=True)

    jsonrpc: Literal["2.0"]
    method: str | None = None
    id: MessageId | None = None
    params: Json | None = None

    @model_validator(mode="after")
    def _check_id(self) -> Self:
        if self.method is not None and "id" in self.model_fields_set and self.id is None:
            raise ValueError("the id of a request is a string or an integer")
        return self

    @property
    def fields(self) -> Json:
        """The parameters; empty if there are none."""
        return self.params or {}


def make_result(message_id: MessageId, result: Json) -> Json:
    return {"jsonrpc": "2.0", "id": message_id, "result": result}


def make_error(message_id: MessageId, code: int, text: str) -> Json:
    return {"jsonrpc": "2.0", "id": message_id, "error": {"code": code, "message": text}}


def make_notification(method: str, params: Json) -> Json:
    return {"jsonrpc": "2.0", "method": method, "params": params}


def encode(message: Json) -> bytes:
    """Encode a message as one line, which is what an event of a stream needs."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
