"""Define principals: known callers and the tenants that they may use, independent of the kind of credential."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from rag.errors import Forbidden
from rag.types import Scope

OPEN_TENANT: Final = "demo"
# Printable ASCII, because ids go into logs and into the limiter's keys; 255 is the maximum length of `sub`.
# Source: OpenID Connect Core 1.0, section 2.
PRINCIPAL_ID_PATTERN: Final = r"^[!-~]([ -~]{0,253}[!-~])?$"


# Prefixes of principal ids in the limiter and in the log. Without them an issuer could choose a `sub` that equals the
# id of an API key, and spend that key's quota.
KEY_SPACE: Final = "key:"
JWT_SPACE: Final = "jwt:"


@dataclass(frozen=True, slots=True)
class Principal:
    """A known caller; `id` begins with its name space, except for `anonymous`.

    `tenants` is None if the principal may use all tenants; a quota is None if the default applies. Documents that have
    groups are seen by principals that have one of them in their `groups`. With `write` it may also change the documents
    of its tenants.
    """

    id: str
    tenants: frozenset[str] | None
    requests_per_window: int | None = None
    tokens_per_window: int | None = None
    groups: frozenset[str] = frozenset()
    write: bool = False

    @property
    def scope(self) -> Scope:
        """What the principal sees of a tenant that it may use, where nothing restricts it further."""
        return Scope(self.groups)

    def may_use(self, tenant_id: str) -> bool:
        """Return whether the principal may use the tenant."""
        return self.tenants is None or tenant_id in self.tenants

    def require(self, tenant_id: str) -> None:
        """Check that the principal may use the tenant.

        Raises: Forbidden: it may not.
        """
        if not self.may_use(tenant_id):
            raise Forbidden

    def require_write(self) -> None:
        """Check that the principal may change the documents of its tenants.

        Raises: Forbidden: it may only read.
        """
        if not self.write:
            raise Forbidden("This caller may not change documents.")


class Authenticator(Protocol):
    """Identifies callers by the headers of their requests."""

    async def authenticate(self, headers: Mapping[str, str]) -> Principal:
        """Return the caller; header names must be lower case.

        Raises:
            Unauthorized: credentials are missing, malformed, expired or unknown.
            NotReady: credentials cannot be checked, because the signing keys have never been read.
        """
        ...


class OpenAuthenticator:
    """Treats every caller as the same principal, which may read and change one tenant: for a service without keys."""

    _ANYBODY: Final = Principal("anonymous", frozenset({OPEN_TENANT}), write=True)

    async def authenticate(self, headers: Mapping[str, str]) -> Principal:
        return self._ANYBODY

    def names_tenant(self, tenant_id: str) -> bool:
        """Return False: only an identities file names tenants."""
        return False
