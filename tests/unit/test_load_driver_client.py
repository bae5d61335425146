"""The load driver's client and its two loops, against a server with scripted misbehaviour."""

import json
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from load.driver.client import Client, open_client
from load.driver.outcome import CLIENT_TIMEOUT, CONTRACT_BROKEN, CUT_OFF, Ending, Outcome
from load.driver.planning import Ask
from load.driver.progress import Progress
from load.driver.run import run_closed, run_open
from load.driver.targets import OpenAITarget, RagTarget
from tests.scripted_model import SILENCE, Reply, ScriptedModel, says

USAGE = {"prompt_tokens": 100, "completion_tokens": 20}
LATENCY = {"retrieval": 5, "rerank": 7, "generation": 30, "verification": 1, "total": 44}
DONE = {"trace_id": "a", "finish_reason": "stop", "latency_ms": LATENCY, "usage": USAGE}
# Long enough never to be what ends a request that is not meant to time out.
PATIENCE_S = 30.0
IMPATIENCE_S = 0.1


def error(code: str) -> bytes:
    return event("error", {"code": code})


def event(name: str, data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


BEGINNING = (event("meta", {"trace_id": "a"}), event("token", {"text": "Twelve "}), event("token", {"text": "days."}))
WHOLE = (*BEGINNING, event("done", DONE))


def fails(status: int, code: str) -> Reply:
    return Reply(status, {"content-type": "application/json"}, (json.dumps({"error": {"code": code}}).encode(),))


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedModel]:
    with ScriptedModel().running() as model:
        yield model


@pytest.fixture
async def client(server: ScriptedModel) -> AsyncIterator[Client]:
    async with open_client(server.url, RagTarget("secret"), timeout_s=PATIENCE_S) as opened:
        yield opened


async def ask(client: Client, server: ScriptedModel, reply: Reply, request: Ask) -> Outcome:
    server.script(request.trace_id, reply)
    return await client.ask(request, 0.0, time.perf_counter)


def stream(trace_id: str, *, at_s: float = 0.0, first: bool = False, leaves_at_s: float | None = None) -> Ask:
    return Ask(at_s, trace_id, "stream", {"question": "How many?"}, first, leaves_at_s)


async def test_a_whole_stream_is_an_answer(client: Client, server: ScriptedModel) -> None:
    """Its tokens and stages are those of `done`; the key and the trace id went with the question."""
    outcome = await ask(client, server, Reply(pieces=WHOLE), stream("whole"))

    (seen,) = server.seen("whole")
    assert (outcome.ending, outcome.code, outcome.status) == (Ending.OK, None, 200)
    assert outcome.ttft_s is not None
    assert 0 < outcome.ttft_s < outcome.e2e_s
    assert (len(outcome.gaps_s), outcome.completion_tokens, outcome.stages_ms) == (1, 20, LATENCY)
    assert (seen.path, seen.headers["x-api-key"], seen.body) == (
        "/v1/query/stream",
        "secret",
        {"question": "How many?"},
    )


async def test_a_whole_body_is_an_answer(client: Client, server: ScriptedModel) -> None:
    """The trace is asked for, because a body tells its tokens nowhere else."""
    body = {"answer": "Twelve.", "finish_reason": "stop", "latency_ms": LATENCY, "trace": {"usage": USAGE}}
    reply = Reply(headers={"content-type": "application/json"}, pieces=(json.dumps(body).encode(),))

    outcome = await ask(client, server, reply, Ask(0.0, "body", "whole", {"question": "How many?"}))

    (seen,) = server.seen("body")
    assert (outcome.ending, outcome.completion_tokens, outcome.ttft_s) == (Ending.OK, 20, None)
    assert (seen.path, seen.body["include_trace"]) == ("/v1/query", True)


@pytest.mark.parametrize(
    ("trace_id", "reply", "ending", "code"),
    [
        ("cut", Reply(pieces=BEGINNING, then="cut"), Ending.CUT, CUT_OFF),
        ("no-last-event", Reply(pieces=BEGINNING), Ending.CUT, CUT_OFF),
        ("refused", fails(503, "CONCURRENCY_LIMIT"), Ending.REFUSED, "CONCURRENCY_LIMIT"),
        ("limited", fails(429, "RATE_LIMITED"), Ending.REFUSED, "RATE_LIMITED"),
        ("deadline", fails(504, "MODEL_TIMEOUT"), Ending.TIMEOUT, "MODEL_TIMEOUT"),
        ("broken", fails(500, "INTERNAL_ERROR"), Ending.ERROR, "INTERNAL_ERROR"),
        ("proxy", Reply(502, pieces=(b"<html>",)), Ending.ERROR, "HTTP_502"),
        ("event", Reply(pieces=(*BEGINNING, error("UPSTREAM_ERROR"))), Ending.ERROR, "UPSTREAM_ERROR"),
        ("late", Reply(pieces=(*BEGINNING, error("STREAM_TIMEOUT"))), Ending.TIMEOUT, "STREAM_TIMEOUT"),
        ("unknown", Reply(pieces=(event("surprise", {}),)), Ending.ERROR, CONTRACT_BROKEN),
        ("no-json", Reply(pieces=(b"event: token\ndata: {\n\n",)), Ending.ERROR, CONTRACT_BROKEN),
        ("no-stream", Reply(headers={"content-type": "text/html"}, pieces=(b"hello",)), Ending.ERROR, CONTRACT_BROKEN),
    ],
)  # fmt: skip
async def test_every_failure_has_an_ending_and_a_code(
    client: Client, server: ScriptedModel, trace_id: str, reply: Reply, ending: Ending, code: str
) -> None:
    """None is an answer, and none is lost."""
    outcome = await ask(client, server, reply, stream(trace_id))

    assert (outcome.ending, outcome.code) == (ending, code)


async def test_a_server_that_is_not_there_is_an_error(client: Client, server: ScriptedModel) -> None:
    """The run goes on, and says so."""
    with server.unreachable():
        outcome = await client.ask(stream("nobody"), 0.0, time.perf_counter)

    assert (outcome.ending, outcome.code, outcome.status) == (Ending.ERROR, "ConnectError", None)


@pytest.mark.parametrize("reply", [Reply(SILENCE), Reply(pieces=BEGINNING, then="hang")], ids=["silent", "stuck"])
async def test_a_server_that_hangs_is_a_timeout(server: ScriptedModel, reply: Reply) -> None:
    """After the client's own deadline, however much was said before."""
    async with open_client(server.url, RagTarget(), timeout_s=IMPATIENCE_S) as client:
        outcome = await ask(client, server, reply, stream(f"hangs-{reply.status}"))

    assert (outcome.ending, outcome.code) == (Ending.TIMEOUT, CLIENT_TIMEOUT)


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (stream("leaves-first", first=True), Reply(pieces=BEGINNING, then="hang")),
        (stream("leaves-early", leaves_at_s=IMPATIENCE_S), Reply(SILENCE)),
    ],
    ids=["at the first text", "after a time"],
)
async def test_a_client_that_leaves_closes_its_connection(
    client: Client, server: ScriptedModel, request_: Ask, reply: Reply
) -> None:
    """The service has to see it go; the request is neither an answer nor a failure."""
    outcome = await ask(client, server, reply, request_)

    (seen,) = server.seen(request_.trace_id)
    assert (outcome.ending, outcome.code, outcome.is_patient) == (Ending.ABANDONED, None, False)
    assert seen.left.wait(5)


async def test_what_comes_after_the_last_event_changes_nothing(server: ScriptedModel) -> None:
    """An answer is whole when its last event was heard, even if the connection then stays open until the deadline."""
    async with open_client(server.url, RagTarget(), timeout_s=IMPATIENCE_S) as client:
        outcome = await ask(client, server, Reply(pieces=WHOLE, then="hang"), stream("stays"))

    assert outcome.ending == Ending.OK


async def test_pings_are_no_events(client: Client, server: ScriptedModel) -> None:
    """A comment and its blank line keep a connection awake, and say nothing."""
    with_id = b"id: 0\n" + BEGINNING[0]
    reply = Reply(pieces=(with_id, b": ping\n\n", *WHOLE[1:]))

    outcome = await ask(client, server, reply, stream("pings"))

    assert (outcome.ending, outcome.code) == (Ending.OK, None)


async def test_a_bare_openai_server_is_asked_the_same_way(server: ScriptedModel) -> None:
    """Bodies are sent as they are, but streamed and with usage; `[DONE]` is the end."""
    server.script("openai", says("Twelve ", "days."))
    body = {"messages": [{"role": "user", "content": "How many?"}], "max_tokens": 9, "stream": False}
    async with open_client(server.url, OpenAITarget("tiny", "sk"), timeout_s=PATIENCE_S) as client:
        outcome = await client.ask(Ask(0.0, "openai", "stream", body), 0.0, time.perf_counter)

    (seen,) = server.seen("openai")
    assert (outcome.ending, outcome.finish_reason, outcome.completion_tokens) == (Ending.OK, "stop", 20)
    assert (len(outcome.gaps_s), seen.path, seen.headers["authorization"]) == (1, "/v1/chat/completions", "Bearer sk")
    assert seen.body == {**body, "model": "tiny", "stream": True, "stream_options": {"include_usage": True}}


async def test_an_openai_error_is_told_by_its_status(server: ScriptedModel) -> None:
    """Its bodies have no code of our catalogue."""
    async with open_client(server.url, OpenAITarget("tiny"), timeout_s=PATIENCE_S) as client:
        outcome = await ask(client, server, fails(503, "overloaded"), Ask(0.0, "openai-503", "stream", {}))

    assert (outcome.ending, outcome.code) == (Ending.REFUSED, "HTTP_503")


async def test_an_open_loop_does_not_wait_for_answers(client: Client, server: ScriptedModel) -> None:
    """Ten clients whose answers never come are all sent, each at its own time."""
    asks = [stream(f"open-{number}", at_s=number / 1000, leaves_at_s=0.3) for number in range(10)]
    for each in asks:
        server.script(each.trace_id, Reply(SILENCE))
    progress = Progress("open", 10)

    result = await run_open(client, asks, progress, scenario="x", rate_per_s=1000, duration_s=0.01)

    assert [outcome.trace_id for outcome in result.outcomes] == [each.trace_id for each in asks]
    assert all(outcome.sent_s < result.outcomes[0].ended_s for outcome in result.outcomes)
    assert all(outcome.lateness_s >= 0 for outcome in result.outcomes)
    assert progress.describe() == "open: sent 10/10  in flight 0  abandoned 10"


async def test_a_closed_loop_has_so_many_streams(client: Client, server: ScriptedModel) -> None:
    """Never more at once than there are streams, and all are asked."""
    asks = [stream(f"closed-{number}") for number in range(12)]
    for each in asks:
        server.script(each.trace_id, Reply(pieces=WHOLE))

    result = await run_closed(client, asks, Progress("closed", 12), scenario="x", streams=3)

    spans = [(outcome.sent_s, outcome.ended_s) for outcome in result.outcomes]
    most = max(sum(began <= at_s < ended for began, ended in spans) for at_s, _ in spans)
    assert {outcome.trace_id for outcome in result.outcomes} == {each.trace_id for each in asks}
    assert most <= 3
    assert result.wall_s == max(ended for _, ended in spans)
