"""A third-party generator behind RAG_GENERATOR_URL: what is sent to it, and how its replies are used."""

import httpx
import pytest

from schemas.errors import ErrorCode
from tests.integration.asking import Rag, assert_error, make_trace_id, read_answer, read_stream, wait_for
from tests.integration.conftest import GENERATION_TIMEOUT_S, GENERATOR_KEY
from tests.scripted_model import SILENCE, Reply, ScriptedModel, breaks_off, delta, ending, fails, says

pytestmark = pytest.mark.integration

QUESTION = "How many days of annual leave do full-time staff have?"
QUESTION_VI = "Nhân viên full-time có bao nhiêu ngày nghỉ phép năm?"
SENTENCE = "Full-time staff have 12 days of annual leave per year."
SENTENCE_VI = "Nhân viên full-time có 12 ngày nghỉ phép năm."
SECRET = "sk-provider-secret in /srv/provider/prompt.txt"
LEAVES_WITHIN_S = 2.0  # eight times the contract's 250 ms: this machine may be busy


def test_the_generator_is_told_what_the_contract_says(scripted: Rag, model: ScriptedModel) -> None:
    """The body, the trace id and the key; each passage after its label, the question in the last user message."""
    trace_id = make_trace_id()

    answer = read_answer(scripted.ask(QUESTION, trace_id=trace_id, top_k=2, max_output_tokens=77, include_trace=True))

    (seen,) = model.seen(trace_id)
    assert (seen.method, seen.path) == ("POST", "/v1/chat/completions")
    assert seen.headers["authorization"] == f"Bearer {GENERATOR_KEY}"
    assert (seen.body["max_tokens"], seen.body["temperature"]) == (77, 0)
    assert (seen.body["stream"], seen.body["stream_options"]) == (True, {"include_usage": True})
    last = seen.body["messages"][-1]
    assert last["role"] == "user"
    assert f"[S1] {SENTENCE}" in last["content"]
    assert last["content"].endswith(QUESTION)
    assert answer.trace is not None
    assert last["content"].count("[S") == len(answer.trace.passages)
    assert answer.trace.usage.model_dump() == {"prompt_tokens": 100, "completion_tokens": 20}
    assert GENERATOR_KEY not in scripted.log_path.read_text("utf-8", "replace")


def test_stream_and_answer_say_the_same(scripted: Rag, model: ScriptedModel) -> None:
    """The concatenated tokens are exactly the answer that `POST /query` gives, with the same citations."""
    trace_id = make_trace_id()
    model.script(
        trace_id, says(f"{SENTENCE} [S1]", " Sick leave needs a note", " from a doctor after the third day", ".")
    )

    answer = read_answer(scripted.ask(QUESTION, trace_id=trace_id))
    text, citations = read_stream(scripted.stream(QUESTION, trace_id=trace_id))

    assert text == answer.answer
    assert citations == answer.citations
    assert SENTENCE.removesuffix(".") in text


@pytest.mark.parametrize(
    "said",
    [
        ("Full-time staff have 12 days of annual leave per year [", "S", "1", "]."),
        ("Full-time staff have 12 days of annual leave per year ［S1］.",),
        ("Full-time staff have 12 days of annual leave per year 【1】.",),
        (f"{SENTENCE} [S1]", "[S99]"),
        (f"{SENTENCE} [S", "99] [S1]"),
        (f"{SENTENCE} 【99】", " ［S99］"),
        (f"{SENTENCE} As S99 says. [S1]",),
        ("Full-time staff have 99 days of annual leave per year. [S1]",),
    ],
)
def test_no_marker_is_split_and_no_unknown_one_gets_out(scripted: Rag, model: ScriptedModel, said: tuple[str]) -> None:
    """Whatever form the model writes them in; figures that stand in no passage do not get out either."""
    trace_id = make_trace_id()
    model.script(trace_id, says(*said))

    text, citations = read_stream(scripted.stream(QUESTION, trace_id=trace_id))

    assert "12 days" in text
    assert citations[0].quote in SENTENCE
    assert "99" not in text
    assert not set("【】［］") & set(text)


def test_characters_and_events_may_be_cut_anywhere(scripted: Rag, model: ScriptedModel) -> None:
    """The network cuts bytes, not characters."""
    trace_id = make_trace_id()
    whole = delta(f"{SENTENCE_VI} [S1]") + ending()
    model.script(trace_id, Reply(pieces=tuple(whole[at : at + 1] for at in range(len(whole)))))

    answer = read_answer(scripted.ask(QUESTION_VI, trace_id=trace_id))

    assert SENTENCE_VI.removesuffix(".") in answer.answer


def test_ten_thousand_tokens_do_no_harm(scripted: Rag, model: ScriptedModel) -> None:
    """A model that does not stop is stopped, or read to its end; either way there is one good answer."""
    trace_id = make_trace_id()
    model.script(trace_id, says(f"{SENTENCE} [S1]", *(f" word{number}" for number in range(10_000))))

    answer = read_answer(scripted.ask(QUESTION, trace_id=trace_id))

    assert "12 days" in answer.answer


def test_its_rate_limit_is_passed_on(scripted: Rag, model: ScriptedModel) -> None:
    """429 UPSTREAM_RATE_LIMITED with the provider's `Retry-After`."""
    trace_id = make_trace_id()
    model.script(trace_id, fails(429, SECRET, retry_after="17"))

    response = scripted.ask(QUESTION, trace_id=trace_id)

    assert_error(response, ErrorCode.UPSTREAM_RATE_LIMITED)
    assert response.headers["retry-after"] == "17"
    assert len(model.seen(trace_id)) == 1


@pytest.mark.parametrize(
    "reply",
    [
        fails(500, SECRET),
        fails(401, SECRET),
        fails(302, "", location="http://127.0.0.1:9/"),
        Reply(pieces=(f"data: {{'{SECRET}\n\n".encode(),)),
        Reply(pieces=(f'data: {{"error": {{"message": "{SECRET}"}}}}\n\n'.encode(),)),
        Reply(headers={"content-type": "text/html"}, pieces=(f"<html>{SECRET}</html>".encode(),)),
        Reply(),
        breaks_off(SENTENCE, f" {SECRET}", then="cut"),
    ],
)
def test_its_failures_are_upstream_errors_without_a_word_of_theirs(
    scripted: Rag, model: ScriptedModel, reply: Reply
) -> None:
    """502 UPSTREAM_ERROR as a whole answer; as a stream, whose status is spent, a final `error` event."""
    trace_id = make_trace_id()
    model.script(trace_id, reply)

    response = scripted.ask(QUESTION, trace_id=trace_id)
    events = scripted.stream(QUESTION, trace_id=trace_id)

    assert_error(response, ErrorCode.UPSTREAM_ERROR)
    read_stream(events)
    assert events[-1].name == "error"
    assert events[-1].data.keys() == {"code", "message", "trace_id", "retryable"}
    assert (events[-1].data["code"], events[-1].data["trace_id"]) == ("UPSTREAM_ERROR", trace_id)
    assert "provider" not in response.text + str(events)
    assert "sk-provider" not in scripted.log_path.read_text("utf-8", "replace")


def test_an_unreachable_generator_is_an_upstream_error_and_not_ready(scripted: Rag, model: ScriptedModel) -> None:
    """502 for a query and 503 for readiness while it is away; both come back by themselves."""
    with model.unreachable():
        response = scripted.ask(QUESTION)
        unready = scripted.http.get("/ready")

    assert_error(response, ErrorCode.UPSTREAM_ERROR)
    assert_error_with_dependencies(unready, generator="unreachable")
    wait_for(lambda: scripted.http.get("/ready").is_success, within_s=10)
    assert scripted.ask(QUESTION).is_success


def assert_error_with_dependencies(response: httpx.Response, **expected: str) -> None:
    """NOT_READY names the failing dependencies beside the error."""
    assert_error(response, ErrorCode.NOT_READY)
    dependencies = response.json()["dependencies"]
    assert {name: state for name, state in dependencies.items() if state != "ok"} == expected


@pytest.mark.parametrize("reply", [Reply(SILENCE), breaks_off(then="hang"), breaks_off(SENTENCE, then="hang")])
def test_its_silence_is_a_timeout(guarded: Rag, model: ScriptedModel, reply: Reply) -> None:
    """504 MODEL_TIMEOUT before the first byte and after it, once the generation's deadline has passed."""
    trace_id = make_trace_id()
    model.script(trace_id, reply)

    response = guarded.ask(QUESTION, key="reader", trace_id=trace_id)

    assert_error(response, ErrorCode.MODEL_TIMEOUT)
    assert GENERATION_TIMEOUT_S <= response.elapsed.total_seconds() < GENERATION_TIMEOUT_S + 10
    assert model.seen(trace_id)[0].left.wait(LEAVES_WITHIN_S)
    assert guarded.log_line(trace_id)["finish_reason"] == "timeout"


@pytest.mark.parametrize("reply", [Reply(SILENCE), breaks_off(f"{SENTENCE} [S1] And", then="hang")])
def test_a_client_that_leaves_a_stream_closes_the_generators_connection(
    scripted: Rag, model: ScriptedModel, reply: Reply
) -> None:
    """Its slot must not draft for nobody."""
    trace_id = make_trace_id()
    model.script(trace_id, reply)
    with scripted.open_stream(QUESTION, trace_id) as events:
        assert next(events).name == "meta"
        seen = wait_for(lambda: model.seen(trace_id), within_s=10)

    assert seen[0].left.wait(LEAVES_WITHIN_S)
    assert scripted.log_line(trace_id)["event"] == "query_cancelled"


def test_a_client_that_leaves_a_whole_answer_closes_it_too(scripted: Rag, model: ScriptedModel) -> None:
    """The same for `POST /query`, which has sent nothing yet."""
    trace_id = make_trace_id()
    model.script(trace_id, Reply(SILENCE))
    impatient = httpx.Client(base_url=scripted.http.base_url, timeout=1.0)

    with impatient, pytest.raises(httpx.ReadTimeout):
        Rag(impatient, scripted.log_path).ask(QUESTION, trace_id=trace_id)

    assert model.seen(trace_id)[0].left.wait(LEAVES_WITHIN_S)
    assert scripted.log_line(trace_id)["event"] == "query_cancelled"


def test_text_goes_out_sentence_by_sentence(scripted: Rag, model: ScriptedModel) -> None:
    """A checked sentence is sent while the model still drafts the next one."""
    trace_id = make_trace_id()
    model.script(trace_id, breaks_off(f"{SENTENCE} [S1] Sick leave", then="hang"))

    with scripted.open_stream(QUESTION, trace_id) as events:
        text = ""
        while "[S1]" not in text:
            event = next(events)
            text += event.data["text"] if event.name == "token" else ""

    assert "12 days" in text
    assert "Sick" not in text
