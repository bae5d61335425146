"""Clients of others, unchanged, at OpenAI's routes and at the UI message stream of a real server on fake models.

They stand in folders of their own (`make test` installs requirements/clients.txt and requirements/node), and run
without the project's packages.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from load.processes import ROOT
from load.server import Server, running_server
from tests.integration.asking import CLIENT_TIMEOUT_S
from tests.integration.conftest import ACME_HANDBOOK, HANDBOOK, write_identities
from tests.servers import FAKE_MODELS, PATIENT, UNLIMITED, ingest, make_environment

pytestmark = pytest.mark.integration

PACKAGES: Final = ROOT / ".data" / "tools" / "clients"
NODE_PACKAGES: Final = ROOT / ".data" / "tools" / "node"
SCRIPTS: Final = ROOT / "tests" / "clients"
TIMEOUT_S: Final = 120
QUESTION: Final = "How many days of annual leave do full-time staff have?"
KEY: Final = "reader"


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Server]:
    folder = place / "openai"
    folder.mkdir()
    identities = folder / "identities.yaml"
    write_identities(identities, {KEY: {"tenants": ["demo"]}, "everyone": {"tenants": ["*"]}})
    environment = make_environment(
        RAG_INDEX_DIR=str(folder / "index"),
        RAG_IDENTITIES_FILE=str(identities),
        **FAKE_MODELS,
        **PATIENT,
        **UNLIMITED,
    )
    for tenant, text in (("demo", HANDBOOK), ("acme", ACME_HANDBOOK)):
        documents = folder / tenant
        documents.mkdir()
        (documents / "handbook.txt").write_text(text, "utf-8")
        ingest(documents, environment=environment, tenant=tenant)
    with running_server(folder / "front", environment) as running:
        yield running


@pytest.fixture(scope="module")
def expected(server: Server) -> dict[str, Any]:
    """What `POST /query` answers, and the annotations that follow from it."""
    response = httpx.post(
        f"{server.url}/query", json={"question": QUESTION}, headers={"x-api-key": KEY}, timeout=CLIENT_TIMEOUT_S
    )
    answer: dict[str, Any] = response.json()
    assert "12 days" in answer["answer"]
    assert answer["citations"]
    return answer


def run(*command: str | Path, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    done = subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    understood: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return understood


@pytest.fixture(scope="module")
def python(server: Server) -> dict[str, Any]:
    """What Python's clients understood, each by the name of what was asked of it."""
    return run(
        *(sys.executable, "-S", SCRIPTS / "openai_clients.py", f"{server.url}/v1", KEY, QUESTION),
        environment={"PYTHONPATH": str(PACKAGES)},
    )


@pytest.fixture(scope="module")
def node(server: Server) -> dict[str, Any]:
    """What Node's clients understood."""
    require_node()
    return run("node", SCRIPTS / "openai_clients.mjs", NODE_PACKAGES, f"{server.url}/v1", KEY, QUESTION)


@pytest.fixture(scope="module")
def chat_page(server: Server) -> dict[str, Any]:
    """What a page with `useChat` would show."""
    require_node()
    return run("node", SCRIPTS / "ui_stream.mjs", NODE_PACKAGES, server.url, KEY, QUESTION)


def require_node() -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not on the PATH")
    if not (NODE_PACKAGES / "node_modules").exists():
        pytest.skip("the packages of requirements/node are not installed: there was no npm on the PATH")


def assert_annotated(found: list[Any], expected: Mapping[str, Any]) -> None:
    """The addresses and titles are those of the citations, and the offsets those of their markers."""
    by_marker = {f"[{each['source_id']}]": each for each in expected["citations"]}
    assert found
    for each in found:
        at = each["url_citation"]
        citation = by_marker[expected["answer"][at["start_index"] : at["end_index"]]]
        assert (each["type"], at["url"], at["title"]) == ("url_citation", citation["url"], citation["title"])


def test_openai_python_understands_the_whole_answer(python: dict[str, Any], expected: dict[str, Any]) -> None:
    """Text, annotations, usage, our citations, and the list of models."""
    found = python["openai"]

    assert found["models"] == ["rag"]
    assert (found["text"], found["finish_reason"]) == (expected["answer"], "stop")
    assert_annotated(found["annotations"], expected)
    assert found["citations"] == expected["citations"]
    assert found["usage"]["total_tokens"] == found["usage"]["prompt_tokens"] + found["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize("asked", ["openai stream", "openai async stream"])
def test_openai_python_understands_the_stream(python: dict[str, Any], expected: dict[str, Any], asked: str) -> None:
    """The same, piece by piece; the usage where it was asked for."""
    found = python[asked]

    assert (found["text"], found["finish_reason"]) == (expected["answer"], "stop")
    assert_annotated(found["annotations"], expected)
    assert (found["usage"] is not None) == (asked == "openai stream")


@pytest.mark.parametrize("asked", ["openai async", "openai accumulated"])
def test_openai_python_understands_it_by_its_other_ways(
    python: dict[str, Any], expected: dict[str, Any], asked: str
) -> None:
    """Asynchronous, and accumulated from a stream by the client itself."""
    found = python[asked]

    assert (found["text"], found["finish_reason"]) == (expected["answer"], "stop")
    assert_annotated(found["annotations"], expected)


def test_openai_python_knows_our_errors(python: dict[str, Any]) -> None:
    """By status its own exceptions, with our code, and the type and param of the body."""
    assert python["openai errors"] == {
        "unknown model": ["NotFoundError", "NOT_FOUND", "invalid_request_error", "model"],
        "other tenant": ["PermissionDeniedError", "FORBIDDEN", "permission_error", None],
        "tools": ["UnprocessableEntityError", "VALIDATION_ERROR", "invalid_request_error", "tools"],
        "stranger": ["AuthenticationError", "UNAUTHORIZED", "authentication_error", None],
    }


def test_langchain_understands_both(python: dict[str, Any], expected: dict[str, Any]) -> None:
    """`ChatOpenAI`, whole and streamed, with its usage."""
    found = python["langchain"]

    assert (found["text"], found["streamed"], found["finish_reason"]) == (expected["answer"],) * 2 + ("stop",)
    assert found["usage"]["total_tokens"] > 0


def test_llama_index_understands_both(python: dict[str, Any], expected: dict[str, Any]) -> None:
    """`OpenAILike`, whole and streamed, as a chat and as a completion."""
    assert set(python["llama-index"].values()) == {expected["answer"]}


def test_openai_node_understands_both(node: dict[str, Any], expected: dict[str, Any]) -> None:
    """Whole with annotations, and accumulated from a stream with the usage."""
    whole, streamed = node["openai"], node["openai stream"]

    assert whole["models"] == ["rag"]
    assert_annotated(whole["annotations"], expected)
    assert whole["text"] == streamed["text"] == expected["answer"]
    assert whole["finish_reason"] == streamed["finish_reason"] == "stop"
    assert whole["usage"]["total_tokens"] > 0
    assert streamed["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("asked", ["vercel", "vercel stream"])
def test_the_sources_arrive_in_vercels_sdk(node: dict[str, Any], expected: dict[str, Any], asked: str) -> None:
    """`@ai-sdk/openai` `.chat()`: one source of type url for each marker."""
    found = node[asked]
    addresses = {each["url"] for each in expected["citations"]}

    assert (found["text"], found["finishReason"]) == (expected["answer"], "stop")
    assert {each["sourceType"] for each in found["sources"]} == {"url"}
    assert {each["url"] for each in found["sources"]} == addresses
    assert all(each["title"] for each in found["sources"])


def test_the_ai_sdk_shows_the_answer_with_its_sources(chat_page: dict[str, Any], expected: dict[str, Any]) -> None:
    """`DefaultChatTransport` and `readUIMessageStream`: text, sources, metadata; every part fits the SDK's schema."""
    message, metadata = chat_page["message"], chat_page["message"]["metadata"]
    sources = [part for part in message["parts"] if part["type"] == "source-url"]

    assert "".join(part["text"] for part in message["parts"] if part["type"] == "text") == expected["answer"]
    assert [part["providerMetadata"]["rag"] for part in sources] == expected["citations"]
    assert [(part["sourceId"], part["url"], part["title"]) for part in sources] == [
        (each["source_id"], each["url"], each["title"]) for each in expected["citations"]
    ]
    documents = [part for part in message["parts"] if part["type"] == "source-document"]
    assert [(part["sourceId"], part["title"]) for part in documents] == [
        (each["source_id"], each["title"]) for each in expected["citations"]
    ]
    assert message["id"] == metadata["trace_id"]
    assert (metadata["model_version"], metadata["finish_reason"]) == (expected["model_version"], "stop")
    assert chat_page["kinds"] == [
        "start",
        "source-url",
        "source-document",
        "text-start",
        "text-delta",
        "text-end",
        "finish",
    ]
    assert chat_page["invalid"] == []


def test_the_ai_sdk_carries_the_earlier_turns(chat_page: dict[str, Any]) -> None:
    """The few lines of docs/clients.md map its messages to `question` and `history`."""
    assert "[S1]" in chat_page["follow_up"]


def test_the_ai_sdk_has_the_body_of_an_early_failure(chat_page: dict[str, Any]) -> None:
    """It makes an error of the body, as it does of the `errorText` of a late failure."""
    assert chat_page["refused"]["error"]["code"] == "UNAUTHORIZED"


def test_a_caller_of_all_tenants_sees_those_with_an_index(server: Server) -> None:
    """Each tenant is a model, and answers from its own documents alone."""
    headers = {"authorization": "Bearer everyone"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=CLIENT_TIMEOUT_S) as client:
        models = [each["id"] for each in client.get("/v1/models").json()["data"]]
        messages = [{"role": "user", "content": QUESTION}]
        answers = [
            client.post("/v1/chat/completions", json={"model": model, "messages": messages}).json() for model in models
        ]

    assert models == ["rag", "rag:acme"]
    assert {citation["chunk_id"].split(":")[0] for citation in answers[1]["citations"]} == {"acme"}
    assert {citation["chunk_id"].split(":")[0] for citation in answers[0]["citations"]} == {"demo"}
