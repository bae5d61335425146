"""Which tokens are accepted, which keys verify them, and that all others are refused without a reason."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from rag.errors import Unauthorized
from rag.identity import Authenticator, Principal, SourceError, open_authenticator
from rag.identity.key_sets import parse_key_set
from tests.unit.identity_fakes import (
    ALL_KEYS,
    AUDIENCE,
    ISSUER,
    P256,
    RSA,
    SECRET,
    SIGNERS,
    entry,
    key_set,
    public_jwk,
    sign,
    write,
)

RSA_OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def handmade(header: Any, payload: Any = None, signature: bytes = b"") -> str:
    parts = [
        header if isinstance(header, bytes) else json.dumps(header).encode(),
        json.dumps(payload or {"sub": "user-1", "tenants": ["demo"]}).encode(),
        signature,
    ]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


@pytest.fixture(scope="module")
def jwks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("jwks") / "jwks.json"
    file.write_bytes(ALL_KEYS)
    return file


@pytest.fixture
def authenticator(jwks: Path) -> Authenticator:
    return open_authenticator(jwt_jwks=str(jwks), jwt_audience=AUDIENCE, jwt_issuer=ISSUER)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize("algorithm", SIGNERS)
async def test_a_token_signed_by_a_key_of_the_set_is_taken(authenticator: Authenticator, algorithm: str) -> None:
    """`sub` is the principal's id, `tenants` are its tenants, the quotas are the defaults."""
    key, kid = SIGNERS[algorithm]

    principal = await authenticator.authenticate(bearer(sign(key, algorithm, kid, tenants=["demo", "acme"])))

    assert principal == Principal("jwt:user-1", frozenset({"demo", "acme"}), None, None)


async def test_a_token_may_have_groups(authenticator: Authenticator) -> None:
    """What an issuer calls a group, and no document can, grants nothing; without the claim there are none."""
    token = sign(groups=["board", " Nhân sự ", "", "a\nb", "x" * 129, "/path/of/one"])

    assert (await authenticator.authenticate(bearer(token))).groups == {"board", "Nhân sự", "/path/of/one"}
    assert (await authenticator.authenticate(bearer(sign()))).groups == frozenset()


@pytest.mark.parametrize(
    ("claim", "may"), [(True, True), (False, False), ("true", False), (1, False), (["demo"], False)]
)
async def test_only_a_true_claim_lets_a_token_write(authenticator: Authenticator, claim: Any, may: bool) -> None:
    """An issuer may mean something else by the name: then the caller reads, as without it."""
    assert (await authenticator.authenticate(bearer(sign(write=claim)))).write is may
    assert not (await authenticator.authenticate(bearer(sign()))).write


@pytest.mark.parametrize("groups", ["board", {"board": True}, 1, True, ["board", 1], [["board"]]])
async def test_groups_that_are_no_list_of_strings_are_refused(authenticator: Authenticator, groups: Any) -> None:
    """A token that is not understood is not half taken."""
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(bearer(sign(groups=groups)))


async def test_the_scheme_is_read_in_any_case_and_audiences_may_be_several(authenticator: Authenticator) -> None:
    """RFC 9110 section 11.1, RFC 7519 section 4.1.3."""
    token = sign(aud=["other", AUDIENCE])

    assert (await authenticator.authenticate({"authorization": f"bEARER {token}"})).id == "jwt:user-1"


@pytest.mark.parametrize("claim", ["nbf", "iat"])
async def test_clocks_may_differ_by_a_few_seconds(authenticator: Authenticator, claim: str) -> None:
    """A token that was issued just now seems to come from the future."""
    soon: dict[str, Any] = {claim: int(time.time()) + 3}

    assert (await authenticator.authenticate(bearer(sign(**soon)))).id == "jwt:user-1"


PUBLIC_PEM = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
HS_HEADER = {"alg": "HS256", "typ": "JWT", "kid": "rsa"}
CLAIMS = {"exp": 2**33, "aud": AUDIENCE, "iss": ISSUER, "sub": "user-1", "tenants": ["demo"]}


def signed_with_the_public_key() -> str:
    """PyJWT itself refuses to make this token."""
    signed = handmade(HS_HEADER, CLAIMS).rstrip(".")
    return signed + "." + handmade({}, {}, hmac.digest(PUBLIC_PEM, signed.encode(), "sha256")).rsplit(".", 1)[1]


BAD_TOKENS = {
    "expired": lambda: sign(exp=int(time.time()) - 1),
    "no exp": lambda: sign(exp=None),
    "exp no number": lambda: sign(exp="soon"),
    "exp endless": lambda: sign(exp=float("inf")),
    "another audience": lambda: sign(aud="other"),
    "no audience": lambda: sign(aud=None),
    "another issuer": lambda: sign(iss="https://other.example"),
    "no issuer": lambda: sign(iss=None),
    "not yet valid": lambda: sign(nbf=int(time.time()) + 60),
    "issued in the future": lambda: sign(iat=int(time.time()) + 60),
    "no subject": lambda: sign(sub=None),
    "empty subject": lambda: sign(sub=""),
    "long subject": lambda: sign(sub="x" * 256),
    "subject with a line break": lambda: sign(sub="user\n"),
    "subject with half a surrogate": lambda: sign(sub="\ud800"),
    "no tenants": lambda: sign(tenants=None),
    "tenants as text": lambda: sign(tenants="demo"),
    "all tenants": lambda: sign(tenants=["*"]),
    "one tenant and all": lambda: sign(tenants=["demo", "*"]),
    "tenant no text": lambda: sign(tenants=[1]),
    "tenant with a line break": lambda: sign(tenants=["demo\n"]),
    "signed by another key": lambda: sign(RSA_OTHER),
    "unknown key id": lambda: sign(kid="unknown"),
    "key id of another type": lambda: sign(P256, "ES256", kid="rsa"),
    "key id of another curve": lambda: sign(P256, "ES256", kid="p384"),
    "signed with the public key as a secret": signed_with_the_public_key,
    "a hash that the secret is not for": lambda: sign(SECRET * 2, "HS512", kid="secret"),
    "no signature": lambda: sign().rsplit(".", 1)[0] + ".",
    "algorithm none": lambda: handmade({"alg": "none"}, CLAIMS),
    "algorithm None": lambda: handmade({"alg": "None", "kid": "rsa"}, CLAIMS),
    "algorithm null": lambda: handmade({"alg": None, "kid": "rsa"}, CLAIMS),
    "algorithm a list": lambda: handmade({"alg": ["RS256"], "kid": "rsa"}, CLAIMS),
    "no algorithm": lambda: handmade({"kid": "rsa"}, CLAIMS),
    "key id a number": lambda: handmade({"alg": "RS256", "kid": 1}, CLAIMS),
    "critical extension": lambda: jwt.encode(CLAIMS, RSA, "RS256", headers={"kid": "rsa", "crit": ["x"], "x": 1}),
    "header no mapping": lambda: handmade([1]),
    "header nested deeply": lambda: handmade(b"[" * 8000),
    "changed claims": lambda: ".".join(
        [sign().split(".")[0], handmade({}, {**CLAIMS, "tenants": ["acme"]}).split(".")[1], sign().split(".")[2]]
    ),
    "no token": lambda: "",
    "one part": lambda: "abc",
    "three empty parts": lambda: "..",
    "no base64": lambda: "a.b.c",
    "endless": lambda: "a" * 100_000,
}


@pytest.mark.parametrize("make", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
async def test_every_other_token_is_refused_without_a_reason(
    authenticator: Authenticator, make: Callable[[], str]
) -> None:
    """A client that is told what was wrong is told how to come nearer."""
    with pytest.raises(Unauthorized) as caught:
        await authenticator.authenticate(bearer(make()))

    assert caught.value.message == Unauthorized().message


async def test_a_token_without_key_id_is_taken_where_one_key_fits(tmp_path: Path) -> None:
    """Issuers with a single key may leave it out."""
    file = tmp_path / "jwks.json"
    file.write_bytes(key_set(public_jwk(P256, None), public_jwk(RSA, None)))
    authenticator = open_authenticator(jwt_jwks=str(file), jwt_audience=AUDIENCE, jwt_issuer=ISSUER)

    assert (await authenticator.authenticate(bearer(sign(kid=None)))).id == "jwt:user-1"


async def test_a_token_without_key_id_is_refused_where_several_keys_fit(tmp_path: Path) -> None:
    """None is tried in turn: a token says which key it means."""
    file = tmp_path / "jwks.json"
    file.write_bytes(key_set(public_jwk(RSA, "one"), public_jwk(RSA_OTHER, "two")))
    authenticator = open_authenticator(jwt_jwks=str(file), jwt_audience=AUDIENCE, jwt_issuer=ISSUER)

    with pytest.raises(Unauthorized):
        await authenticator.authenticate(bearer(sign(kid=None)))


async def test_a_key_that_names_its_algorithm_verifies_no_other(tmp_path: Path) -> None:
    """RFC 8725 section 3.1."""
    file = tmp_path / "jwks.json"
    file.write_bytes(key_set(public_jwk(RSA, "rsa", alg="PS256")))
    authenticator = open_authenticator(jwt_jwks=str(file), jwt_audience=AUDIENCE, jwt_issuer=ISSUER)

    await authenticator.authenticate(bearer(sign(algorithm="PS256")))
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(bearer(sign(algorithm="RS256")))


def test_keys_that_must_not_verify_are_left_out() -> None:
    """Keys for encryption, private ones, weak ones and unknown ones; and secrets that somebody else can write."""
    private = dict(jwt.get_algorithm_by_name("ES256").to_jwk(P256, as_dict=True))
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    entries = [
        public_jwk(P256, "encrypts", use="enc"),
        public_jwk(P256, "signs", key_ops=["sign"]),
        private,
        public_jwk(weak, "weak"),
        public_jwk(b"short", "short"),
        {"kty": "XYZ", "kid": "unknown"},
        {"kty": "RSA", "kid": "incomplete"},
        {"kty": "EC", "crv": "P-256", "x": 1, "y": [], "kid": "strange"},
        "no key",
        public_jwk(SECRET, "secret"),
        public_jwk(P256, "good", use="sig", key_ops=["verify"]),
    ]

    assert [key.kid for key in parse_key_set(key_set(*entries), allow_secrets=True)] == ["secret", "good"]  # type: ignore[arg-type]
    assert [key.kid for key in parse_key_set(key_set(*entries), allow_secrets=False)] == ["good"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"keys": {}}', b'{"keys": [{"kty": "XYZ"}]}', b"[" * 100_000, b"\xff"]
)
def test_a_broken_key_file_stops_the_start(tmp_path: Path, content: bytes) -> None:
    """With one line; nobody could use a token anyway."""
    file = tmp_path / "jwks.json"
    file.write_bytes(content)

    with pytest.raises(SourceError) as caught:
        open_authenticator(jwt_jwks=str(file), jwt_audience=AUDIENCE, jwt_issuer=ISSUER)

    assert "\n" not in str(caught.value)


async def test_keys_and_tokens_work_side_by_side(tmp_path: Path, jwks: Path) -> None:
    """Each request brings one of them."""
    file = write(tmp_path / "identities.yaml", entry("p", "k"))
    authenticator = open_authenticator(
        identities_file=file, jwt_jwks=str(jwks), jwt_audience=AUDIENCE, jwt_issuer=ISSUER
    )

    assert (await authenticator.authenticate({"x-api-key": "k"})).id == "key:p"
    assert (await authenticator.authenticate(bearer(sign()))).id == "jwt:user-1"
    assert (await authenticator.authenticate(bearer("k"))).id == "key:p"
    with pytest.raises(Unauthorized):
        await authenticator.authenticate({"x-api-key": "k", **bearer(sign())})


async def test_a_subject_is_never_the_id_of_a_key(tmp_path: Path, jwks: Path) -> None:
    """An issuer that signs the name of a key does not get at its quota: the two are two principals."""
    file = write(tmp_path / "identities.yaml", entry("user-1", "k"))
    authenticator = open_authenticator(
        identities_file=file, jwt_jwks=str(jwks), jwt_audience=AUDIENCE, jwt_issuer=ISSUER
    )

    by_key = await authenticator.authenticate({"x-api-key": "k"})
    by_token = await authenticator.authenticate(bearer(sign()))

    assert (by_key.id, by_token.id) == ("key:user-1", "jwt:user-1")
