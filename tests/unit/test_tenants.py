"""The tenants file: read as a whole or refused in one line, and part of `model_version`."""

from dataclasses import replace
from pathlib import Path

import pytest

from rag.config.environment import load_settings
from rag.config.settings import Settings
from rag.model_card import make_card
from rag.tenants import TenantsError, load_policies
from rag.verification import Policies, Policy

FAKES = {"RAG_EMBEDDER_MODEL": "fake:", "RAG_RERANKER_MODEL": "fake:", "RAG_GENERATOR_MODEL": "fake:"}
SECRET = "hunter2"
MAX_MESSAGE_CHARS = 400


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "tenants.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def settings(file: Path | None = None, **environ: str) -> Settings:
    return load_settings({**FAKES, **environ, **({"RAG_TENANTS_FILE": str(file)} if file else {})})


def read(folder: Path, text: str | bytes, **environ: str) -> Policies:
    return load_policies(settings(write(folder, text), **environ))


def refusal(folder: Path, text: str | bytes) -> str:
    with pytest.raises(TenantsError) as caught:
        read(folder, text)
    return str(caught.value)


def test_without_a_file_all_tenants_have_the_policy_of_the_settings() -> None:
    """Each threshold is a setting."""
    policies = load_policies(
        settings(
            RAG_VERIFICATION="drop",
            RAG_UNSUPPORTED_BELOW="0.1",
            RAG_SUPPORTED_FROM="0.2",
            RAG_ENTAILED_FROM="0.3",
            RAG_ANSWERABLE_FROM="0.4",
            RAG_QUOTED_ENOUGH="0.6",
        )
    )

    assert policies == Policies(Policy("drop", 0.1, 0.2, 0.3, 0.4, 0.6))
    assert policies.of("anybody") == policies.default


def test_the_defaults_of_the_settings_are_those_of_a_policy() -> None:
    """A number that was measured stands in one place, or in two that say the same."""
    assert load_policies(settings()) == Policies(Policy())


def test_a_tenant_has_what_it_names_and_everybodys_rest(tmp_path: Path) -> None:
    """An override is merged into the policy of the settings, field by field; others are not touched."""
    policies = read(
        tmp_path,
        "tenants:\n  acme: {verification: drop, quoted_enough: 0.9}\n  wide:\n    answerable_from: 0\n  same: {}\n",
        RAG_SUPPORTED_FROM="0.6",
    )
    default = policies.default

    assert default.supported_from == 0.6
    assert policies.of("acme") == replace(default, mode="drop", quoted_enough=0.9)
    assert policies.of("wide") == replace(default, answerable_from=0)
    assert policies.of("same") == policies.of("demo") == default


def test_every_field_can_be_a_tenants_own(tmp_path: Path) -> None:
    """None is forgotten, and the ends of each range belong to it."""
    text = (
        "tenants: {acme: {verification: mark, unsupported_below: 0, supported_from: 1, entailed_from: 1,"
        " answerable_from: 0, quoted_enough: 1.0}}"
    )

    assert read(tmp_path, text).of("acme") == Policy("mark", 0, 1, 1, 0, 1)


@pytest.mark.parametrize("mode", ["drop", "mark"])
def test_a_tenant_cannot_do_without_quotations_where_there_is_nothing_else(tmp_path: Path, mode: str) -> None:
    """Without a generator every one of its answers would be none."""
    with pytest.raises(TenantsError, match=r"tenants\.acme\.verification: must be repair"):
        read(tmp_path, f"tenants: {{acme: {{verification: {mode}}}}}", RAG_GENERATOR_MODEL="none")

    assert (
        read(tmp_path, "tenants: {acme: {verification: repair}}", RAG_GENERATOR_MODEL="none").of("acme").mode
        == "repair"
    )


def test_a_tenant_is_looked_up_by_its_whole_name(tmp_path: Path) -> None:
    """Neither a prefix nor another case."""
    policies = read(tmp_path, "tenants: {acme: {verification: mark}}")

    assert {name for name in ("acme", "Acme", "acme.", "acm", "*") if policies.of(name).mode == "mark"} == {"acme"}


@pytest.mark.parametrize("text", ["tenants: {}", "tenants: {}\n# nobody yet\n", '{"tenants": {}}', "\ufefftenants: {}"])
def test_a_file_may_name_nobody(tmp_path: Path, text: str) -> None:
    """Then all have the policy of the settings."""
    assert read(tmp_path, text).tenants == {}


BROKEN: dict[str, str | bytes] = {
    "empty": "",
    "only a comment": "# tenants:\n",
    "nothing in it": "tenants:",
    "list": "[tenants]",
    "list of tenants": "tenants: [acme]",
    "another word": f"tenant: {{acme: {{}}}}\nkey: {SECRET}",
    "second document": f"tenants: {{}}\n---\n{SECRET}: 1",
    "tenant without a mapping": "tenants: {acme: }",
    "tenant as a text": f"tenants: {{acme: {SECRET}}}",
    "unknown field": f"tenants: {{acme: {{quoted_enogh: {SECRET}}}}}",
    "unknown field on two lines": f'tenants: {{acme: {{"a\\n{SECRET}": 1}}}}',
    "the policy's own word": "tenants: {acme: {mode: drop}}",
    "unknown mode": f"tenants: {{acme: {{verification: {SECRET}}}}}",
    "mode in capitals": "tenants: {acme: {verification: Drop}}",
    "above the range": "tenants: {acme: {quoted_enough: 1.01}}",
    "below the range": "tenants: {acme: {unsupported_below: -0.01}}",
    "per cent": "tenants: {acme: {supported_from: 45}}",
    "not a number": "tenants: {acme: {answerable_from: .nan}}",
    "endless": "tenants: {acme: {answerable_from: -.inf}}",
    "text": f"tenants: {{acme: {{entailed_from: {SECRET}}}}}",
    "truth": "tenants: {acme: {quoted_enough: yes}}",
    "date": "tenants: {acme: {quoted_enough: 2026-01-31}}",
    "no date": "tenants: {acme: {quoted_enough: 2026-13-45}}",
    "half a number": "tenants: {acme: {quoted_enough: 0x_}}",
    "endless digits": f"tenants: {{acme: {{quoted_enough: {'9' * 5000}}}}}",
    "tenant with a space": "tenants: {acme inc: {}}",
    "tenant with a slash": "tenants: {../acme: {}}",
    "all tenants": "tenants: {'*': {}}",
    "tenant on two lines": f'tenants: {{"acme\\n{SECRET}": {{}}}}',
    "tenant too long": f"tenants: {{{'a' * 65}: {{}}}}",
    "tenant as a number": "tenants: {2026: {}}",
    "tenant in Vietnamese": "tenants: {kế-toán: {}}",
    "a tenant twice": "tenants: {acme: {verification: drop}, acme: {}}",
    "a field twice": "tenants: {acme: {verification: drop, verification: mark}}",
    "not closed": f"tenants: {{acme: {SECRET}",
    "tab": f"tenants:\n\tacme: {SECRET}",
    "code": f"tenants: !!python/object/apply:os.system ['{SECRET}']",
    "unknown alias": f"tenants: *{SECRET}",
    "itself": "&all {tenants: *all}",
    "very deep": "[" * 5_000,
    "not UTF-8": b"tenants: {\xff\xfe: {}}",
    "zeros": b"\x00" * 64,
    "a laugh a line": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{n}: &{n} [{','.join(['*' + chr(ord(n) - 1)] * 9)}]\n" for n in "bcdefghi"),
    "a laugh as a tenant": "tenants:\n  acme: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"  {n}: &{n} [{','.join(['*' + chr(ord(n) - 1)] * 9)}]\n" for n in "bcdefghi"),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_refused_in_one_line(tmp_path: Path, text: str | bytes) -> None:
    """The line names the file, is short enough to be read, and shows no value that stands there."""
    message = refusal(tmp_path, text)

    assert message.startswith(f"{tmp_path / 'tenants.yaml'}: ")
    assert message.isprintable()
    assert len(message) <= len(str(tmp_path)) + MAX_MESSAGE_CHARS


@pytest.mark.parametrize("kind", [name for name, text in BROKEN.items() if SECRET in str(text) and "line" not in name])
def test_no_value_of_a_broken_file_is_shown(tmp_path: Path, kind: str) -> None:
    """A key may have been pasted into the wrong file, and the line goes to a log."""
    assert SECRET not in refusal(tmp_path, BROKEN[kind])


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("tenants: {acme: {quoted_enough: 7}}", "tenants.acme.quoted_enough"),
        ("tenants: {acme: {quoted_enogh: 0.7}}", "tenants.acme.quoted_enogh"),
        ("tenants: {acme inc: {}}", "acme inc"),
        ("tenants: {acme: }", "tenants.acme"),
        ("tenants: []", "tenants"),
        ("", "the file"),
    ],
)
def test_the_line_says_where(tmp_path: Path, text: str, place: str) -> None:
    """In the words of the file, and not of the code that reads it."""
    message = refusal(tmp_path, text)

    assert place in message
    assert "_Entry" not in message
    assert "_File" not in message


@pytest.mark.parametrize("name", ["missing.yaml", ".", "missing/tenants.yaml"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    """Not there, or a folder: thresholds that were asked for are not forgotten."""
    with pytest.raises(TenantsError, match="cannot be read"):
        load_policies(settings(tmp_path / name))


def test_aliases_give_tenants_the_same(tmp_path: Path) -> None:
    """YAML's own way of not saying a thing twice."""
    policies = read(tmp_path, "tenants: {acme: &strict {verification: drop}, other: *strict}")

    assert policies.of("acme") == policies.of("other") == replace(policies.default, mode="drop")


def test_thousands_of_tenants_may_differ(tmp_path: Path) -> None:
    """A file of some hundred kilobytes is no attack."""
    lines = [f"  tenant-{n}: {{quoted_enough: {n / 2000}}}\n" for n in range(2000)]

    policies = read(tmp_path, "tenants:\n" + "".join(lines))

    assert policies.of("tenant-1999").quoted_enough == 1999 / 2000


class TestModelVersion:
    """What the file says can change an answer; where it stands and how it is written cannot."""

    TEXT = "tenants: {acme: {quoted_enough: 0.5}, other: {verification: drop}}"

    @staticmethod
    def of(folder: Path, text: str) -> str:
        folder.mkdir(exist_ok=True)
        of_settings = settings(write(folder, text))
        return make_card(of_settings, load_policies(of_settings)).model_version

    @pytest.mark.parametrize(
        "text",
        [
            "tenants: {acme: {quoted_enough: 0.6}, other: {verification: drop}}",
            "tenants: {acme: {answerable_from: 0.5}, other: {verification: drop}}",
            "tenants: {other: {quoted_enough: 0.5}, acme: {verification: drop}}",
            "tenants: {acme: {quoted_enough: 0.5}}",
            "tenants: {}",
        ],
    )
    def test_other_content_is_another_deployment(self, tmp_path: Path, text: str) -> None:
        """Two that may answer differently never share one."""
        assert self.of(tmp_path, text) != self.of(tmp_path, self.TEXT)

    @pytest.mark.parametrize(
        "text",
        [
            "# for the auditors\ntenants:\n  acme:\n    quoted_enough: 0.50\n  other:\n    verification: 'drop'\n",
            "tenants: {other: {verification: drop}, acme: {quoted_enough: 5.0e-1}}",
        ],
    )
    def test_the_same_content_elsewhere_is_the_same_deployment(self, tmp_path: Path, text: str) -> None:
        """Another place, order, layout or comment."""
        assert self.of(tmp_path / "a", text) == self.of(tmp_path / "b", self.TEXT)
