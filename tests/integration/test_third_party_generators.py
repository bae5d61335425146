"""Servers that others have written behind RAG_GENERATOR_URL: llama.cpp's with the local model, guidellm's mock server.

They stand in a folder of their own (`make test` installs requirements/upstreams.txt). A relay between them and the
front counts connections and keeps what they say; the front's other models are fakes.
"""

import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

import httpx
import pytest

from load.processes import ROOT, find_family, find_free_port, running, wait_until_ready
from load.server import Server, running_server
from rag.clients.bento_client import open_http_client
from rag.clients.openai_client import OpenAIGenerator
from rag.errors import UpstreamError
from rag.models.smollm2 import DISTRIBUTION, WEIGHTS_FILE
from rag.types import Delta, Message
from schemas.errors import ErrorCode
from tests.integration.asking import CLIENT_TIMEOUT_S, Rag, assert_error, make_trace_id, read_answer, wait_for
from tests.integration.conftest import HANDBOOK
from tests.relay import Passed, Relay
from tests.servers import FAKE_MODELS, PATIENT, UNLIMITED, ingest, make_environment

pytestmark = pytest.mark.integration

PACKAGES: Final = ROOT / ".data" / "tools" / "upstreams"
QUESTION: Final = "How many days of annual leave do full-time staff have?"
KEY: Final = "sk-of-the-upstream"
NAME: Final = "somebody-elses"
_USAGE: Final = re.compile(rb'"prompt_tokens": ?(\d+)|"completion_tokens": ?(\d+)')


@dataclass(frozen=True, slots=True)
class Kind:
    """How a server is started, and what it is like."""

    arguments: Callable[[int], Sequence[str]]
    ready_path: str
    keeps_connections: bool


def _serve_llama_cpp(port: int) -> Sequence[str]:
    weights = distribution(DISTRIBUTION).locate_file(WEIGHTS_FILE)
    return ("tests/upstreams/llama_cpp.py", str(weights), str(port), KEY, NAME)


def _serve_guidellm(port: int) -> Sequence[str]:
    speed = ("--ttft-ms", "5", "--itl-ms", "20", "--output-tokens", "2048")
    return ("-m", "guidellm", "mock-server", "--host", "127.0.0.1", "--port", str(port), "--model", NAME, *speed)


KINDS: Final = {
    # It closes each after its stream, although it says that it keeps it (xllamacpp 2026.10.11549).
    "llama.cpp": Kind(_serve_llama_cpp, "/health", keeps_connections=False),
    "guidellm": Kind(_serve_guidellm, "/v1/models", keeps_connections=True),
}


@dataclass(slots=True)
class Upstream:
    """One of these servers, which can be killed and started again on its port."""

    kind: Kind
    folder: Path
    stack: ExitStack
    port: int = field(default_factory=find_free_port)
    kill: Callable[[], None] = field(default=lambda: None)

    def start(self) -> None:
        log_path = self.folder / "upstream.log"
        environment = {**os.environ, "PYTHONPATH": str(PACKAGES)}
        command = [sys.executable, *self.kind.arguments(self.port)]
        process = self.stack.enter_context(running(command, environment=environment, log_path=log_path))
        wait_until_ready(f"http://127.0.0.1:{self.port}{self.kind.ready_path}", process, log_path)

        def kill() -> None:
            for each in find_family(process):
                each.kill()
            process.wait()

        self.kill = kill


@contextmanager
def started(name: str, folder: Path) -> Iterator[Upstream]:
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        upstream = Upstream(KINDS[name], folder, stack)
        upstream.start()
        yield upstream


@dataclass(frozen=True, slots=True)
class Setting:
    """A front and the server that drafts for it."""

    rag: Rag
    relay: Relay
    upstream: Upstream


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    with Relay().running() as running_relay:
        yield running_relay


@pytest.fixture(scope="module")
def front(relay: Relay, place: Path) -> Iterator[Server]:
    """It asks whatever the relay leads to, which must be there: a front that starts waits for its generator."""
    folder = place / "third-party"
    environment = make_environment(
        RAG_INDEX_DIR=str(folder / "index"),
        RAG_GENERATOR_URL=relay.url,
        RAG_GENERATOR_NAME=NAME,
        RAG_GENERATOR_API_KEY=KEY,
        # llama.cpp then goes on to its bound, so that no draft is over before a test has looked.
        RAG_GENERATOR_BODY='{"ignore_eos": true}',
        **FAKE_MODELS,
        **PATIENT,
        **UNLIMITED,
    )
    documents = folder / "documents"
    documents.mkdir(parents=True)
    (documents / "handbook.txt").write_text(HANDBOOK, "utf-8")
    ingest(documents, environment=environment)
    with running_server(folder / "front", environment) as server:
        yield server


@pytest.fixture(scope="module", params=KINDS)
def setting(request: pytest.FixtureRequest, relay: Relay, place: Path) -> Iterator[Setting]:
    with started(request.param, place / request.param) as upstream:
        relay.turn_to(upstream.port)
        server: Server = request.getfixturevalue("front")
        with httpx.Client(base_url=server.url, timeout=CLIENT_TIMEOUT_S) as client:
            wait_for(lambda: client.get("/ready").is_success, within_s=10)
            yield Setting(Rag(client, server.log_path), relay, upstream)


def read_usage(passed: Passed) -> dict[str, int]:
    """What the server counted, as it said it last."""
    found = json.loads(b"{" + b",".join(match.group() for match in _USAGE.finditer(passed.answered)) + b"}")
    return {name: found[name] for name in ("prompt_tokens", "completion_tokens")}


def test_it_is_ready_with_its_models(setting: Setting) -> None:
    """200, after the server was asked for its models."""
    response = setting.rag.http.get("/ready")

    assert response.status_code == 200, response.text
    assert set(response.json()["dependencies"].values()) <= {"ok", "local"}
    assert any(passed.asked.startswith(b"GET /v1/models ") for passed in setting.relay.connections)


def test_answers_have_its_usage_and_connections_are_used_again(setting: Setting) -> None:
    """The tokens are those that the server counted.

    Six drafts go over fewer connections, unless the server closes them. One is not certain to be enough: on a busy
    machine the next draft may be asked for before the end of the last one's stream was read.
    """
    for _ in range(3):
        answer = read_answer(setting.rag.ask(QUESTION, max_output_tokens=16, include_trace=True))
        assert answer.trace is not None
        assert answer.trace.usage.model_dump() == read_usage(setting.relay.asking()[-1])
        assert "12 days" in answer.answer

        *_, last = setting.rag.stream(QUESTION, max_output_tokens=16)
        assert last.name == "done"
        assert last.data["usage"] == read_usage(setting.relay.asking()[-1])

    asked = [passed.questions for passed in setting.relay.asking()]
    assert sum(asked) == 6
    assert (len(asked) < 6) == setting.upstream.kind.keeps_connections


def test_a_client_that_leaves_ends_the_draft(setting: Setting) -> None:
    """The connection is closed while the server still drafts."""
    trace_id = make_trace_id()

    def find_draft() -> Passed | None:
        asked = [passed for passed in setting.relay.asking() if trace_id.encode() in passed.asked]
        return next((each for each in asked if b'"delta"' in each.answered.rpartition(b"[DONE]")[2]), None)

    with setting.rag.open_stream(QUESTION, trace_id) as events:
        assert next(events).name == "meta"
        passed = wait_for(find_draft, within_s=60)

    assert passed.left.wait(10)
    assert passed.answered.count(b"[DONE]") == passed.questions - 1
    assert setting.rag.log_line(trace_id)["event"] == "query_cancelled"


def test_a_server_that_is_killed_in_the_middle_is_an_upstream_error(setting: Setting) -> None:
    """An `error` event after `meta`, 502 for a whole answer, 503 of `/ready`; a new one is taken up by itself."""
    trace_id = make_trace_id()
    setting.relay.at_stream = setting.upstream.kill

    events = setting.rag.stream(QUESTION, trace_id=trace_id)
    whole = setting.rag.ask(QUESTION)
    unready = setting.rag.http.get("/ready")

    assert (events[0].name, events[-1].name) == ("meta", "error")
    assert events[-1].data.keys() == {"code", "message", "trace_id", "retryable"}
    assert (events[-1].data["code"], events[-1].data["retryable"]) == ("UPSTREAM_ERROR", True)
    assert setting.rag.log_line(trace_id)["upstream_error"].startswith("the stream was cut")
    assert_error(whole, ErrorCode.UPSTREAM_ERROR)
    assert_error(unready, ErrorCode.NOT_READY)
    setting.upstream.start()
    wait_for(lambda: setting.rag.http.get("/ready").is_success, within_s=10)
    assert "12 days" in read_answer(setting.rag.ask(QUESTION, max_output_tokens=16)).answer


@pytest.fixture(scope="module")
def llama_url(place: Path) -> Iterator[str]:
    """llama.cpp without a front."""
    with started("llama.cpp", place / "llama-alone") as upstream:
        yield f"http://127.0.0.1:{upstream.port}/v1"


@asynccontextmanager
async def asking(url: str, words: int, key: str = KEY) -> AsyncIterator[AsyncIterator[Delta]]:
    """The deltas of a draft that would take minutes."""
    async with open_http_client(url) as client:
        client.headers["authorization"] = f"Bearer {key}"
        model = OpenAIGenerator(client, model_name=NAME, body={"ignore_eos": True}, secrets=[key])
        messages = [Message("user", "word " * words)]
        async with model.stream(messages, max_tokens=2000, timeout_s=60, trace_id=make_trace_id()) as deltas:
            yield deltas


@pytest.mark.parametrize(
    ("key", "words", "status", "told"),
    [
        ("sk-another", 1, 401, "authentication_error: 401: Invalid API Key"),
        (KEY, 9000, 400, "exceed_context_size_error: 400: "),
    ],
)
async def test_what_llama_cpp_refuses_is_told(llama_url: str, key: str, words: int, status: int, told: str) -> None:
    """A wrong key, and a prompt that it cannot hold."""
    with pytest.raises(UpstreamError) as caught:
        async with asking(llama_url, words, key):
            pass

    assert caught.value.upstream_status == status
    assert (caught.value.upstream_error or "").startswith(told)


async def test_a_slot_of_llama_cpp_is_free_when_nobody_reads_on(llama_url: str) -> None:
    """It says of each of its slots whether it drafts."""

    def drafting() -> int:
        slots = httpx.get(f"{llama_url.removesuffix('/v1')}/slots", headers={"authorization": f"Bearer {KEY}"}).json()
        return sum(slot["is_processing"] for slot in slots)

    async with asking(llama_url, 1) as deltas:
        await anext(deltas)
        during = drafting()

    assert during == 1
    wait_for(lambda: drafting() == 0, within_s=10)
