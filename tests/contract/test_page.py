"""The page at `/` as a document: its headers, what it may run, and its words; integration/test_page.py opens it."""

import base64
import hashlib
import json
import re
from typing import Final

import pytest

from schemas.errors import ErrorCode
from tests.fakes import make_app, make_client

# What turns text into markup or code, and what keeps a key for longer than the page is open.
_FORBIDDEN: Final = (
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|\beval\b|new Function|"
)
_KEPT: Final = r"localStorage|sessionStorage|indexedDB|document\.cookie|pushState|replaceState"
# A stream on this path never ends with these: the page sends POST, JSON and few headers, to a path that exists.
_NEVER_SEEN: Final = {
    ErrorCode.NOT_FOUND,
    ErrorCode.METHOD_NOT_ALLOWED,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.HEADERS_TOO_LARGE,
}


@pytest.fixture
async def page() -> str:
    async with make_client(make_app()) as client:
        return (await client.get("/")).text


async def read_policy() -> dict[str, str]:
    """The directives of the page's policy."""
    async with make_client(make_app()) as client:
        policy = (await client.get("/")).headers["content-security-policy"]
    return {name: sources for name, _, sources in (each.strip().partition(" ") for each in policy.split(";"))}


def read_texts(page: str) -> dict[str, dict[str, str]]:
    """The texts of the interface by language and name."""
    found = re.findall(r"^  (\w\w): \{\n(.*?)^  \},$", page, re.MULTILINE | re.DOTALL)
    return {language: dict(re.findall(r'(\w+): "([^"]*)"', texts)) for language, texts in found}


@pytest.mark.parametrize("element", ["script", "style"])
async def test_the_policy_allows_its_own_script_and_style_by_their_digests(page: str, element: str) -> None:
    """There is one of each, and a change of either changes the header with it."""
    (content,) = re.findall(rf"<{element}[^>]*>(.*?)</{element}>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()

    assert (await read_policy())[f"{element}-src"] == f"'sha256-{digest}'"


async def test_the_policy_allows_nothing_else() -> None:
    """No origin but our own, and that for requests alone; no frame, no form, no base, no text as HTML."""
    policy = await read_policy()

    assert {name: sources for name, sources in policy.items() if name not in ("script-src", "style-src")} == {
        "default-src": "'none'",
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }


async def test_the_page_is_html_that_is_asked_for_anew_and_tells_no_address() -> None:
    """A new version shows its page at once; whoever is linked to does not learn from where."""
    async with make_client(make_app()) as client:
        headers = (await client.get("/")).headers

    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-cache"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"


async def test_the_page_loads_nothing_from_outside(page: str) -> None:
    """BentoML's own page has a tracker; ours names no other address, and no handler or style stands in an attribute."""
    assert not re.search(r"https?://|(src|href)=\"//", page)
    assert not re.search(r"<[^>]*\s(on\w+|style)=", page)


async def test_text_is_never_markup_and_the_key_is_kept_nowhere(page: str) -> None:
    """Whatever stands in a document is shown as it stands there; the key lives in its field alone."""
    assert not re.search(_FORBIDDEN + _KEPT, page)


async def test_both_languages_have_all_texts(page: str) -> None:
    """With the same values in them; the names in the markup are among them."""
    texts = read_texts(page)

    assert texts.keys() == {"en", "vi"}
    assert texts["en"].keys() == texts["vi"].keys() > set(re.findall(r'data-(?:text|label)="(\w+)"', page))
    for name, english in texts["en"].items():
        assert re.findall(r"\{\w+\}", english) == re.findall(r"\{\w+\}", texts["vi"][name]), name


async def test_every_error_has_words(page: str) -> None:
    """Each that a question can end with."""
    assert {code.value for code in set(ErrorCode) - _NEVER_SEEN} <= read_texts(page)["en"].keys()


async def test_what_the_page_reads_from_the_description_is_there() -> None:
    """It finds the fields of a question there, and whether callers need a key."""
    async with make_client(make_app()) as client:
        described = json.loads((await client.get("/docs.json")).content)

    assert "question" in described["components"]["schemas"]["QueryRequest"]["properties"]
    assert {} in described["paths"]["/query"]["post"]["security"]
