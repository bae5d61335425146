"""What the canary gate accepts as an answer, and the rules against which it checks each one."""

import json
from collections.abc import Sequence

import pytest

from load.gate.contract import ContractError, Event, find_broken_rule, read_stream, read_whole
from schemas.response import Citation, Latency, QueryResponse
from tests.unit.evaluation_replies import NO_ANSWER, cite, respond

META = ("meta", json.dumps({"trace_id": "t", "model_version": "v"}))
USAGE = {"prompt_tokens": 100, "completion_tokens": 20}
DONE = ("done", json.dumps({"trace_id": "t", "finish_reason": "stop", "latency_ms": {"total": 10}, "usage": USAGE}))
NOT_BOTH = "an answer without citations, or citations without an answer"


def token(text: str) -> Event:
    return "token", json.dumps({"text": text})


def citation(source_id: str = "S1") -> Event:
    return "citation", cite(source_id).model_dump_json()


WHOLE = (META, citation(), token("It is 12 "), token("days [S1]."), DONE)


def test_a_stream_is_the_answer_that_a_whole_body_would_have_been() -> None:
    """The texts one after the other, and the citations; both forms then keep the same rules."""
    response = read_stream(WHOLE)

    assert response == respond("It is 12 days [S1].")
    assert response == read_whole(response.model_dump_json().encode())
    assert find_broken_rule(response, "t") is None


@pytest.mark.parametrize(
    ("events", "rule"),
    [
        ([], "events out of order"),
        (WHOLE[1:], "events out of order"),
        (WHOLE[:-1], "events out of order"),
        ([*WHOLE, token("more")], "events out of order"),
        ([META, *WHOLE], "events out of order"),
        ([META, ("surprise", "{}"), DONE], "events out of order"),
        ([META, token("12 days [S1]."), citation(), DONE], "a marker before its citation"),
        ([META, citation(), token("12 days [S"), token("1]."), DONE], "a marker split over two events"),
        ([META, citation(), token("They have 12 days of leave [S1]."), DONE], "a long answer in one event"),
        ([META, ("token", "{}"), DONE], "events in another form"),
        ([META, ("token", "{"), DONE], "events in another form"),
        ([("meta", '{"trace_id": "u", "model_version": "v"}'), *WHOLE[1:]], "two trace ids in one stream"),
    ],
)
def test_a_stream_that_breaks_a_rule_is_no_answer(events: Sequence[Event], rule: str) -> None:
    """The rule is named, and nothing of what was said."""
    with pytest.raises(ContractError) as broken:
        read_stream(events)

    assert str(broken.value) == rule


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"answer": "12 days"}'])
def test_a_body_in_another_form_is_no_answer(body: bytes) -> None:
    """What a proxy may send with status 200, too."""
    with pytest.raises(ContractError):
        read_whole(body)


@pytest.mark.parametrize(
    ("response", "rule"),
    [
        (respond().model_copy(update={"trace_id": "u"}), "another trace id"),
        (respond(" ", (), "no_answer"), "an answer without text"),
        (respond(citations=(cite(quote=" "),)), "an empty quote"),
        (respond().model_copy(update={"latency_ms": Latency(rerank=11)}), "a total time below that of a stage"),
        (respond("It is 12 days [S2].", (cite("S2"),)), "markers are not numbered in their order"),
        (respond("It is 12 days [S1].", (cite(), cite("S2", "other"))), "markers and citations differ"),
        (respond("It is 12 days [S1].", (cite(), cite())), "markers and citations differ"),
        (respond("It is 12 days.", ()), NOT_BOTH),
        (respond("No idea [S1].", (cite(),), "no_answer"), NOT_BOTH),
    ],
)  # fmt: skip
def test_an_answer_keeps_every_rule(response: QueryResponse, rule: str) -> None:
    """Of markers and citations, of quotes, of times, and that it is the answer to this request."""
    assert find_broken_rule(response, "t") == rule


@pytest.mark.parametrize(
    ("response", "citations"),
    [
        (NO_ANSWER, 0),
        (respond("12 days [S1]. It rains [S2][S1].", (cite("S2", "rain", "It rains."), cite())), 2),
        (respond("It is 12 [S1].", finish_reason="length"), 1),
    ],
    ids=["an abstention", "two sources", "cut at the client's bound"],
)
def test_an_answer_within_the_contract_breaks_none(response: QueryResponse, citations: int) -> None:
    """Without the index at hand: a quote vouches for itself."""
    cited: list[Citation] = response.citations

    assert len(cited) == citations
    assert find_broken_rule(response, "t") is None
