"""Authenticate requests: turn their credentials into a principal and the tenants that it may use."""

import logging
from functools import partial
from pathlib import Path

import httpx

from rag.identity.api_keys import ApiKeys
from rag.identity.credentials import CredentialAuthenticator
from rag.identity.key_sets import KeyFile, KeySource, RemoteKeys, fetch
from rag.identity.principal import OPEN_TENANT, Authenticator, OpenAuthenticator, Principal
from rag.identity.sources import SourceError
from rag.identity.tokens import BearerTokens

__all__ = [
    "OPEN_TENANT",
    "Authenticator",
    "OpenAuthenticator",
    "Principal",
    "SourceError",
    "open_authenticator",
]

logger = logging.getLogger(__name__)


def open_authenticator(
    *,
    identities_file: Path | None = None,
    jwt_jwks: str | None = None,
    jwt_audience: str | None = None,
    jwt_issuer: str | None = None,
) -> OpenAuthenticator | CredentialAuthenticator:
    """Return the authenticator for what is configured; without any configuration the service is open, and logs that.

    A key set at a URL is fetched with the first token, so that the start does not depend on the issuer.

    Raises: SourceError: a file is missing or invalid, or the URL is not a URL; its message is one line.
    """
    if identities_file is None and jwt_jwks is None:
        logger.warning("service_is_open", extra={"fields": {"tenant_id": OPEN_TENANT}})
        return OpenAuthenticator()
    tokens = None
    if jwt_jwks is not None:
        assert jwt_audience is not None, "settings are checked: all three or none"
        assert jwt_issuer is not None
        tokens = BearerTokens(_open_key_source(jwt_jwks), audience=jwt_audience, issuer=jwt_issuer)
    return CredentialAuthenticator(api_keys=ApiKeys(identities_file) if identities_file else None, tokens=tokens)


def _open_key_source(jwks: str) -> KeySource:
    if not jwks.startswith(("http://", "https://")):
        return KeyFile(Path(jwks))
    try:
        url = httpx.URL(jwks)
    except httpx.InvalidURL:
        raise SourceError("the URL of the key set is not a URL") from None
    return RemoteKeys(partial(fetch, url))
