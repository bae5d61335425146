"""The id of a chunk, `<tenant>:<document>:v<version>:<number>`: made at ingestion, read where a client sends one."""

import re
from dataclasses import dataclass
from typing import Final, Self

_FORM: Final = re.compile(
    r"([A-Za-z0-9._-]{1,64}):([A-Za-z0-9._-]{1,128}):v([1-9][0-9]{0,8}):([0-9]{5}|[1-9][0-9]{5,8})"
)


@dataclass(frozen=True, slots=True)
class ChunkId:
    """`number` counts the chunks of one document version from 1; it is written with five digits or more."""

    tenant_id: str
    document_id: str
    document_version: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the id that is written exactly like this, or None."""
        match = _FORM.fullmatch(text)
        return cls(match[1], match[2], int(match[3]), int(match[4])) if match else None

    def __str__(self) -> str:
        return f"{self.tenant_id}:{self.document_id}:v{self.document_version}:{self.number:05d}"
