"""The effect on tokens while the issuer of their keys rotates them, is down, or answers something else."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from rag.errors import NotReady, Unauthorized
from rag.identity import SourceError, open_authenticator
from rag.identity.key_sets import FETCH_INTERVAL_S, MAX_AGE_S, RemoteKeys, fetch
from rag.identity.tokens import BearerTokens
from tests.unit.identity_fakes import ALL_KEYS, AUDIENCE, ISSUER, P256, RSA, HandClock, key_set, public_jwk, sign


class Issuer:
    """Publishes keys, rotates them, and is away at times."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.content = key_set(*keys)
        self.is_away = False
        self.fetched = 0

    async def __call__(self) -> bytes:
        self.fetched += 1
        await asyncio.sleep(0)
        if self.is_away:
            raise httpx.ConnectError("away")
        return self.content


def remote(issuer: Issuer) -> tuple[BearerTokens, HandClock]:
    clock = HandClock()
    return BearerTokens(RemoteKeys(issuer, clock=clock), audience=AUDIENCE, issuer=ISSUER), clock


async def test_a_key_set_is_fetched_once_for_many_tokens() -> None:
    """Simultaneous ones included."""
    issuer = Issuer(public_jwk(RSA, "rsa"))
    tokens, _ = remote(issuer)

    await asyncio.gather(*(tokens.identify(sign()) for _ in range(5)))
    await tokens.identify(sign())

    assert issuer.fetched == 1


async def test_a_new_key_of_the_issuer_is_found_with_its_first_token() -> None:
    """Rotation needs no restart and refuses nobody."""
    issuer = Issuer(public_jwk(RSA, "rsa"))
    tokens, clock = remote(issuer)
    await tokens.identify(sign())
    issuer.content = key_set(public_jwk(P256, "next"))
    clock.now += FETCH_INTERVAL_S

    assert (await tokens.identify(sign(P256, "ES256", "next"))).id == "jwt:user-1"
    with pytest.raises(Unauthorized):
        await tokens.identify(sign())


async def test_made_up_key_ids_do_not_hammer_the_issuer() -> None:
    """Anybody can send them."""
    issuer = Issuer(public_jwk(RSA, "rsa"))
    tokens, clock = remote(issuer)
    await tokens.identify(sign())
    clock.now += FETCH_INTERVAL_S

    outcomes = await asyncio.gather(*(tokens.identify(sign(kid=f"{i}")) for i in range(20)), return_exceptions=True)

    assert all(isinstance(outcome, Unauthorized) for outcome in outcomes)
    assert issuer.fetched == 2


async def test_known_keys_stay_in_force_while_the_issuer_is_away(logged: list[logging.LogRecord]) -> None:
    """Its absence is logged once, and nobody waits for it."""
    issuer = Issuer(public_jwk(RSA, "rsa"))
    tokens, clock = remote(issuer)
    await tokens.identify(sign())
    issuer.is_away = True

    for _ in range(3):
        clock.now += MAX_AGE_S
        assert (await tokens.identify(sign())).id == "jwt:user-1"
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    assert issuer.fetched == 4
    assert [record.msg for record in logged] == ["key_set_unreachable"]


async def test_an_old_key_set_is_fetched_again_beside_the_request() -> None:
    """A key that the issuer took away stops working, though no token asked for an unknown one."""
    issuer = Issuer(public_jwk(RSA, "rsa"))
    tokens, clock = remote(issuer)
    await tokens.identify(sign())
    issuer.content = key_set(public_jwk(P256, "next"))
    clock.now += MAX_AGE_S
    await tokens.identify(sign())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    with pytest.raises(Unauthorized):
        await tokens.identify(sign())


@pytest.mark.parametrize("content", [None, b"<html>", b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "rsa"}]}'])
async def test_tokens_cannot_be_judged_before_the_first_key_set(content: bytes | None) -> None:
    """NOT_READY and not UNAUTHORIZED: the token may be good; it heals by itself."""
    issuer = Issuer(public_jwk(RSA, "rsa"))
    good, issuer.content, issuer.is_away = issuer.content, content or b"", content is None
    tokens, clock = remote(issuer)

    for _ in range(3):
        with pytest.raises(NotReady) as caught:
            await tokens.identify(sign())
    issuer.content, issuer.is_away = good, False
    clock.now += FETCH_INTERVAL_S

    assert caught.value.retry_after_s == FETCH_INTERVAL_S
    assert (await tokens.identify(sign())).id == "jwt:user-1"
    assert issuer.fetched == 2


async def test_a_request_that_is_cancelled_does_not_cancel_the_fetch_of_others() -> None:
    """One client leaves, the other waits for the same answer."""
    issuer = Issuer(public_jwk(RSA, "rsa"))
    tokens, _ = remote(issuer)
    leaving, staying = (asyncio.create_task(tokens.identify(sign())) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()

    assert (await staying).id == "jwt:user-1"


@asynccontextmanager
async def http_server(answer: bytes) -> AsyncIterator[httpx.URL]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield httpx.URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys")


def http(status: str, body: bytes, *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def test_a_key_set_is_fetched_over_http() -> None:
    """The body as it is."""
    async with http_server(http("200 OK", ALL_KEYS)) as url:
        assert await fetch(url) == ALL_KEYS


@pytest.mark.parametrize(
    "answer",
    [http("500 Oops", ALL_KEYS), http("302 Found", b"", "location: http://127.0.0.1:1/"), b"garbage\r\n\r\n", b""],
)
async def test_every_other_answer_is_no_key_set(answer: bytes) -> None:
    """A redirect included: keys come from where the operator said."""
    async with http_server(answer) as url:
        with pytest.raises(httpx.HTTPError):
            await fetch(url)


def test_an_impossible_address_stops_the_start() -> None:
    """Rather than every token."""
    with pytest.raises(SourceError):
        open_authenticator(jwt_jwks="https://issuer:port/keys", jwt_audience=AUDIENCE, jwt_issuer=ISSUER)
