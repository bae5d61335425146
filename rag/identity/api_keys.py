"""Make API keys, and read the identities file, which holds only their digests."""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from rag.config.strict_yaml import FileError, explain, load_yaml, one_line, repeated
from rag.errors import Unauthorized
from rag.identity.principal import KEY_SPACE, PRINCIPAL_ID_PATTERN, Principal
from rag.identity.sources import SourceError, WatchedFile
from rag.text.labels import GROUP_MAX_CHARS, is_label, read_groups, read_label
from schemas.request import TenantId

ANY_TENANT: Final = "*"
KEY_PREFIX: Final = "rag_"  # lets a secret scanner find a key that was published by mistake
KEY_BYTES: Final = 32  # 43 characters of base64url
_GROUPS_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """A principal and the SHA-256 digest of its key."""

    digest: bytes
    principal: Principal


class ApiKeys:
    """Identifies callers by the key digests in the identities file."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the identities file.

        Raises: SourceError: the file is missing or invalid.
        """
        self._file = WatchedFile(path, parse_identities, clock=clock)

    def names_tenant(self, tenant_id: str) -> bool:
        """Return whether the file, as it was read last, names the tenant."""
        return any(tenant_id in (holder.principal.tenants or ()) for holder in self._file.last)

    async def identify(self, key: str) -> Principal:
        """Return the principal that has this key.

        Raises: Unauthorized: nobody has this key.
        """
        return find_holder(await self._file.current(), key)


def find_holder(holders: Sequence[KeyHolder], key: str) -> Principal:
    """Return the principal that has this key, in a time that does not depend on who that is, or whether it exists.

    Raises: Unauthorized: nobody has this key.
    """
    digest = hashlib.sha256(key.encode()).digest()
    found: Principal | None = None
    for holder in holders:
        if hmac.compare_digest(holder.digest, digest):
            found = holder.principal
    if found is None:
        raise Unauthorized
    return found


def make_key() -> str:
    """Return a new random API key."""
    return KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)


def describe_entry(
    key: str, *, principal_id: str, tenants: Sequence[str], groups: Sequence[str] = (), write: bool = False
) -> str:
    """Return the entry of the identities file for this key; its strings are JSON, which is valid YAML."""
    return (
        f"  - id: {json.dumps(principal_id)}\n"
        f'    key_sha256: "{hashlib.sha256(key.encode()).hexdigest()}"\n'
        f"    tenants: {json.dumps(list(tenants))}\n"
        + (f"    groups: {json.dumps(list(groups), ensure_ascii=False)}\n" if groups else "")
        + ("    write: true\n" if write else "")
    )


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: Annotated[str, StringConstraints(pattern=PRINCIPAL_ID_PATTERN)]
    key_sha256: Annotated[str, StringConstraints(pattern="^[0-9A-Fa-f]{64}$")]
    tenants: list[TenantId] | None
    groups: list[str] = Field(default_factory=list, max_length=_GROUPS_MAX)
    write: bool = False
    # The bounds of RAG_RATE_LIMIT_REQUESTS and RAG_RATE_LIMIT_TOKENS.
    requests_per_window: int | None = Field(None, ge=1, le=1_000_000_000)
    tokens_per_window: int | None = Field(None, ge=1, le=1_000_000_000_000)

    @field_validator("tenants", mode="before")
    @classmethod
    def _all_or_named(cls, value: object) -> object:
        if value is None:
            raise ValueError("nothing is granted by leaving it empty")
        return None if value == [ANY_TENANT] else value

    @field_validator("groups")
    @classmethod
    def _names(cls, groups: list[str]) -> list[str]:
        if not all(is_label(read_label(each), GROUP_MAX_CHARS) for each in groups):
            raise ValueError("no document can have such a group")
        return groups

    def holder(self) -> KeyHolder:
        principal = Principal(
            f"{KEY_SPACE}{self.id}",
            None if self.tenants is None else frozenset(self.tenants),
            self.requests_per_window,
            self.tokens_per_window,
            read_groups(self.groups),
            self.write,
        )
        return KeyHolder(bytes.fromhex(self.key_sha256), principal)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    principals: list[_Entry]


_RULES: Final = {
    "": "a mapping with the one field `principals`",
    "principals": "a list of mappings",
    "id": "1 to 255 printable ASCII characters, in quotes where YAML sees something else than text",
    "key_sha256": "64 hexadecimal digits in quotes",
    "tenants": 'a list of tenant ids, 1 to 64 characters of A-Za-z0-9._- each, or ["*"]',
    "groups": "a list of at most 1000 names of groups, 1 to 128 characters each",
    "write": "true or false",
    "requests_per_window": "a whole number from 1 to 1000000000",
    "tokens_per_window": "a whole number from 1 to 1000000000000",
}


def parse_identities(data: bytes) -> tuple[KeyHolder, ...]:
    """Parse an identities file; an empty list of principals is valid, because the last key may be removed too.

    Raises: SourceError: the data is not a valid identities file, or two principals share an id or a key.
    """
    try:
        entries = _File.model_validate(load_yaml(data)).principals
    except ValidationError as error:
        raise SourceError(explain(error, _RULES)) from None
    except FileError as error:
        raise SourceError(str(error)) from None
    problems = [f"the id {name} stands there twice" for name in repeated(entry.id for entry in entries)]
    if repeated(entry.key_sha256.lower() for entry in entries):
        problems.append("two principals have the same key_sha256")
    if problems:
        raise SourceError(one_line(problems))
    return tuple(entry.holder() for entry in entries)
