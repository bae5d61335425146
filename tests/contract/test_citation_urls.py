"""Where a citation leads: to the page of its chunk, on the address that clients use, whatever `Host` they claim."""

import re
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from rag.answer.links import QUOTE_MAX_CHARS, chunk_url
from rag.api.origin import find_base_url
from rag.types import Passage, Quote
from tests.asgi import Connection, parse_events
from tests.fakes import ANNUAL_LEAVE, QUESTION, FakeIndex, FakeIndexes, make_app, make_chunk, make_client, make_pipeline

JSON: Final = {"content-type": "application/json"}
BODY: Final = f'{{"question": "{QUESTION}"}}'.encode()
LEAVE_VI: Final = "Nhân viên toàn thời gian có 12 ngày nghỉ phép năm (điều 5 & 6)."
QUESTION_VI: Final = "Nhân viên toàn thời gian có bao nhiêu ngày nghỉ phép năm?"


async def cite(app: Any, question: str = QUESTION, path: str = "/query", **request: Any) -> list[dict[str, Any]]:
    """The citations of one answer, whichever route gives it."""
    async with make_client(app) as client:
        response = await client.post(path, json={"question": question}, **request)
    assert response.status_code == 200, response.text
    if "stream" in path:
        return [event.data for event in parse_events(response.text) if event.name == "citation"]
    citations: list[dict[str, Any]] = response.json()["citations"]
    return citations


async def cite_for(host: str, **app: Any) -> str:
    """The address in an answer to a request with this `Host`, sent as it is."""
    headers = {**JSON, "host": host}
    async with Connection(make_app(**app), "POST", "/query", body=[BODY], headers=headers) as connection:
        status, _ = await connection.head()
        body = await connection.json()
    assert status == 200
    url: str = body["citations"][0]["url"]
    return url


def quoting(text: str) -> Any:
    indexes = FakeIndexes(demo=FakeIndex(text))
    return make_app(indexes=indexes, pipeline=make_pipeline(indexes=indexes, drafts=False))


async def test_all_routes_cite_alike() -> None:
    """`/query`, `/v1/query` and the `citation` event give the same object."""
    found = [await cite(make_app(), path=path) for path in ("/query", "/v1/query", "/query/stream")]

    assert found[0]
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("text", "question"),
    [
        (ANNUAL_LEAVE, QUESTION),
        (f"Some words before. {ANNUAL_LEAVE} Some words after.", QUESTION),
        (LEAVE_VI, QUESTION_VI),
        (f"🙂 Chào mừng. {LEAVE_VI}", QUESTION_VI),
    ],
)
async def test_the_quotation_stands_where_the_offsets_say(text: str, question: str) -> None:
    """Characters of the chunk's text, which are code points, end exclusive; the address gives that text."""
    app = quoting(text)
    (citation,) = await cite(app, question)
    async with make_client(app) as client:
        chunk = (await client.get(citation["url"])).json()

    assert chunk["chunk_id"] == citation["chunk_id"]
    assert chunk["text"] == text
    assert text[citation["quote_start"] : citation["quote_end"]] == citation["quote"]


async def test_the_address_is_that_of_the_page_with_the_quotation() -> None:
    """A person who follows it sees the sentence highlighted."""
    app = quoting(f"Some words before. {LEAVE_VI}")
    (citation,) = await cite(app, QUESTION_VI)
    async with make_client(app) as client:
        page = await client.get(citation["url"], headers={"accept": "text/html"})

    (marked,) = re.findall("<mark>(.*?)</mark>", page.text)
    assert marked.replace("&amp;", "&") == citation["quote"]


def test_the_second_of_two_equal_sentences_is_told_from_the_first() -> None:
    """The offsets are those of what was quoted, not of where the words stand first."""
    chunk = make_chunk("It rains. It rains.")
    quote = Quote(Passage(1, chunk), 10, 19)

    assert (quote.text, chunk.text.find(quote.text)) == ("It rains.", 0)


async def test_the_public_url_goes_before_what_the_request_says() -> None:
    """With its path; the `Host` is then without effect."""
    url = await cite_for("evil.example.org", public_url="https://example.org/rag")

    assert url.startswith("https://example.org/rag/chunks/demo%3Ahandbook%3Av1%3A00001?quote=")


@pytest.mark.parametrize(
    "host", ["rag.example.org", "rag_front:3000", "localhost:3000", "10.0.0.1", "[::1]:3000", "RAG.", "a"]
)
async def test_without_it_the_address_is_where_the_request_came_to(host: str) -> None:
    """The scheme and the `Host` of the request."""
    url = urlsplit(await cite_for(host))

    assert (url.scheme, url.netloc, url.path) == ("http", host, "/chunks/demo%3Ahandbook%3Av1%3A00001")


async def test_over_tls_the_address_is_https() -> None:
    """As the server sees the request."""
    transport = httpx.ASGITransport(make_app())
    async with httpx.AsyncClient(transport=transport, base_url="https://rag.example.org") as client:
        body = (await client.post("/query", json={"question": QUESTION})).json()

    assert body["citations"][0]["url"].startswith("https://rag.example.org/chunks/")


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "evil.example.org/path",
        "user:pw@evil.example.org",
        "evil.example.org?x=",
        "evil.example.org#",
        "evil.example.org\\x",
        '"><script>alert(1)</script>',
        "javascript:alert(1)//",
        "evil.example.org:80:80",
        "evil.example.org:port",
        "evil.example.org\r\nx: y",
        "évil.example.org",
        "[::1",
        "[<b>]",
        "-evil",
        "x" * 300,
    ],
)
async def test_a_host_that_is_none_gets_into_no_answer(host: str) -> None:
    """The request is answered, with the address of the server itself."""
    url = urlsplit(await cite_for(host))

    assert (url.scheme, url.netloc, url.path) == ("http", "127.0.0.1:3000", "/chunks/demo%3Ahandbook%3Av1%3A00001")


@pytest.mark.parametrize(
    ("server", "netloc"),
    [(("::1", 3000), "[::1]:3000"), (("/run/rag.sock", None), "localhost"), (None, "localhost"), (("a", 1), "a:1")],
)
def test_the_servers_own_address_is_one_too(server: Any, netloc: str) -> None:
    """Also where it is IPv6 or no address at all."""
    scope = {"type": "http", "scheme": "ws", "server": server, "headers": []}

    assert find_base_url(scope, None) == f"http://{netloc}"


@pytest.mark.parametrize(
    "quote", ["a&b=c", "a#b", "a?b", "100 %", "a+b", "/../", '"><script>', "dòng một\ndòng hai", "\x00", "\ud800"]
)
def test_a_quotation_stays_one_parameter(quote: str) -> None:
    """Whatever it holds; half a surrogate pair, which no address can hold, becomes a question mark."""
    url = urlsplit(chunk_url("http://rag", "demo:a:v1:00001", quote))

    assert parse_qs(url.query) == {"quote": [quote.replace("\ud800", "?")]}
    assert (url.path, url.fragment) == ("/chunks/demo%3Aa%3Av1%3A00001", "")
    assert re.fullmatch(r"[A-Za-z0-9%._~/:?=-]+", url.geturl())


def test_a_long_quotation_is_left_out() -> None:
    """The page is found without it."""
    longest = "x" * QUOTE_MAX_CHARS

    assert chunk_url("", "a", longest) == f"/chunks/a?quote={longest}"
    assert chunk_url("", "a", longest + "x") == chunk_url("", "a", "") == "/chunks/a"
