"""Who is known by which credentials, what is refused, and what happens while the files and key sets behind change."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from starlette.datastructures import Headers

from rag.errors import Forbidden, NotReady, Unauthorized
from rag.identity import Authenticator, OpenAuthenticator, Principal, SourceError, open_authenticator
from rag.identity.__main__ import main
from rag.identity.api_keys import ApiKeys, make_key, parse_identities
from rag.identity.key_sets import FETCH_INTERVAL_S, MAX_AGE_S, RemoteKeys, fetch, parse_key_set
from rag.identity.sources import CHECK_INTERVAL_S, WatchedFile
from rag.identity.tokens import BearerTokens

AUDIENCE, ISSUER = "rag", "https://issuer.example"


class HandClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def logged() -> Iterator[list[logging.LogRecord]]:
    """What `rag.identity` logs, whatever the logging of the process is set to."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[assignment,method-assign]  # the shortest way to collect
    logger = logging.getLogger("rag.identity")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield records
    logger.removeHandler(handler)
    logger.setLevel(level)


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def entry(name: str, key: str, tenants: str = "[demo]", more: str = "") -> str:
    return f'  - id: {name}\n    key_sha256: "{digest(key)}"\n    tenants: {tenants}\n{more}'


def write(path: Path, *entries: str) -> Path:
    path.write_text("principals:\n" + "".join(entries))
    return path


# --- principals


def test_a_tenant_is_granted_by_the_principal() -> None:
    """The request only chooses among what is granted."""
    principal = Principal("p", frozenset({"demo"}))

    principal.require("demo")
    with pytest.raises(Forbidden):
        principal.require("acme")


async def test_without_identities_everybody_may_use_the_tenant_demo_alone(logged: list[logging.LogRecord]) -> None:
    """And the service says in its log that it is open."""
    authenticator = open_authenticator()

    principal = await authenticator.authenticate({})

    assert isinstance(authenticator, OpenAuthenticator)
    assert principal.may_use("demo")
    assert not principal.may_use("acme")
    assert [record.msg for record in logged] == ["service_is_open"]


# --- API keys


async def test_a_key_names_its_principal_with_tenants_and_quotas(tmp_path: Path) -> None:
    """All that the identities file says of it."""
    file = write(
        tmp_path / "identities.yaml",
        entry("batch", "k1", "[demo, acme]", "    requests_per_window: 600\n    tokens_per_window: 1000000\n"),
        entry("admin", "k2", '["*"]'),
    )
    keys = ApiKeys(file)

    batch, admin = await keys.identify("k1"), await keys.identify("k2")

    assert batch == Principal("batch", frozenset({"demo", "acme"}), 600, 1_000_000)
    assert admin == Principal("admin", None)
    assert admin.may_use("anything")


@pytest.mark.parametrize("key", ["", "k", "k11", "K1", " k1"])
async def test_an_unknown_key_is_refused(tmp_path: Path, key: str) -> None:
    """Only the whole key opens."""
    keys = ApiKeys(write(tmp_path / "identities.yaml", entry("p", "k1")))

    with pytest.raises(Unauthorized):
        await keys.identify(key)


@pytest.mark.parametrize("key", ["k0", "k4", "unknown"])
async def test_a_key_is_compared_with_all_digests_whosever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """The time of an answer tells nothing of who is in the file, nor where."""
    compared = []
    compare = hmac.compare_digest

    def spy(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return compare(a, b)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    keys = ApiKeys(write(tmp_path / "identities.yaml", *(entry(f"p{i}", f"k{i}") for i in range(5))))

    await asyncio.gather(keys.identify(key), return_exceptions=True)

    assert len(compared) == 5


BROKEN_FILES = {
    "": "the file: must be a mapping",
    "- a\n": "the file: must be a mapping",
    "principals: {}\n": "principals: must be a list of mappings",
    "principals: [text]\n": "principals[0]: must be a list of mappings",
    "principals: []\nmore: 1\n": "more: there is no such field",
    "principals: [\n": "is not YAML at line 2",
    "principals:\n  - tenants: [*]\n": "is not YAML at line 2",
    "principals: []\nprincipals: []\n": "line 1: the field principals is given twice",
    "principals:\n" + entry("p", "k", "[a]", "    tenants: [b]\n"): "line 2: the field tenants is given twice",
    "principals:\n  - id: p\n    tenants: [a]\n": "principals[0].key_sha256: is missing",
    "principals:\n" + entry("p", "k", "[a]", "    quota: 1\n"): "principals[0].quota: there is no such field",
    "principals:\n" + entry("12", "k"): "principals[0].id: must be 1 to 255 printable ASCII characters, in quotes",
    "principals:\n" + entry('""', "k"): "principals[0].id: must be",
    "principals:\n" + entry("p", "k", "demo"): "principals[0].tenants: must be a list",
    "principals:\n" + entry("p", "k", ""): "principals[0].tenants: must be a list",
    "principals:\n" + entry("p", "k", "[demo, '*']"): "principals[0].tenants[1]: must be a list",
    "principals:\n" + entry("p", "k", "[no]"): "principals[0].tenants[0]: must be a list",
    "principals:\n" + entry("p", "k", "['a/b']"): "principals[0].tenants[0]: must be a list",
    "principals:\n" + entry("p", "k", "[a]", "    requests_per_window: 0\n"): "requests_per_window: must be a whole",
    "principals:\n" + entry("p", "k", "[a]", "    tokens_per_window: 1.5\n"): "tokens_per_window: must be a whole",
    "principals:\n" + entry("p", "k", "[a]", "    tokens_per_window: true\n"): "tokens_per_window: must be a whole",
    "principals:\n" + entry("p", "a") + entry("p", "b"): "the id p stands there twice",
    "principals:\n" + entry("p", "a") + entry("q", "a"): "two principals have the same key_sha256",
    f"principals:\n  - id: p\n    key_sha256: {'z' * 64}\n    tenants: [a]\n": "64 hexadecimal digits",
    f"principals:\n  - id: p\n    key_sha256: {'1' * 64}\n    tenants: [a]\n": "64 hexadecimal digits in quotes",
    f"principals:\n  - id: p\n    key_sha256: {'a' * 63}\n    tenants: [a]\n": "64 hexadecimal digits",
}


@pytest.mark.parametrize(("content", "reason"), BROKEN_FILES.items())
def test_a_broken_file_stops_the_start_with_one_line_that_says_where(tmp_path: Path, content: str, reason: str) -> None:
    """Named by place and rule; a digest that stands somewhere is not repeated."""
    file = tmp_path / "identities.yaml"
    file.write_text(content)

    with pytest.raises(SourceError) as caught:
        open_authenticator(identities_file=file)

    assert str(caught.value).startswith(f"{file}: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert digest("k") not in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a: 2001-99-99\n", b"[" * 400, b"\x00"])
def test_bytes_that_are_no_yaml_are_refused_like_any_broken_file(content: bytes) -> None:
    """Whatever the reader of YAML raises on them."""
    with pytest.raises(SourceError):
        parse_identities(content)


def test_a_missing_file_stops_the_start(tmp_path: Path) -> None:
    """A typing error in the path must not leave everybody locked out, nor the service open."""
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        open_authenticator(identities_file=tmp_path / "none.yaml")
    with pytest.raises(SourceError, match="cannot be read: Is a directory"):
        open_authenticator(identities_file=tmp_path)


def rewrite(file: Path) -> None:
    write(file, entry("new", "new-key"))


def replace(file: Path) -> None:
    write(file.with_suffix(".tmp"), entry("new", "new-key")).replace(file)


def swap_link(file: Path) -> None:
    """As Kubernetes does with a mounted secret."""
    folder = file.resolve().parent
    link = file.with_suffix(".link")
    link.symlink_to(write(folder / "next.yaml", entry("new", "new-key")))
    link.replace(file)


@pytest.mark.parametrize("change", [rewrite, replace, swap_link])
async def test_a_changed_file_is_read_again(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """Keys are given and taken away without a restart, within a second."""
    clock = HandClock()
    real, file = tmp_path / "real.yaml", tmp_path / "identities.yaml"
    file.symlink_to(write(real, entry("old", "old-key")))
    keys = ApiKeys(file, clock=clock)
    change(file)
    clock.now += CHECK_INTERVAL_S

    assert (await keys.identify("new-key")).id == "new"
    with pytest.raises(Unauthorized):
        await keys.identify("old-key")


async def test_the_last_key_can_be_taken_away(tmp_path: Path) -> None:
    """An empty list is a decision and not a broken file."""
    clock = HandClock()
    keys = ApiKeys(write(tmp_path / "identities.yaml", entry("p", "k")), clock=clock)
    (tmp_path / "identities.yaml").write_text("principals: []\n")
    clock.now += CHECK_INTERVAL_S

    with pytest.raises(Unauthorized):
        await keys.identify("k")


async def test_a_file_is_not_looked_at_for_every_request(tmp_path: Path) -> None:
    """At most once a second, and read only when it has changed."""
    clock = HandClock()
    read = []
    file = tmp_path / "file"
    file.write_bytes(b"1")
    watched = WatchedFile(file, lambda data: read.append(data) or data, clock=clock)  # type: ignore[func-returns-value]
    for _ in range(3):
        clock.now += CHECK_INTERVAL_S
        await watched.current()
    file.write_bytes(b"12")

    before = await watched.current()
    clock.now += CHECK_INTERVAL_S
    after = await asyncio.gather(*(watched.current() for _ in range(5)))

    assert before == b"1"
    assert after == [b"12"] * 5
    assert read == [b"1", b"12"]


async def test_a_file_that_breaks_leaves_the_last_good_one_in_force_and_warns_once(
    tmp_path: Path, logged: list[logging.LogRecord]
) -> None:
    """Broken, gone, broken otherwise, mended: one line in the log for each."""
    clock = HandClock()
    file = write(tmp_path / "identities.yaml", entry("p", "k"))
    keys = ApiKeys(file, clock=clock)

    async def look() -> None:
        for _ in range(2):
            clock.now += CHECK_INTERVAL_S
            assert (await keys.identify("k")).id == "p"

    file.write_text("principals: [")
    await look()
    file.unlink()
    await look()
    file.write_text("principals: 1")
    await look()
    write(file, entry("p", "k"), entry("q", "k2"))
    await look()

    assert [record.msg for record in logged] == ["identity_file_broken"] * 3 + ["identity_file_read"]
    assert (await keys.identify("k2")).id == "q"


def test_a_new_key_is_let_in_by_the_entry_that_is_printed_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    """The key to stdout and nowhere else, the entry to stderr."""
    assert main(["new-key", "--id", "team: a", "--tenants", "demo,acme"]) == 0

    key, printed = capsys.readouterr()
    (holder,) = parse_identities(b"principals:\n" + printed.split("\n", 1)[1].encode())

    assert len(key.strip()) == len("rag_") + 43
    assert key.strip() not in printed
    assert holder.digest == hashlib.sha256(key.strip().encode()).digest()
    assert holder.principal == Principal("team: a", frozenset({"demo", "acme"}))


@pytest.mark.parametrize("arguments", [["--tenants", "a/b"], ["--tenants", ""], ["--tenants", "a,*"], ["--id", ""]])
def test_a_new_key_for_impossible_grants_is_not_made(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """What the service would refuse to read is not printed."""
    with pytest.raises(SystemExit):
        main(["new-key", *arguments])

    assert capsys.readouterr().out == ""


def test_no_two_keys_are_the_same() -> None:
    """32 bytes of the system's randomness each."""
    assert len({make_key() for _ in range(100)}) == 100


# --- which credential


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"x-api-key": "ké"},
        {"authorization": "k"},
        {"authorization": "Bearer k"},
        {"authorization": "Basic azpr"},
        {"x-api-key": "k", "authorization": "Bearer x"},
        Headers(raw=[(b"x-api-key", b"k"), (b"x-api-key", b"k")]),
        Headers(raw=[(b"x-api-key", b"k"), (b"x-api-key", b"other")]),
    ],
)
async def test_credentials_that_are_missing_malformed_or_two_are_refused(tmp_path: Path, headers: Any) -> None:
    """Two may name two callers; neither is taken then."""
    authenticator = open_authenticator(identities_file=write(tmp_path / "identities.yaml", entry("p", "k")))

    with pytest.raises(Unauthorized):
        await authenticator.authenticate(headers)


async def test_a_key_in_its_header_is_taken(tmp_path: Path) -> None:
    """As Starlette gives the headers."""
    authenticator = open_authenticator(identities_file=write(tmp_path / "identities.yaml", entry("p", "k")))

    principal = await authenticator.authenticate(Headers({"X-API-Key": "k", "accept": "*/*"}))

    assert principal.id == "p"


# --- tokens


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
RSA_OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
P256, P384, P521 = (ec.generate_private_key(curve) for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()))
ED25519 = ed25519.Ed25519PrivateKey.generate()
SECRET = b"a secret of at least thirty-two bytes"

SIGNERS: dict[str, tuple[Any, str]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), (RSA, "rsa")),
    "ES256": (P256, "p256"),
    "ES384": (P384, "p384"),
    "ES512": (P521, "p521"),
    "EdDSA": (ED25519, "ed"),
    "HS256": (SECRET, "secret"),
}


def public_jwk(key: Any, kid: str | None, **more: Any) -> dict[str, Any]:
    if isinstance(key, bytes):
        return {"kty": "oct", "k": base64.urlsafe_b64encode(key).decode().rstrip("="), "kid": kid, **more}
    algorithm = {rsa.RSAPrivateKey: "RS256", ed25519.Ed25519PrivateKey: "EdDSA"}
    name = next((value for kind, value in algorithm.items() if isinstance(key, kind)), "ES256")
    described = dict(jwt.get_algorithm_by_name(name).to_jwk(key.public_key(), as_dict=True))
    described.pop("key_ops", None)
    return {**described, **({"kid": kid} if kid else {}), **more}


def key_set(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


ALL_KEYS = key_set(*(public_jwk(key, kid) for key, kid in {kid: (key, kid) for key, kid in SIGNERS.values()}.values()))


def sign(key: Any = RSA, algorithm: str = "RS256", kid: str | None = "rsa", **changes: Any) -> str:
    """A good token, but for the claims that are changed; None takes a claim away."""
    now = int(time.time())
    claims = {"exp": now + 600, "aud": AUDIENCE, "iss": ISSUER, "sub": "user-1", "tenants": ["demo"], **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid} if kid else None)


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

    assert principal == Principal("user-1", frozenset({"demo", "acme"}), None, None)


async def test_the_scheme_is_read_in_any_case_and_audiences_may_be_several(authenticator: Authenticator) -> None:
    """RFC 9110 section 11.1, RFC 7519 section 4.1.3."""
    token = sign(aud=["other", AUDIENCE])

    assert (await authenticator.authenticate({"authorization": f"bEARER {token}"})).id == "user-1"


@pytest.mark.parametrize("claim", ["nbf", "iat"])
async def test_clocks_may_differ_by_a_few_seconds(authenticator: Authenticator, claim: str) -> None:
    """A token that was issued just now seems to come from the future."""
    soon: dict[str, Any] = {claim: int(time.time()) + 3}

    assert (await authenticator.authenticate(bearer(sign(**soon)))).id == "user-1"


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

    assert (await authenticator.authenticate(bearer(sign(kid=None)))).id == "user-1"


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

    assert (await authenticator.authenticate({"x-api-key": "k"})).id == "p"
    assert (await authenticator.authenticate(bearer(sign()))).id == "user-1"
    with pytest.raises(Unauthorized):
        await authenticator.authenticate({"x-api-key": "k", **bearer(sign())})


# --- key sets that are fetched


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

    assert (await tokens.identify(sign(P256, "ES256", "next"))).id == "user-1"
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
        assert (await tokens.identify(sign())).id == "user-1"
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
    assert (await tokens.identify(sign())).id == "user-1"
    assert issuer.fetched == 2


async def test_a_request_that_is_cancelled_does_not_cancel_the_fetch_of_others() -> None:
    """One client leaves, the other waits for the same answer."""
    issuer = Issuer(public_jwk(RSA, "rsa"))
    tokens, _ = remote(issuer)
    leaving, staying = (asyncio.create_task(tokens.identify(sign())) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()

    assert (await staying).id == "user-1"


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
