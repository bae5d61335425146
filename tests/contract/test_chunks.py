"""`GET /chunks/{chunk_id}`: the text that was cited, for who may read it; nothing in a document can act on the page."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import unquote

import httpx
import pytest
from prometheus_client import REGISTRY

from rag.api.chunk_page import find_quote
from rag.api.openapi import describe_api
from rag.errors import NotReady, RateLimited, Unauthorized
from rag.identity import open_authenticator
from rag.limits import Gate, Places
from rag.quotas import LocalLimiter, Quotas
from tests.asgi import Connection
from tests.contract.asking import write_identities
from tests.contract.conftest import LogLines
from tests.contract.test_rules_limits import Account
from tests.described import Description
from tests.fakes import ANNUAL_LEAVE, MODEL_VERSION, PARKING, SICK_LEAVE, FakeIndex, FakeIndexes, make_app, make_client

FIRST, SECOND, THIRD = (f"demo:handbook:v1:0000{number}" for number in (1, 2, 3))
HTML: Final = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}  # as Firefox sends it
DESCRIPTION: Final = Description(describe_api(is_open=True))
LEAVE_VI: Final = "Nhân viên toàn thời gian có 12 ngày nghỉ phép năm."


def handbook(**app: Any) -> Any:
    return make_app(**{"indexes": FakeIndexes(demo=FakeIndex(ANNUAL_LEAVE, SICK_LEAVE, PARKING)), **app})


def one_passage(text: str, **fields: Any) -> Any:
    return make_app(indexes=FakeIndexes(demo=FakeIndex(text, **fields)))


async def read(
    chunk_id: str = FIRST, *, app: Any = None, headers: dict[str, str] | None = None, **params: Any
) -> httpx.Response:
    async with make_client(app or handbook()) as client:
        response = await client.get(f"/chunks/{chunk_id}", headers=headers, params=params or None)
    DESCRIPTION.check_response(response)
    return response


# --- as JSON


async def test_a_chunk_has_exactly_the_fields_of_the_contract() -> None:
    """Its text, where it stands, and its neighbours."""
    response = await read(SECOND, app=one_passage_and_more())

    assert response.json() == {
        "chunk_id": SECOND,
        "document_id": "handbook",
        "title": "Staff Handbook",
        "heading": "Leave",
        "page_start": 2,
        "page_end": 2,
        "text": SICK_LEAVE,
        "previous": FIRST,
        "next": THIRD,
    }


async def test_a_printed_page_stands_beside_the_number() -> None:
    """In JSON and on the page, and only where the two differ."""
    app = make_app(indexes=FakeIndexes(demo=FakeIndex(ANNUAL_LEAVE, page_label="A-7")))
    body = (await read(app=app)).json()
    page = (await read(app=app, headers={"accept": "text/html"})).text

    assert (body["page_start"], body["page_label"]) == (1, "A-7")
    assert "Page 1 (printed A-7)" in page


def one_passage_and_more() -> Any:
    return make_app(indexes=FakeIndexes(demo=FakeIndex(ANNUAL_LEAVE, SICK_LEAVE, PARKING, heading="Leave")))


@pytest.mark.parametrize(("chunk_id", "previous", "following"), [(FIRST, None, SECOND), (THIRD, SECOND, None)])
async def test_a_document_has_two_ends(chunk_id: str, previous: str | None, following: str | None) -> None:
    """The first has nothing before it, the last nothing after it."""
    body = (await read(chunk_id)).json()

    assert (body["previous"], body["next"]) == (previous, following)


async def test_what_was_cited_can_be_read() -> None:
    """The id of every citation and of every result leads to the text that holds the quotation."""
    async with make_client(handbook()) as client:
        answer = (await client.post("/query", json={"question": "How many days of annual leave?"})).json()
        found = (await client.post("/search", json={"question": "leave"})).json()
        for citation in answer["citations"]:
            chunk = (await client.get(f"/chunks/{citation['chunk_id']}")).json()
            assert citation["quote"] in chunk["text"]
        for result in found["results"]:
            chunk = (await client.get(f"/chunks/{result['chunk_id']}")).json()
            assert {name: chunk[name] for name in chunk.keys() & result.keys()} == {
                name: result[name] for name in chunk.keys() & result.keys()
            }

    assert answer["citations"]


async def test_an_encoded_id_is_the_same_id() -> None:
    """As the URL of a citation has it."""
    assert (await read(FIRST.replace(":", "%3A"))).json()["chunk_id"] == FIRST


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
async def test_head_is_get_without_the_body(accept: str) -> None:
    """The same status and headers."""
    headers = {"accept": accept, "x-trace-id": "tr-1"}
    async with make_client(handbook()) as client:
        got, head = (
            await client.get(f"/chunks/{FIRST}", headers=headers),
            await client.head(f"/chunks/{FIRST}", headers=headers),
        )

    assert (head.status_code, head.headers, head.content) == (got.status_code, got.headers, b"")


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
async def test_no_cache_between_keeps_a_chunk(accept: str) -> None:
    """Two callers may read different things under one address, and one may lose the right to."""
    headers = (await read(headers={"accept": accept})).headers

    assert headers["cache-control"] == "private, no-cache"
    assert headers["vary"] == "accept"
    assert headers["x-content-type-options"] == "nosniff"


# --- what is not there


@pytest.mark.parametrize(
    "chunk_id",
    [
        "demo:handbook:v1:00004",
        "demo:handbook:v1:00000",
        "demo:handbook:v2:00001",
        "demo:other:v1:00001",
        "acme:handbook:v1:00001",
        "never-heard-of:handbook:v1:00001",
        "demo:handbook:v1:1",
        "demo:handbook:v1:000001",
        "demo:handbook:v01:00001",
        "demo:handbook:v1:٠٠٠٠١",
        "demo:handbook:v1:00001:",
        "demo:handbook:v1",
        "DEMO:handbook:v1:00001",
        "..",
        "%2e%2e",
        "..%2f..",
        "..%2f..%2fetc%2fpasswd",
        "%00",
        "demo%00:handbook:v1:00001",
        "demo:handbook:v1:00001%0a",
        "demo:handbook:v1:00001%00",
        "%ff%fe",
        "<script>alert(1)</script>",
        "demo:handbook:v" + "9" * 5000 + ":00001",
        "x" * 10_000,
        "demo:" + "x" * 10_000 + ":v1:00001",
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "text/html"])
async def test_what_cannot_be_read_is_not_found(chunk_id: str, accept: str) -> None:
    """404 with one body for an unknown chunk, a malformed id and another's tenant; what was asked for is not repeated.

    The path goes in as a server decodes it: a client's library would tidy it up.
    """
    app, headers = handbook(), {"accept": accept, "x-trace-id": "tr-1"}
    async with make_client(app) as client:
        unknown = await client.get("/nothing", headers=headers)
    async with Connection(app, "GET", unquote(f"/chunks/{chunk_id}"), headers=headers) as connection:
        status, sent = await connection.head()
        body = await connection.json()

    assert (status, sent["content-type"], body) == (404, "application/json", unknown.json())


async def test_a_tenant_that_is_not_granted_is_as_unknown_as_any(tmp_path: Path) -> None:
    """With an index and without one; and its own chunk is found under its own key."""
    path = write_identities(tmp_path, {"reader": ["demo"], "acme-reader": ["acme"]})
    indexes = FakeIndexes(demo=FakeIndex(ANNUAL_LEAVE), acme=FakeIndex(SICK_LEAVE, tenant_id="acme"))
    app = make_app(indexes=indexes, authenticator=open_authenticator(identities_file=path))

    async with make_client(app) as client:

        async def ask(key: str, chunk_id: str) -> httpx.Response:
            return await client.get(f"/chunks/{chunk_id}", headers={"x-api-key": key, "x-trace-id": "tr-1"})

        own = [await ask("reader", FIRST), await ask("acme-reader", "acme:handbook:v1:00001")]
        others = [
            await ask("reader", "acme:handbook:v1:00001"),
            await ask("reader", "nobody:handbook:v1:00001"),
            await ask("reader", "demo:handbook:v1:99999"),
            await ask("acme-reader", FIRST),
        ]

    assert [response.json()["text"] for response in own] == [ANNUAL_LEAVE, SICK_LEAVE]
    assert {response.status_code for response in others} == {404}
    assert len({response.content for response in others}) == 1


async def test_the_chunk_of_another_tenant_is_refused_before_its_index_is_looked_at() -> None:
    """An index that is broken must not tell that it exists."""
    app = make_app(indexes=FakeIndexes(acme=RuntimeError("it was looked at")))

    assert (await read("acme:handbook:v1:00001", app=app)).status_code == 404


# --- who, and how much


class Refusing:
    """An `Authenticator` that knows nobody."""

    async def authenticate(self, headers: Any) -> NoReturn:
        raise Unauthorized


@pytest.mark.parametrize("chunk_id", [FIRST, "nothing"])
async def test_credentials_come_first(chunk_id: str) -> None:
    """401 UNAUTHORIZED whether the chunk exists or not, as a page and as JSON."""
    app = handbook(authenticator=Refusing())

    assert [(await read(chunk_id, app=app, headers=each)).status_code for each in ({}, HTML)] == [401, 401]


async def test_a_chunk_counts_as_a_request_and_costs_no_tokens() -> None:
    """One request of the quota, whatever it finds."""
    account = Account()
    await read(app=handbook(limiter=account))
    await read("demo:handbook:v1:00009", app=handbook(limiter=account))

    assert account.reserved == [0, 0]
    assert account.settled == [("1", 0), ("2", 0)]


async def test_a_chunk_can_be_read_when_all_tokens_are_spent() -> None:
    """Whoever has used them up may still check the answers."""
    limiter = LocalLimiter(Quotas(window_s=60, requests=10, tokens=100))
    await limiter.reserve("anonymous", "demo", 100)

    assert (await read(app=handbook(limiter=limiter))).status_code == 200


async def test_limits_hold_for_chunks() -> None:
    """Quota, places, and the gate of a service that stops."""
    places, gate = Places(1, queue_timeout_s=0.001), Gate()
    async with places.hold():
        crowded = await read(app=handbook(places=places))
    spent = await read(app=handbook(limiter=Account(RateLimited("requests", retry_after_s=6.01))))
    gate.close()
    stopping = await read(app=handbook(gate=gate))

    assert [(each.status_code, each.json()["error"]["code"]) for each in (crowded, spent, stopping)] == [
        (503, "CONCURRENCY_LIMIT"),
        (429, "RATE_LIMITED"),
        (503, "NOT_READY"),
    ]


async def test_no_model_is_needed() -> None:
    """A front whose models are down or loading still shows what was cited."""

    def never() -> NoReturn:
        raise NotReady

    assert (await read(app=handbook(pipeline=never, search_pipeline=never))).status_code == 200


async def test_an_index_that_cannot_be_loaded_is_not_ready() -> None:
    """503 NOT_READY for who may read it."""
    assert (await read(app=make_app(indexes=FakeIndexes(demo=NotReady())))).status_code == 503


async def test_a_chunk_leaves_one_line_under_the_name_of_its_route(log_lines: LogLines) -> None:
    """Never its id, its text or the quotation; a refused one leaves a line too."""
    async with make_client(handbook()) as client:
        await client.get(f"/chunks/{FIRST}?quote=annual", headers={"x-trace-id": "tr-one"})
        await client.get("/chunks/secret-id")
        await client.post(f"/chunks/{FIRST}")

    read_, unknown, posted = log_lines()
    assert (read_["event"], read_["route"], read_["finish_reason"]) == ("query_ok", "/chunks/{chunk_id}", None)
    assert (read_["trace_id"], read_["tenant_id"], read_["principal_id"]) == ("tr-one", "demo", "anonymous")
    assert read_["model_version"] == MODEL_VERSION
    assert (unknown["event"], unknown["route"], unknown["error_code"]) == (
        "query_failed", "/chunks/{chunk_id}", "NOT_FOUND",
    )  # fmt: skip
    assert (posted["route"], posted["error_code"]) == ("/chunks/{chunk_id}", "METHOD_NOT_ALLOWED")
    assert not {"annual", "secret-id", FIRST} & set(re.findall(r"[\w:-]+", str([read_, unknown, posted])))


async def test_chunks_are_counted_under_the_name_of_their_route() -> None:
    """One series, however many chunks there are."""
    labels = {"route": "/chunks/{chunk_id}", "outcome": "query_ok", "reason": "", "code": ""}
    before = REGISTRY.get_sample_value("rag_queries_total", labels) or 0
    await read(FIRST)
    await read(SECOND)

    assert REGISTRY.get_sample_value("rag_queries_total", labels) == before + 2


# --- the query string


@pytest.mark.parametrize(
    ("query", "status", "path"),
    [
        ("quote=a&quote=b", 422, "quote"),
        ("utm_source=x", 422, "utm_source"),
        ("quote=%ff", 400, None),
        ("quote", 200, None),
        ("quote=", 200, None),
        ("", 200, None),
    ],
)
async def test_the_quotation_is_the_only_parameter(query: str, status: int, path: str | None) -> None:
    """Another one, or two of it, is a mistake; none is fine."""
    async with make_client(handbook()) as client:
        response = await client.get(f"/chunks/{FIRST}?{query}")

    DESCRIPTION.check_response(response)
    assert response.status_code == status
    assert path is None or [each["path"] for each in response.json()["error"]["fields"]] == [path]


# --- the page


class Tags(HTMLParser):
    """The elements of a page with their attributes, and the text of some."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._open.remove(tag)

    def handle_data(self, data: str) -> None:
        for tag in self._open:
            self.texts[tag] = self.texts.get(tag, "") + data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


async def open_page(chunk_id: str = FIRST, *, app: Any = None, **params: Any) -> Tags:
    response = await read(chunk_id, app=app, headers=HTML, **params)
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return Tags(response.text)


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        ("text/html", True),
        (HTML["accept"], True),
        ("text/*", True),
        ("TEXT/HTML;q=0.5, application/json;q=0.4", True),
        ("text/html;q=0.5,*/*;q=0.1", True),
        (None, False),
        ("*/*", False),
        ("", False),
        ("application/json", False),
        ("application/json, text/html", False),
        ("text/html;q=0, */*", False),
        ("text/html;q=0.4, application/json;q=0.5", False),
        ("text/html;q=nan, application/*", False),
        ("text/html;q=7", False),
        ("image/png", False),
        (",;,;q=,", False),
    ],
)
async def test_a_page_is_for_who_prefers_it(accept: str | None, is_page: bool) -> None:
    """More than JSON, not as much; `*/*` and what cannot be read means JSON."""
    headers = {} if accept is None else {"accept": accept}
    response = await read(headers=headers)

    assert response.headers["content-type"].startswith("text/html" if is_page else "application/json")


async def test_the_page_shows_the_chunk_and_leads_to_its_neighbours() -> None:
    """Title, heading, page, text, and two links below whatever prefix the page has."""
    page = await open_page(SECOND, app=one_passage_and_more())

    assert page.texts["h1"] == page.texts["title"] == "Staff Handbook"
    assert page.texts["p"] == "Leave · Page 2"
    assert page.texts["div"] == SICK_LEAVE
    assert [(each["rel"], each["href"]) for each in page.of("a")] == [
        ("prev", "./demo%3Ahandbook%3Av1%3A00001"),
        ("next", "./demo%3Ahandbook%3Av1%3A00003"),
    ]


async def test_the_quotation_is_highlighted() -> None:
    """As it stands in the text, once; the rest of the text stays as it is."""
    page = await open_page(quote="12 days of annual leave")

    assert page.texts["mark"] == "12 days of annual leave"
    assert len(page.of("mark")) == 1
    assert page.texts["div"] == ANNUAL_LEAVE


@pytest.mark.parametrize("quote", ["", " ", "13 days", "12  DAYS", "x" * 3000, "<b>", "\x00"])
async def test_what_does_not_stand_there_is_not_highlighted(quote: str) -> None:
    """And changes nothing."""
    page = await open_page(quote=quote)

    assert page.of("mark") == []
    assert page.texts["div"] == ANNUAL_LEAVE


@pytest.mark.parametrize(("text", "language", "label"), [(ANNUAL_LEAVE, "en", "Page 1"), (LEAVE_VI, "vi", "Trang 1")])
async def test_the_page_says_which_language_it_is_in(text: str, language: str, label: str) -> None:
    """For screen readers and hyphenation; its own words are in the same one."""
    page = await open_page(app=one_passage(text))

    assert page.of("html") == [{"lang": language}]
    assert page.texts["p"] == label


async def test_a_text_of_no_known_language_claims_none() -> None:
    """English are then only the page's own words."""
    page = await open_page(app=one_passage("Отпуск составляет двенадцать дней в году для всех сотрудников."))

    assert page.of("html") == [{"lang": "en"}]
    assert page.of("div")[0]["lang"] == ""


HOSTILE: Final = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</div></main><style>*{display:none}</style>",
    "' onload='alert(1)",
    "<!-- -->]]><svg/onload=alert(1)>",
    "&lt;script&gt; &amp; &#60;b&#62;",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_nothing_from_a_document_or_a_url_becomes_markup(hostile: str) -> None:
    """Text, heading and quotation are text, whatever they hold; the page has the elements that it always has."""
    plain = await open_page(app=one_passage("Plain text.", heading="Plain"), quote="Plain text.")
    page = await open_page(app=one_passage(hostile, heading=hostile), quote=hostile)
    in_url = await open_page(quote=hostile)

    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    assert page.texts["div"] == page.texts["mark"] == hostile
    assert page.texts["p"] == f"{hostile} · Page 1"
    assert in_url.texts["div"] == ANNUAL_LEAVE
    assert all(not name.startswith("on") for _, attributes in page.elements for name in attributes)


async def test_the_page_can_run_nothing_and_load_nothing() -> None:
    """The policy allows one style by its digest; no script, no image, no form, no frame around it."""
    response = await read(headers=HTML)
    policy = dict(each.strip().split(" ", 1) for each in response.headers["content-security-policy"].split(";"))
    (style,) = re.findall(r"<style>(.*?)</style>", response.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert response.headers["referrer-policy"] == "no-referrer"
    assert {tag for tag, _ in Tags(response.text).elements}.isdisjoint({"script", "link", "img", "iframe", "form"})


async def test_the_page_is_light_or_dark_as_its_reader_likes() -> None:
    """By the style alone."""
    style = (await open_page()).texts["style"]

    assert "color-scheme: light dark" in style
    assert "prefers-color-scheme: dark" in style


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ("two  three", "two\nthree"),
        ("one two three", "one two\nthree"),
        ("three. One", None),
        ("nghi\u0309", "nghỉ"),
        (".*", None),
        ("(three", None),
    ],
)
def test_a_quotation_is_found_whatever_became_of_its_white_space(quote: str, found: str | None) -> None:
    """And of its accents; but it is no pattern."""
    text = "one two\nthree. nghỉ"
    span = find_quote(text, quote)

    assert (text[slice(*span)] if span else None) == found
