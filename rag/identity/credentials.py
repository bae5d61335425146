"""Find the credential of a request, and check it as an API key or as a JWT."""

import re
from collections.abc import Mapping
from typing import Final

from rag.errors import Unauthorized
from rag.identity.api_keys import ApiKeys
from rag.identity.principal import Principal
from rag.identity.tokens import BearerTokens

API_KEY_HEADER: Final = "x-api-key"
AUTHORIZATION_HEADER: Final = "authorization"
_SCHEME: Final = "bearer"
# Source: RFC 7515, section 3.1 (compact serialisation). Our API keys contain no dot.
_JWT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


class CredentialAuthenticator:
    """Accepts exactly one credential: a key in either header, or a JWT.

    Two credentials may belong to two callers, and a proxy and this service could pick different ones.
    """

    def __init__(self, *, api_keys: ApiKeys | None, tokens: BearerTokens | None) -> None:
        self._api_keys = api_keys
        self._tokens = tokens

    def names_tenant(self, tenant_id: str) -> bool:
        """Return whether the identities file names the tenant; `*` names none, and a JWT does not count."""
        return self._api_keys is not None and self._api_keys.names_tenant(tenant_id)

    async def authenticate(self, headers: Mapping[str, str]) -> Principal:
        # `items` of Starlette's headers yields every value of a repeated header.
        given = [(name, value) for name, value in headers.items() if name in (API_KEY_HEADER, AUTHORIZATION_HEADER)]
        if len(given) != 1 or not given[0][1].isascii():
            raise Unauthorized
        name, value = given[0]
        if name == AUTHORIZATION_HEADER:
            scheme, _, value = value.partition(" ")
            value = value.strip()
            if scheme.lower() != _SCHEME:
                raise Unauthorized
            if self._tokens is not None and _JWT.fullmatch(value):
                return await self._tokens.identify(value)
        if self._api_keys is None:
            raise Unauthorized
        return await self._api_keys.identify(value)
