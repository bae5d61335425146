"""Filters and groups at every door: what a caller may not see, or has not asked for, shows nowhere.

A new door gets a line in `DOORS`: it is then asked by callers of two tenants and of three kinds of groups.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from rag.engines.fake import FakeEncoder
from rag.identity import Principal
from rag.index.engine import IndexEngine
from rag.index.files import FileEngine
from rag.index.provider import ServedIndexes
from rag.index.store import IndexStore
from rag.ingestion.ingest import Ingestion
from rag.ingestion.sources import Source
from schemas.request import Filters
from tests.documents_fakes import ScriptedRunner, open_ingestor, running_desk
from tests.fakes import QUESTION, FakeIndexes, make_app, make_client, make_pipeline
from tests.unit.index_fakes import FakeWatcher

# Each document has a word of its own, and all answer the same question.
LEAVE: Final = "Full-time staff have {days} days of annual leave per year, says the {word} office."
HANDBOOK, BOARD, AUDIT, ACME = "handbook", "boardroom", "auditorium", "acmeville"
SECRETS: Final = {HANDBOOK: 12, BOARD: 31, AUDIT: 47, ACME: 63}
KEYS: Final = {
    "nobody": Principal("key:nobody", frozenset({"demo"})),
    "board": Principal("key:board", frozenset({"demo"}), groups=frozenset({"board", "elsewhere"})),
    "both": Principal("key:both", frozenset({"demo"}), groups=frozenset({"board", "audit"})),
    "all": Principal("key:all", None),
    "acme": Principal("key:acme", frozenset({"acme"}), groups=frozenset({"board", "audit"})),
}
VISIBLE: Final = {
    ("nobody", "demo"): {HANDBOOK},
    ("board", "demo"): {HANDBOOK, BOARD},
    ("both", "demo"): {HANDBOOK, BOARD, AUDIT},
    ("all", "demo"): {HANDBOOK},
    ("acme", "acme"): {ACME},
}

_CHANGING: Final = re.compile(r'tr_[0-9a-f]{32}|\\?"latency_ms\\?": ?\{[^}]*\}|"created": ?[0-9]+')

Door = Callable[[httpx.AsyncClient, dict[str, Any]], Awaitable[httpx.Response]]


def posting(path: str, **fields: Any) -> Door:
    async def post(client: httpx.AsyncClient, body: dict[str, Any]) -> httpx.Response:
        return await client.post(path, json=fields | body)

    return post


def calling(tool: str, **fields: Any) -> Door:
    async def call(client: httpx.AsyncClient, body: dict[str, Any]) -> httpx.Response:
        params = {"name": tool, "arguments": fields | body}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        return await client.post("/mcp", json=message, headers={"accept": "application/json"})

    return call


def chatting(**fields: Any) -> Door:
    """OpenAI's routes have no filters; the model's name says the tenant."""

    async def chat(client: httpx.AsyncClient, body: dict[str, Any]) -> httpx.Response:
        messages = [{"role": "user", "content": body["question"]}]
        model = f"rag:{body.get('tenant_id', 'demo')}"
        return await client.post("/v1/chat/completions", json={"model": model, "messages": messages, **fields})

    return chat


# Those that take a question and filters, with everything that they can show.
DOORS: Final[Mapping[str, Door]] = {
    "query": posting("/query", include_trace=True, top_k=20),
    "stream": posting("/query/stream", include_trace=True, top_k=20),
    "native": posting("/v1/query", include_trace=True, top_k=20),
    "search": posting("/search", top_k=50),
    "mcp-ask": calling("ask", include_trace=True, top_k=20),
    "mcp-search": calling("search", top_k=50),
}
# Those that show what is cited and nothing else.
NARROW_DOORS: Final[Mapping[str, Door]] = {
    "query-get": lambda client, body: client.get("/query/stream", params=body),
    "chat": chatting(),
    "chat-stream": chatting(stream=True),
}


class ByKey:
    """Knows callers by the name in `x-api-key`."""

    async def authenticate(self, headers: Mapping[str, str]) -> Principal:
        return KEYS[headers["x-api-key"]]


class Always:
    """Takes everybody for one caller."""

    def __init__(self, principal: Principal) -> None:
        self._principal = principal

    async def authenticate(self, headers: Mapping[str, str]) -> Principal:
        return self._principal


@pytest.fixture(scope="module")
def index_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index of two tenants, as the command makes it."""
    folder = tmp_path_factory.mktemp("filters")
    ingest(FileEngine(IndexStore(folder / "index")), folder)
    return folder / "index"


def ingest(engine: IndexEngine, folder: Path) -> None:
    """Ingest the documents of both tenants, which are written into the folder."""
    ingestion = Ingestion(engine, FakeWatcher(), lambda: FakeEncoder.info, FakeEncoder)

    def source(word: str, groups: tuple[str, ...], **metadata: tuple[str, ...]) -> Source:
        path = folder / f"{word}.txt"
        path.write_text(LEAVE.format(days=SECRETS[word], word=word))
        return Source(path, word, f"The {word}", groups, metadata)

    ingestion.add(
        "demo",
        [
            source(HANDBOOK, (), kind=("policy", "guide"), year=("2026",)),
            source(BOARD, ("board",), kind=("policy",), year=("2025",)),
            source(AUDIT, ("audit", "board-of-audit"), kind=("report",)),
        ],
    )
    ingestion.add("acme", [source(ACME, ("board",), kind=("policy",))])


@pytest.fixture
def indexes(index_dir: Path) -> ServedIndexes:
    return ServedIndexes(index_dir, FakeEncoder.info)


async def ask(indexes: ServedIndexes, door: Door, caller: str, **body: Any) -> httpx.Response:
    await indexes.refresh()
    # No draft: answers are made of quotations, so that every passage may show.
    app = make_app(pipeline=make_pipeline(drafts=False, indexes=indexes), authenticator=ByKey(), indexes=indexes)
    async with make_client(app) as client:
        client.headers["x-api-key"] = caller
        return await door(client, {"question": QUESTION, **body})


def find_words(text: str) -> set[str]:
    """The documents that a response shows anything of: their word, or their number of days."""
    return {word for word, days in SECRETS.items() if word in text or f"{days} days" in text}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("caller", "tenant_id"), VISIBLE)
async def test_a_response_shows_the_documents_of_the_callers_groups(
    indexes: ServedIndexes, caller: str, tenant_id: str, door: str
) -> None:
    """All of them among the candidates, and nothing of any other, in no field."""
    response = await ask(indexes, DOORS[door], caller, tenant_id=tenant_id)

    assert response.status_code == 200, response.text
    assert find_words(response.text) == VISIBLE[caller, tenant_id]


@pytest.mark.parametrize("door", NARROW_DOORS)
@pytest.mark.parametrize(("caller", "tenant_id"), VISIBLE)
async def test_an_answer_cites_the_documents_of_the_callers_groups(
    indexes: ServedIndexes, caller: str, tenant_id: str, door: str
) -> None:
    """At least one of them, and nothing of any other, in no field."""
    response = await ask(indexes, NARROW_DOORS[door], caller, tenant_id=tenant_id)

    assert response.status_code == 200, response.text
    assert find_words(response.text)
    assert find_words(response.text) <= VISIBLE[caller, tenant_id]


@pytest.mark.parametrize("door", [*DOORS, *NARROW_DOORS])
@pytest.mark.parametrize("word", [BOARD, AUDIT, "boardrom", "auditoriun"])
async def test_words_of_hidden_documents_are_unknown(indexes: ServedIndexes, door: str, word: str) -> None:
    """A question with such a word, or nearly so, is answered to the byte as with one that nobody has ever written."""
    unknown = "qxzv" + "w" * (len(word) - 4)

    async def answer(asked: str) -> str:
        response = await ask(
            indexes,
            {**DOORS, **NARROW_DOORS}[door],
            "nobody",
            question=f"How many days of annual leave in the {asked}?",
        )
        return "\n".join(
            line for line in _drop_changing(response.text).splitlines() if not line.startswith("id:")
        ).replace(asked, "<word>")

    assert await answer(word) == await answer(unknown)


def _drop_changing(text: str) -> str:
    """The response without trace ids and times, also where it stands as text in another one."""
    return _CHANGING.sub("", text)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("filters", "shown"),
    [
        ({}, {HANDBOOK, BOARD}),
        ({"document_ids": [HANDBOOK]}, {HANDBOOK}),
        ({"document_ids": [BOARD, HANDBOOK, "unknown"]}, {HANDBOOK, BOARD}),
        ({"document_ids": [AUDIT]}, set()),
        ({"document_ids": [ACME]}, set()),
        ({"document_ids": ["unknown"]}, set()),
        ({"metadata": {}}, {HANDBOOK, BOARD}),
        ({"metadata": {"kind": ["policy"]}}, {HANDBOOK, BOARD}),
        ({"metadata": {"kind": ["guide", "report"]}}, {HANDBOOK}),
        ({"metadata": {"kind": ["policy"], "year": ["2025"]}}, {BOARD}),
        ({"metadata": {"kind": ["guide"], "year": ["2025"]}}, set()),
        ({"metadata": {"kind": ["Policy"]}}, set()),
        ({"metadata": {"unknown": ["policy"]}}, set()),
        ({"document_ids": [HANDBOOK], "metadata": {"year": ["2025"]}}, set()),
        ({"document_ids": [HANDBOOK], "metadata": {"year": ["2025", " 2026 "]}}, {HANDBOOK}),
    ],
)
async def test_a_response_shows_what_the_filters_admit(
    indexes: ServedIndexes, filters: dict[str, Any], shown: set[str], door: str
) -> None:
    """Any of the ids; of each key any of the values; both, and always the groups."""
    response = await ask(indexes, DOORS[door], "board", filters=filters)

    assert response.status_code == 200, response.text
    assert find_words(response.text) == shown


@pytest.mark.parametrize("door", ["query", "native"])
async def test_nothing_in_sight_is_no_answer(indexes: ServedIndexes, door: str) -> None:
    """As of a tenant without documents: hidden documents and missing ones are answered alike."""
    hidden = await ask(indexes, DOORS[door], "nobody", filters={"document_ids": [AUDIT]})
    missing = await ask(indexes, DOORS[door], "nobody", filters={"document_ids": ["missing"]})

    assert hidden.json()["finish_reason"] == "no_answer"
    assert _drop_changing(hidden.text) == _drop_changing(missing.text)


@pytest.mark.parametrize(
    ("caller", "word", "status"),
    [
        ("board", BOARD, 200),
        ("nobody", HANDBOOK, 200),
        ("nobody", BOARD, 404),
        ("board", AUDIT, 404),
        ("all", BOARD, 404),
    ],
)
async def test_a_hidden_chunk_is_not_found(indexes: ServedIndexes, caller: str, word: str, status: int) -> None:
    """By nobody who knows its id, and with the body of one that does not exist."""

    async def get(chunk_id: str) -> httpx.Response:
        return await ask(indexes, lambda client, _: client.get(f"/chunks/{chunk_id}"), caller)

    response, missing = await get(f"demo:{word}:v1:00001"), await get("demo:missing:v1:00001")

    assert response.status_code == status
    if status == 404:
        assert _drop_changing(response.text) == _drop_changing(missing.text)
        assert find_words(response.text) == set()


@pytest.mark.parametrize(("caller", "chunks"), [("nobody", 1), ("board", 2), ("both", 3), ("all", 1)])
async def test_the_size_of_an_index_is_that_of_what_the_caller_sees(
    indexes: ServedIndexes, caller: str, chunks: int
) -> None:
    """`/models/current` does not tell how much is hidden."""
    response = await ask(indexes, lambda client, _: client.get("/models/current"), caller)

    assert response.json()["index"]["demo"]["chunks"] == chunks


@pytest.mark.parametrize("door", ["query", "stream", "native", "search"])
@pytest.mark.parametrize(
    ("filters", "path"),
    [
        (None, "filters"),
        ("x", "filters"),
        ([], "filters"),
        ({"tags": ["x"]}, "filters.tags"),
        ({"document_ids": []}, "filters.document_ids"),
        ({"document_ids": "x"}, "filters.document_ids"),
        ({"document_ids": [1]}, "filters.document_ids.0"),
        ({"document_ids": ["a/b"]}, "filters.document_ids.0"),
        ({"document_ids": [""]}, "filters.document_ids.0"),
        ({"document_ids": ["x" * 129]}, "filters.document_ids.0"),
        ({"document_ids": ["x"] * 201}, "filters.document_ids"),
        ({"metadata": []}, "filters.metadata"),
        ({"metadata": {"a": "x"}}, "filters.metadata.a"),
        ({"metadata": {"a": []}}, "filters.metadata.a"),
        ({"metadata": {"a": [""]}}, "filters.metadata.a.0"),
        ({"metadata": {"a": ["x" * 257]}}, "filters.metadata.a.0"),
        ({"metadata": {"a": [True]}}, "filters.metadata.a.0"),
        ({"metadata": {"a": ["x"] * 51}}, "filters.metadata.a"),
        ({"metadata": {str(number): ["x"] for number in range(17)}}, "filters.metadata"),
        ({"metadata": {"a b": ["x"]}}, "filters.metadata.a b.[key]"),
        ({"metadata": {"x" * 65: ["x"]}}, f"filters.metadata.{'x' * 65}.[key]"),
    ],
)
async def test_filters_that_break_the_schema_are_refused(door: str, filters: Any, path: str) -> None:
    """VALIDATION_ERROR with the field: an empty list would be read as nothing by some and as everything by others."""
    async with make_client(make_app()) as client:
        response = await DOORS[door](client, {"question": QUESTION, "filters": filters})

    assert response.status_code == 422
    assert response.json()["error"]["code"] == "VALIDATION_ERROR"
    assert response.json()["error"]["fields"][0]["path"] == path


async def test_the_largest_filters_are_taken() -> None:
    """Each bound is one that a request may reach."""
    filters = {
        "document_ids": ["x" * 128] * 200,
        "metadata": {f"{number:064}": ["x" * 32] * 50 for number in range(16)},
    }
    async with make_client(make_app()) as client:
        response = await client.post("/query", json={"question": QUESTION, "filters": filters})

    assert response.status_code == 200


def test_filters_are_written_as_they_are_read() -> None:
    """A client that sends the model itself, or its default, sends no empty list."""
    for filters in (Filters(), Filters(document_ids=["x"]), Filters(metadata={"a": ["x"]})):
        written = filters.model_dump()
        assert all(written.values())
        assert Filters.model_validate(written) == filters


async def test_a_url_takes_no_filters() -> None:
    """It has no form for objects: `GET /query/stream` refuses them instead of answering without."""
    async with make_client(make_app()) as client:
        response = await client.get("/query/stream", params={"question": QUESTION, "filters": "{}"})

    assert response.status_code == 422
    assert response.json()["error"]["fields"] == [{"path": "filters", "reason": "is taken in the body of a POST only"}]


@pytest.mark.parametrize(("caller", "tenant"), VISIBLE)
async def test_who_may_write_sees_and_changes_no_other_documents(
    index_dir: Path, tmp_path: Path, caller: str, tenant: str
) -> None:
    """The list is of what the caller is answered from; the removal of anything else is that of an unknown document."""
    writer = replace(KEYS[caller], write=True)
    runner = ScriptedRunner(None)
    async with running_desk(tmp_path, runner) as desk, open_ingestor(desk) as ingestor:
        app = make_app(authenticator=Always(writer), ingestor=ingestor, index_dir=index_dir)
        async with make_client(app) as client:
            listed = (await client.get("/documents", params={"tenant_id": tenant})).text
            removals = {
                word: (await client.delete(f"/documents/{word}", params={"tenant_id": tenant})).status_code
                for word in SECRETS
            }

    seen = VISIBLE[caller, tenant]
    assert {word for word in SECRETS if word in listed} == seen
    assert {word for word, status in removals.items() if status == 202} == seen
    assert {status for word, status in removals.items() if word not in seen} == {404}


@pytest.mark.parametrize("tenant", ["acme", "other"])
async def test_documents_of_a_tenant_that_is_not_granted_are_not_listed(index_dir: Path, tenant: str) -> None:
    """403, whether or not there is such a tenant."""
    app = make_app(authenticator=Always(replace(KEYS["both"], write=True)), index_dir=index_dir)
    async with make_client(app) as client:
        response = await client.get("/documents", params={"tenant_id": tenant})

    assert response.status_code == 403
    assert ACME not in response.text


@pytest.mark.parametrize("door", DOORS)
async def test_the_index_is_opened_with_the_callers_scope(door: str) -> None:
    """Groups of the principal and filters of the body, together."""
    indexes = FakeIndexes()
    app = make_app(pipeline=make_pipeline(indexes=indexes), authenticator=ByKey())
    async with make_client(app) as client:
        client.headers["x-api-key"] = "board"
        await DOORS[door](client, {"question": QUESTION, "filters": {"metadata": {"a": [" e\u0301 "]}}})

    (scope,) = indexes.scopes
    assert scope.groups == {"board", "elsewhere"}
    assert scope.metadata == {"a": {"é"}}
