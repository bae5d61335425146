"""Who asks: a principal and the tenants that it may use, whatever it showed to prove it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from rag.errors import Forbidden

OPEN_TENANT: Final = "demo"
# Printable ASCII, because ids go into logs and into keys of the limiter; 255 is the bound of `sub`.
# Source: OpenID Connect Core 1.0, section 2.
PRINCIPAL_ID_PATTERN: Final = r"^[!-~]([ -~]{0,253}[!-~])?$"


# What the id of a principal begins with, in the limiter and in the log: an issuer who chooses a `sub` could otherwise
# choose the id of a key, and spend its quota.
KEY_SPACE: Final = "key:"
JWT_SPACE: Final = "jwt:"


@dataclass(frozen=True, slots=True)
class Principal:
    """A known caller, whose id begins with its name space, but for `anonymous`.

    `tenants` is None where it may use all of them, a quota is None where the default holds.
    """

    id: str
    tenants: frozenset[str] | None
    requests_per_window: int | None = None
    tokens_per_window: int | None = None

    def may_use(self, tenant_id: str) -> bool:
        return self.tenants is None or tenant_id in self.tenants

    def require(self, tenant_id: str) -> None:
        """Raises: Forbidden: the tenant is not one of this principal's."""
        if not self.may_use(tenant_id):
            raise Forbidden


class Authenticator(Protocol):
    """Knows callers by the headers of their requests."""

    async def authenticate(self, headers: Mapping[str, str]) -> Principal:
        """The caller; header names are lower case.

        Raises:
            Unauthorized: credentials are missing, malformed, expired or unknown.
            NotReady: credentials cannot be judged, because the keys that sign them were never read.
        """
        ...


class OpenAuthenticator:
    """Takes everybody for the same principal, for one tenant alone: the service without configured identities."""

    _ANYBODY: Final = Principal("anonymous", frozenset({OPEN_TENANT}))

    async def authenticate(self, headers: Mapping[str, str]) -> Principal:
        return self._ANYBODY
