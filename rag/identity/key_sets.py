"""Get the keys that verify JWTs, from a JWKS file or from an issuer, which rotates them and may be down.

Source: RFC 7517 (JSON Web Key), RFC 7518 section 6 (which key type fits which algorithm).
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from rag.background import start
from rag.errors import NotReady
from rag.identity.sources import SourceError, WatchedFile

# The key determines its algorithms, never the token: if a public RSA key were used as the secret of HS256, everybody
# could sign. No key allows `none`.
_HMAC: Final = "HS256"
_FITTING: Final[Mapping[tuple[str, str], Sequence[str]]] = {
    ("RSA", ""): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
    ("oct", ""): (_HMAC,),
}
ALGORITHMS: Final = frozenset(algorithm for fitting in _FITTING.values() for algorithm in fitting)
# Source: RFC 7518, sections 3.2 and 3.3.
_SECRET_MIN_BYTES: Final = 32
_RSA_MIN_BITS: Final = 2048

# An issuer publishes a new key well before it signs with it, so a refresh every few minutes is enough.
MAX_AGE_S: Final = 300.0
# Tokens with invented key ids must not cause many requests to the issuer.
FETCH_INTERVAL_S: Final = 5.0
FETCH_TIMEOUT_S: Final = 2.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key of a set, and the algorithms that it may be used with."""

    kid: str | None
    algorithms: frozenset[str]
    key: Any  # PyJWT names no one type for the keys of all its algorithms


KeySet = tuple[SigningKey, ...]


class KeySource(Protocol):
    """A source of the keys that verify tokens."""

    async def keys(self, kid: str | None) -> KeySet:
        """Return all keys; an unknown `kid` may cause a fetch first.

        Raises: NotReady: no key set has ever been read.
        """
        ...


class KeyFile:
    """A JWKS file. Shared secrets are allowed only here, because only the operator can write to it."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises: SourceError: the file is missing or invalid.
        """
        self._file = WatchedFile(path, lambda data: parse_key_set(data, allow_secrets=True))

    async def keys(self, kid: str | None) -> KeySet:
        return await self._file.current()


class RemoteKeys:
    """An issuer's key set; it is fetched again if it is old or a key id is unknown, and kept if the issuer is down."""

    def __init__(self, fetch: Callable[[], Awaitable[bytes]], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: KeySet | None = None
        self._read_at = 0.0
        self._asked_at: float | None = None
        self._asking: asyncio.Task[None] | None = None
        self._is_away = False

    async def keys(self, kid: str | None) -> KeySet:
        if self._keys is None or (kid is not None and all(key.kid != kid for key in self._keys)):
            await self._refresh()
        elif self._clock() - self._read_at >= MAX_AGE_S:
            self._start_refresh()  # not awaited: the known keys are still valid
        if self._keys is None:
            raise NotReady(retry_after_s=FETCH_INTERVAL_S)
        return self._keys

    async def _refresh(self) -> None:
        self._start_refresh()
        if self._asking is not None:
            await asyncio.shield(self._asking)  # other requests wait for the same fetch

    def _start_refresh(self) -> None:
        now = self._clock()
        if self._asking is None and (self._asked_at is None or now - self._asked_at >= FETCH_INTERVAL_S):
            self._asked_at = now
            self._asking = start("key_set", self._ask())

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                self._keys = parse_key_set(await self._fetch(), allow_secrets=False)
            self._read_at = self._clock()
            self._is_away = False
        except (SourceError, httpx.HTTPError, OSError) as error:
            if not self._is_away:
                logger.warning("key_set_unreachable", extra={"fields": {"reason": type(error).__name__}})
            self._is_away = True
        finally:
            self._asking = None


async def fetch(url: httpx.URL) -> bytes:
    """Fetch a key set; a redirect is a failure, because the set must come from the configured URL.

    Raises: httpx.HTTPError: the request failed, or its status is not 200.
    """
    async with httpx.AsyncClient(timeout=FETCH_TIMEOUT_S) as client:
        response = await client.get(url, headers={"accept": "application/json"})
    if response.status_code != httpx.codes.OK:
        raise httpx.HTTPStatusError("not a key set", request=response.request, response=response)
    return response.content


def parse_key_set(data: bytes, *, allow_secrets: bool) -> KeySet:
    """Return the keys of a JWKS that can verify a signature; skip the others, as RFC 7517, section 5, requires.

    An empty set is valid: an issuer may remove its last key.

    Raises: SourceError: the data is not a JWKS, or it has keys but none that can be used.
    """
    try:
        entries = json.loads(data)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        entries = None
    if not isinstance(entries, list):
        raise SourceError('is no JWKS: must be JSON, {"keys": [...]}')
    keys = tuple(key for entry in entries if (key := _read_key(entry, allow_secrets=allow_secrets)) is not None)
    if entries and not keys:
        raise SourceError("holds no key that can verify a signature")
    return keys


def _read_key(entry: object, *, allow_secrets: bool) -> SigningKey | None:
    if not isinstance(entry, dict):
        return None
    algorithms = _algorithms_for(entry)
    is_secret = _HMAC in algorithms
    if not algorithms or not _may_verify(entry) or (is_secret and not allow_secrets):
        return None
    try:
        key = jwt.PyJWK(entry, algorithm=algorithms[0]).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    is_weak = len(key) < _SECRET_MIN_BYTES if is_secret else isinstance(key, RSAPublicKey) and _is_short(key)
    kid = entry.get("kid")
    if is_weak or not isinstance(kid, str | None):
        return None
    return SigningKey(kid, frozenset(algorithms), key)


def _algorithms_for(entry: dict[str, Any]) -> Sequence[str]:
    """Return the algorithms that fit the type of the key; only the one in its `alg` field, if it has that."""
    fitting = _FITTING.get((str(entry.get("kty")), str(entry.get("crv", ""))), ())
    return [each for each in fitting if entry.get("alg") in (None, each)]


def _may_verify(entry: dict[str, Any]) -> bool:
    """Return False for encryption keys, and for private keys (`d`), which do not belong in a key set."""
    operations = entry.get("key_ops")
    is_for_this = operations is None or (isinstance(operations, list) and "verify" in operations)
    return is_for_this and entry.get("use") in (None, "sig") and "d" not in entry


def _is_short(key: RSAPublicKey) -> bool:
    return key.key_size < _RSA_MIN_BITS
