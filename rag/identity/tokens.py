"""Verify bearer tokens: a signed JWT names the caller and the tenants that it may use.

Source: RFC 7519; RFC 8725 (best current practices) sections 3.1 to 3.9.
"""

import re
import time
from typing import Any, Final

import jwt

from rag.errors import Unauthorized
from rag.identity.key_sets import ALGORITHMS, KeySource
from rag.identity.principal import JWT_SPACE, PRINCIPAL_ID_PATTERN, Principal
from rag.text.labels import read_groups
from schemas.request import TENANT_PATTERN

# Tolerance between the issuer's clock and ours for tokens from the future (`iat`, `nbf`); there is none for `exp`.
LEEWAY_S: Final = 5
_TOKEN_MAX_CHARS: Final = 16 * 1024
_REQUIRED: Final = ["exp", "aud", "iss", "sub"]

_PRINCIPAL_ID: Final = re.compile(PRINCIPAL_ID_PATTERN)
_TENANT: Final = re.compile(TENANT_PATTERN)


class BearerTokens:
    """Identifies callers by the tokens of one issuer for one audience."""

    def __init__(self, source: KeySource, *, audience: str, issuer: str) -> None:
        self._source = source
        self._audience = audience
        self._issuer = issuer

    async def identify(self, token: str) -> Principal:
        """Verify the token and return its principal.

        Raises:
            Unauthorized: the token is not valid, for any reason.
            NotReady: the signing keys have never been read.
        """
        if len(token) > _TOKEN_MAX_CHARS:
            raise Unauthorized
        try:
            header = jwt.get_unverified_header(token)
            claims = await self._verify(token, algorithm=header["alg"], kid=header.get("kid"))
            return _principal_of(claims)
        # For headers and claims of unexpected types, PyJWT also raises other exceptions than its own.
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise Unauthorized from error

    async def _verify(self, token: str, *, algorithm: str, kid: str | None) -> dict[str, Any]:  # Any: the claims
        if algorithm not in ALGORITHMS:
            raise Unauthorized
        keys = await self._source.keys(kid)
        fitting = [each for each in keys if algorithm in each.algorithms and kid in (None, each.kid)]
        if len(fitting) != 1:
            raise Unauthorized
        claims = jwt.decode(
            token,
            fitting[0].key,
            algorithms=[algorithm],
            audience=self._audience,
            issuer=self._issuer,
            leeway=LEEWAY_S,
            options={"require": _REQUIRED, "enforce_minimum_key_length": True},
        )
        if int(claims["exp"]) <= time.time():
            raise Unauthorized
        return claims


def _principal_of(claims: dict[str, Any]) -> Principal:
    """Return the principal of the claims; `*` is not a valid tenant here, so no token grants all tenants.

    An issuer names many groups that have nothing to do with documents: names that no document can have are ignored.
    Only a `write` of `true` grants writing; whatever else stands there, the caller may read.

    Raises: Unauthorized: `sub` or `tenants` is not valid, or `groups` is no list of strings.
    """
    principal_id, tenants, groups = claims["sub"], claims.get("tenants"), claims.get("groups", [])
    if not _PRINCIPAL_ID.fullmatch(principal_id) or not isinstance(tenants, list):
        raise Unauthorized
    if not all(isinstance(tenant, str) and _TENANT.fullmatch(tenant) for tenant in tenants):
        raise Unauthorized
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise Unauthorized
    return Principal(
        f"{JWT_SPACE}{principal_id}",
        frozenset(tenants),
        groups=read_groups(groups),
        write=claims.get("write") is True,
    )
