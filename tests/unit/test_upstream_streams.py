"""The streams of common servers: their answers are read, and their failures are recognised and reported."""

import json
from urllib.parse import quote

import httpx
import pytest

from rag.clients.openai_client import OpenAIGenerator
from rag.clients.upstream_failures import LIMIT_CHARS, Redaction
from rag.drafting.thoughts import ThoughtFilter
from rag.errors import UpstreamError, UpstreamFailure, UpstreamRateLimited
from rag.observability.telemetry import QueryRecord
from rag.types import Delta, Message, TokenUsage
from schemas.errors import ErrorCode
from tests.corpus.upstream_streams import FAILED, SAID, SILENT, WHOLE

PROMPT = [Message("system", "Answer from the sources."), Message("user", "[S1] Sick pay is 1234 euros.\n\nNghỉ phép?")]
KEY = "our-own-key"
STREAM = {"content-type": "text/event-stream"}


async def read(response: httpx.Response) -> list[Delta]:
    transport = httpx.MockTransport(lambda _: response)
    async with httpx.AsyncClient(base_url="http://model/v1/", transport=transport) as client:
        model = OpenAIGenerator(client, model_name="tiny", secrets=[KEY])
        async with model.stream(PROMPT, max_tokens=7, timeout_s=3, trace_id="tr_1") as deltas:
            return [delta async for delta in deltas]


@pytest.mark.parametrize("server", WHOLE)
async def test_the_answers_of_known_servers_are_read(server: str) -> None:
    """First chunks without choices, comments, thoughts, and ends and usages wherever they stand."""
    deltas = await read(httpx.Response(200, headers=STREAM, text=WHOLE[server]))

    thoughts = ThoughtFilter()
    assert "".join(thoughts.feed(delta.text).text for delta in deltas).strip() == SAID
    assert [delta.usage for delta in deltas if delta.usage][-1] == TokenUsage(9, 7)
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] in (["stop"], ["eos_token"])


@pytest.mark.parametrize("shape", SILENT)
async def test_a_model_that_ran_and_says_nothing_has_answered(shape: str) -> None:
    """Asking again would give the same: the answer goes on without a draft.

    A role alone of which no token was counted is a failure; those are among the failed shapes.
    """
    deltas = await read(httpx.Response(200, headers=STREAM, text=SILENT[shape]))

    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["stop"]
    assert "".join(delta.text for delta in deltas) == ""


@pytest.mark.parametrize("shape", FAILED)
async def test_a_failure_of_any_shape_is_one(shape: str) -> None:
    """With status 200 too; what it was is told for the log."""
    body, told = FAILED[shape]

    with pytest.raises(UpstreamError) as caught:
        await read(httpx.Response(200, headers=STREAM, text=body))

    assert (caught.value.upstream_status, caught.value.upstream_error) == (200, told)


@pytest.mark.parametrize(
    ("status", "kind"), [(400, UpstreamError), (401, UpstreamError), (429, UpstreamRateLimited), (503, UpstreamError)]
)
async def test_a_status_and_its_reason_are_told(status: int, kind: type[UpstreamFailure]) -> None:
    """Those of the body's JSON; of another body no word."""
    body = {"error": {"type": "some_type", "code": "some_code", "message": "No."}}
    for response, told in (
        (httpx.Response(status, json=body), "some_type: some_code: No."),
        (httpx.Response(status, html="<p>secret"), "no JSON: text/html"),
    ):
        with pytest.raises(kind) as caught:
            await read(response)

        assert (caught.value.upstream_status, caught.value.upstream_error) == (status, told)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Incorrect API key provided: sk-proj-abc_123.", "Incorrect API key provided: <key>"),
        ("Incorrect API key provided: abcd****wxyz", "Incorrect API key provided: <key>"),
        (f"bad key {KEY}!", "bad key <key>!"),
        ("Authorization: Bearer abc.def", "Authorization: <key>"),
        ("token 0123456789abcdef0123456789abcdef", "token <key>"),
        ("Blocked: Sick pay is 1234 euros.", "Blocked: … is …."),
        ("Blocked: 'Nghỉ phép?' and 'Nghi'", "Blocked: '…?' and 'Nghi'"),
        ("The model's limit\nis 8192\x00tokens", "The model's limit is 8192 tokens"),
    ],
)
def test_what_is_told_of_a_failure_holds_no_key_and_nothing_of_the_prompt(message: str, told: str) -> None:
    """Servers quote what they were sent."""
    assert Redaction(PROMPT, [KEY]).describe({"error": {"message": message}}) == told


QUOTED = "Sick pay is 1234 euros.\n\nNghỉ phép?"


@pytest.mark.parametrize(
    "written",
    [
        json.dumps({"input": QUOTED}),
        json.dumps(json.dumps({"input": QUOTED})),
        repr(QUOTED),
        repr(QUOTED.encode()),
        quote(QUOTED),
        QUOTED.encode("ascii", "xmlcharrefreplace").decode(),
        "Ngh&igrave; ph&eacute;p",
        "Sick pay is 1234 eur...",
        "'Sick pay is 1234 eur'",
    ],
)
def test_the_prompt_is_known_again_when_it_is_quoted_escaped_or_cut(written: str) -> None:
    """A gateway quotes the reply of the server behind it, which quotes the prompt; many stop inside a word."""
    told = Redaction(PROMPT, []).describe({"error": {"type": "bad_request", "message": f"Blocked: {written}"}})

    assert told.startswith("bad_request: Blocked: ")
    assert not [part for part in ("Sick", "pay", "1234", "eur", "Ngh", "ph", "p?") if part in told]


def test_what_is_told_of_a_failure_is_short() -> None:
    """Whatever a server writes."""
    assert len(Redaction(PROMPT, []).describe({"error": "no " * 100_000})) <= LIMIT_CHARS


def test_the_log_line_of_a_failure_says_how_the_upstream_failed(capsys: pytest.CaptureFixture[str]) -> None:
    """`upstream_status` and `upstream_error`; other lines have neither."""
    record, other = QueryRecord("tr-1", "/query"), QueryRecord("tr-2", "/query")
    with pytest.raises(UpstreamError), record.stage("generation"):
        raise UpstreamError(upstream_status=401, upstream_error="invalid_api_key")
    record.report(ErrorCode.UPSTREAM_ERROR)
    other.report("stop")

    failed, answered = map(json.loads, capsys.readouterr().out.splitlines())
    assert (failed["upstream_status"], failed["upstream_error"]) == (401, "invalid_api_key")
    assert "upstream_status" not in answered
