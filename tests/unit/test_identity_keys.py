"""Which API key identifies whom, what is refused, and the effect of a changing or broken key file."""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers

from rag.errors import Forbidden, Unauthorized
from rag.identity import OpenAuthenticator, Principal, SourceError, open_authenticator
from rag.identity.__main__ import main
from rag.identity.api_keys import ApiKeys, make_key, parse_identities
from rag.identity.sources import CHECK_INTERVAL_S, WatchedFile
from tests.unit.identity_fakes import HandClock, digest, entry, write

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
    assert not authenticator.names_tenant("demo")
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

    assert batch == Principal("key:batch", frozenset({"demo", "acme"}), 600, 1_000_000)
    assert admin == Principal("key:admin", None)
    assert admin.may_use("anything")


async def test_the_tenants_of_the_file_are_named(tmp_path: Path) -> None:
    """Whoever may use them; `*` names none, and a JWT would not either."""
    file = write(tmp_path / "identities.yaml", entry("batch", "k1", "[demo, acme]"), entry("admin", "k2", '["*"]'))
    authenticator = open_authenticator(identities_file=file)

    assert [name for name in ("demo", "acme", "*", "other") if authenticator.names_tenant(name)] == ["demo", "acme"]


async def test_a_key_may_have_groups(tmp_path: Path) -> None:
    """Compared as people see them; a key for all tenants has none either unless they are given."""
    file = write(
        tmp_path / "identities.yaml",
        entry("p", "k1", more='    groups: [board, " Nhân sự "]\n'),
        entry("admin", "k2", '["*"]'),
        entry("none", "k3", more="    groups: []\n"),
    )
    keys = ApiKeys(file)

    assert (await keys.identify("k1")).groups == {"board", "Nhân sự"}
    assert (await keys.identify("k2")).groups == (await keys.identify("k3")).groups == frozenset()


async def test_a_key_may_write_only_if_its_entry_says_so(tmp_path: Path) -> None:
    """Rights are given, never assumed; what is no boolean stops the start."""
    file = write(tmp_path / "i.yaml", entry("w", "k1", more="    write: true\n"), entry("r", "k2"))
    keys = ApiKeys(file)

    assert (await keys.identify("k1")).write
    assert not (await keys.identify("k2")).write
    for value in ("yes please", '"true"', "1", ""):
        with pytest.raises(SourceError, match=r"write.*must be true or false"):
            parse_identities(("principals:\n" + entry("p", "k", more=f"    write: {value}\n")).encode())


@pytest.mark.parametrize("groups", ["board", "{}", "[1]", '[""]', '[" "]', '["a\\nb"]', f"[{'x' * 129}]", "[[a]]", ""])
def test_groups_that_no_document_can_have_are_refused(groups: str) -> None:
    """Whoever writes the file means something by each of them."""
    with pytest.raises(SourceError, match=r"groups.*must be a list of at most 1000 names"):
        parse_identities(("principals:\n" + entry("p", "k", more=f"    groups: {groups}\n")).encode())


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

    assert (await keys.identify("new-key")).id == "key:new"
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
            assert (await keys.identify("k")).id == "key:p"

    file.write_text("principals: [")
    await look()
    file.unlink()
    await look()
    file.write_text("principals: 1")
    await look()
    write(file, entry("p", "k"), entry("q", "k2"))
    await look()

    assert [record.msg for record in logged] == ["identity_file_broken"] * 3 + ["identity_file_read"]
    assert (await keys.identify("k2")).id == "key:q"


def test_a_new_key_is_let_in_by_the_entry_that_is_printed_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    """The key to stdout and nowhere else, the entry to stderr."""
    granted = ["--group", "board", "--group", "Nhân sự", "--write"]
    assert main(["new-key", "--id", "team: a", "--tenants", "demo,acme", *granted]) == 0

    key, printed = capsys.readouterr()
    (holder,) = parse_identities(b"principals:\n" + printed.split("\n", 1)[1].encode())

    assert len(key.strip()) == len("rag_") + 43
    assert key.strip() not in printed
    assert holder.digest == hashlib.sha256(key.strip().encode()).digest()
    groups = frozenset({"board", "Nhân sự"})
    assert holder.principal == Principal("key:team: a", frozenset({"demo", "acme"}), groups=groups, write=True)


@pytest.mark.parametrize(
    "arguments", [["--tenants", "a/b"], ["--tenants", ""], ["--tenants", "a,*"], ["--id", ""], ["--group", ""]]
)
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
        {"authorization": "Bearer"},
        {"authorization": "Bearer K"},
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


@pytest.mark.parametrize(
    ("key", "headers"),
    [
        ("k", {"X-API-Key": "k", "accept": "*/*"}),
        ("k", {"Authorization": "Bearer k"}),
        ("k", {"Authorization": "bearer  k "}),
        ("a.b.c", {"Authorization": "Bearer a.b.c"}),
    ],
)
async def test_a_key_is_taken_in_either_header(tmp_path: Path, key: str, headers: dict[str, str]) -> None:
    """As Starlette gives them; whatever a bearer looks like, where no JWTs are configured it is a key."""
    authenticator = open_authenticator(identities_file=write(tmp_path / "identities.yaml", entry("p", key)))

    principal = await authenticator.authenticate(Headers(headers))

    assert principal.id == "key:p"


async def test_a_reader_that_fails_is_told_and_the_last_content_stays(tmp_path: Path) -> None:
    """Once: a failure of an unknown kind failed every request after it, until a restart."""
    file, clock = tmp_path / "identities.yaml", HandClock()
    file.write_bytes(b"good")

    def parse(data: bytes) -> bytes:
        if data == b"odd":
            raise RuntimeError("nobody thought of it")
        return data

    watched = WatchedFile(file, parse, clock=clock)
    found = []
    for content in (b"odd", b"better"):
        file.write_bytes(content)
        for _ in range(2):
            clock.now += CHECK_INTERVAL_S
            found.append(await watched.current())

    assert found == [b"good", b"good", b"better", b"better"]
