"""Which parts of a draft reach a client: no foreign id in any form, whole sentences, bounded work per piece."""

import asyncio
import json
import re
import sys
import time
import unicodedata
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest

from rag.answer.sentences import SentenceParser
from rag.errors import UpstreamError
from rag.types import Delta
from tests.asgi import Connection, SentEvent, parse_events
from tests.fakes import (
    ANNUAL_LEAVE,
    HANG,
    QUESTION,
    SICK_LEAVE,
    ScriptedGenerator,
    make_app,
    make_client,
    make_pipeline,
)

Mode = Literal["repair", "drop", "mark"]

JSON = {"content-type": "application/json"}
BODY = json.dumps({"question": QUESTION}).encode()
MODES: list[Mode] = ["repair", "drop", "mark"]
CLAIM = ANNUAL_LEAVE.removesuffix(".")
# The forms of the contract, those that models are known to write, and what could hide one.
FOREIGN_IDS = [
    "[S99]", "S99", "［S99］", "【99】", "【S99】", "(S99)", "[s99]", "[S 99]", "[S099]", "[S1-S99]", "[S1, S99]",
    "[99]", "[^99]", "[Source 99]", "(Source 99)", "[[S99]]", "**[S99]**", "`S99`", "[S\u200b99]", "[S9\u20609]",
    "[S[S1]99]", "[S9[S9]9]", "［Ｓ９９］", "Ｓ99", "[S99: page 3]", "[S99](http://x)", "\\[S99\\]", "<S99>", "{S99}",
    "[see S99]",
]  # fmt: skip


def read_text(events: list[SentEvent]) -> str:
    return "".join(event.data["text"] for event in events if event.name == "token")


def visible(text: str) -> str:
    """As a reader sees it: compatibility forms in plain letters, nothing that takes no room."""
    shown = unicodedata.normalize("NFKC", text)
    return "".join(letter for letter in shown if unicodedata.category(letter) not in ("Cf", "Mn"))


async def stream(draft: str, mode: Mode = "repair", **fields: Any) -> list[SentEvent]:
    pipeline = make_pipeline(generator=ScriptedGenerator(draft), mode=mode)
    async with make_client(make_app(pipeline=pipeline)) as client:
        response = await client.post("/query/stream", json={"question": QUESTION, **fields})
    return parse_events(response.text)


def drafts_with(id_: str) -> list[str]:
    """The foreign id inside the sentence, after it, and before it."""
    return [f"{CLAIM} {id_} [S1].", f"{CLAIM} [S1]. {id_}", f"{id_} {CLAIM} [S1]."]


@pytest.mark.parametrize("id_", FOREIGN_IDS)
@pytest.mark.parametrize("mode", MODES)
async def test_no_id_outside_the_context_reaches_the_client_in_any_form(mode: Mode, id_: str) -> None:
    """Whatever else becomes of the sentence; in the trace's draft its unknown markers are taken out too."""
    for draft in drafts_with(id_):
        events = await stream(draft, mode, include_trace=True)

        assert "99" not in visible(str([event.data for event in events if event.name in ("token", "citation")]))
        assert "99" not in visible(str([each["draft"] for each in events[-1].data["trace"]["sentences"]]))


@pytest.mark.parametrize(
    ("mode", "id_"),
    [
        ("mark", "【99†source】"),
        ("mark", "[99†source]"),
        ("mark", "[cite: 99]"),
        ("mark", "[citation:99]"),
        ("mark", f"[S{'9' * 41}]"),
        ("mark", "[S99a]"),
        ("mark", "[S\u034f99]"),
        ("mark", "[S\ufe0f99]"),
        ("mark", "[S\n99]"),
        ("mark", "S 99"),
        ("mark", "S-99"),
        ("mark", "Source 99"),
        ("mark", "[999]"),
        ("mark", "Document 99"),
        ("mark", "S.99"),
        ("mark", "SS99"),
        ("mark", "S98S99"),
        ("mark", "S99a"),
        ("mark", "buildingS99"),
        ("mark", "S(99)"),
        ("mark", "[S+99]"),
        ("mark", "[#99]"),
        ("mark", "[n99]"),
        ("mark", "^99"),
        ("mark", "<sup>99</sup>"),
        ("mark", "「99」"),
        ("mark", "〈99〉"),
        ("mark", "\N{CYRILLIC CAPITAL LETTER DZE}99"),
        ("mark", "𝐒𝟗𝟗"),
        ("mark", "Ⓢ99"),
        ("repair", "[S⁹⁹]"),
        ("repair", "S₉₉"),
        ("repair", "⁹⁹"),
    ],
)
async def test_no_id_reaches_the_client_in_a_rarer_form(mode: Mode, id_: str) -> None:
    """The same rule; in `mark` mode the grammar of markers is the only guard."""
    for draft in drafts_with(id_):
        events = await stream(draft, mode)

        assert "99" not in visible(read_text(events))


@pytest.mark.parametrize("id_", ["【12†source】", "[12†source]", "[cite: 12]", "【来源12】", "nguồn 12"])
async def test_an_id_is_no_figure_of_the_passage(id_: str) -> None:
    """The passage says "12 days", which makes source 12 no source of this context."""
    events = await stream(f"{CLAIM} {id_} [S1].")

    assert visible(read_text(events)) == f"{CLAIM} [S1]."


@pytest.mark.parametrize("id_", [f"[S{'9' * 41}]", "【99†source】"])
async def test_the_drafts_of_the_trace_hold_no_unknown_marker(id_: str) -> None:
    """`draft` is the one place where unverified text appears; its unknown markers are taken out."""
    events = await stream(f"{CLAIM} {id_} [S1].", include_trace=True)

    assert "99" not in str([each["draft"] for each in events[-1].data["trace"]["sentences"]])


@pytest.mark.parametrize(
    "left", ["[S99", "S99]", "[S99;]", '["S99"]', "[see S99]", "[cite: S99]", "\\[S99\\]", "«S99»", "<sup>S99</sup>"]
)
async def test_a_marker_leaves_no_brackets_behind(left: str) -> None:
    """Half a bracket at the end of a token looks like a marker that was split."""
    events = await stream(f"{CLAIM} {left} [S1].")

    assert read_text(events) == f"{CLAIM} [S1]."


@pytest.mark.parametrize("draft", [f"{SICK_LEAVE} [S2] {ANNUAL_LEAVE} [S1]", "", "[S1][S2]", " \n ", "...", "？"])
@pytest.mark.parametrize("mode", MODES)
async def test_both_methods_and_both_routes_say_the_same(mode: Mode, draft: str) -> None:
    """GET, POST and the whole answer come from one draft to one text and the same citations."""
    app = make_app(pipeline=make_pipeline(generator=ScriptedGenerator(draft), mode=mode))
    async with make_client(app) as client:
        got = parse_events((await client.get("/query/stream", params={"question": QUESTION})).text)
        posted = parse_events((await client.post("/query/stream", json={"question": QUESTION})).text)
        whole = (await client.post("/query", json={"question": QUESTION})).json()

    assert read_text(got) == read_text(posted) == whole["answer"]
    assert [event.data for event in got if event.name == "citation"] == whole["citations"]
    assert whole["answer"].strip()
    assert (whole["finish_reason"] == "no_answer") <= (whole["citations"] == [])


async def test_a_token_is_a_word_or_a_few() -> None:
    """A verified sentence goes out in small pieces, the text of a long word in several."""
    events = await stream(f"{ANNUAL_LEAVE} [S1] {SICK_LEAVE} [S2]")

    texts = [event.data["text"] for event in events if event.name == "token"]
    assert all(1 <= len(re.findall(r"\S+", text)) <= 4 for text in texts)


async def test_what_was_verified_before_a_failure_stays_said() -> None:
    """Sentences that passed go out with their citations; then one `error`, and neither `done` nor half a sentence."""
    generator = ScriptedGenerator(f"{ANNUAL_LEAVE} [S1] Sick leave needs a no", UpstreamError())
    async with make_client(make_app(pipeline=make_pipeline(generator=generator))) as client:
        response = await client.post("/query/stream", json={"question": QUESTION}, headers={"x-trace-id": "tr-1"})

    events = parse_events(response.text)
    assert read_text(events) == f"{CLAIM} [S1]."
    assert (events[-1].name, events[-1].data["trace_id"]) == ("error", "tr-1")
    assert [event.id for event in events] == list(range(len(events)))


async def test_every_line_of_data_is_one_line_to_every_reader() -> None:
    """Some clients part lines wherever Unicode does; a draft's separators do not reach them."""
    events = await stream(
        f"Full-time staff have 12 days\u2028of annual leave\u2029per year\x85 [S1]. {ANNUAL_LEAVE} [S1]"
    )

    assert not re.search("[\u2028\u2029\x85\x0b\x0c]", read_text(events))


class StallingGenerator(ScriptedGenerator):
    """Holds up the whole loop past every deadline, as a busy machine does."""

    async def _say(self) -> AsyncIterator[Delta]:
        yield Delta("Full-time staff ")
        await asyncio.sleep(0)
        time.sleep(0.2)  # noqa: ASYNC251  # the stall is what is tested
        yield Delta("have 12 days of annual leave per year [S1].")


async def test_a_late_stream_has_a_last_event_on_a_busy_machine_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly one terminal event, last, for every client that reads; never a silent end."""
    monkeypatch.setattr("rag.api.exchange.GRACE_S", 0.05)
    pipeline = make_pipeline(generator=StallingGenerator())
    async with make_client(make_app(pipeline=pipeline, stream_timeout_s=0.1)) as client:
        response = await client.post("/query/stream", json={"question": QUESTION})

    names = [event.name for event in parse_events(response.text)]
    assert names[-1] in ("done", "error")
    assert len({"done", "error"}.intersection(names)) == 1


@pytest.mark.parametrize("after", [" ", "\n", " Part", " (s"])
async def test_a_sentence_whose_source_is_named_waits_for_nothing(after: str) -> None:
    """Text goes out as soon as it has passed: a server that hangs after a whole sentence does not hold it back."""
    generator = ScriptedGenerator(f"{CLAIM} [S1].{after}", HANG)
    app = make_app(pipeline=make_pipeline(generator=generator))
    async with Connection(app, "POST", "/query/stream", body=[BODY], headers=JSON) as connection:
        await connection.head()
        text = ""
        while not text.endswith("[S1]."):
            event = await connection.event()
            assert event is not None
            text += event.data["text"] if event.name == "token" else ""

    assert text == f"{CLAIM} [S1]."


@contextmanager
def counting_calls() -> Iterator[list[int]]:
    """How many functions are called inside the block: the same on every machine, which a time is not."""
    calls = [0]

    def count(_frame: object, kind: str, _argument: object) -> None:
        calls[0] += kind in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(before)


def calls_to_parse(text: str, *, size: int) -> int:
    parser = SentenceParser()
    with counting_calls() as calls:
        for start in range(0, len(text), size):
            parser.feed(text[start : start + size])
    return calls[0]


@pytest.mark.parametrize("unit", ["Dr. ", "e.g. ", "a.b", "1.1 ", "S. "])
def test_a_draft_of_abbreviations_holds_up_nobody(unit: str) -> None:
    """The loop that reads a draft also answers `/health` within 5 ms: no text may cost a hundred times another."""
    odd, plain = (unit * 200)[:240], ("word " * 200)[:240]

    assert calls_to_parse(odd, size=3) < 100 * calls_to_parse(plain, size=3)


@pytest.mark.parametrize("unit", ["Dr. ", "e.g. ", "1.1 ", "S. "])
def test_a_long_delta_costs_no_more_than_its_length(unit: str) -> None:
    """A server may send its draft in one piece: 2 kB of abbreviations hold up the loop for a fifth of a second."""
    short, long = ((unit * 300)[:length] for length in (140, 560))

    assert calls_to_parse(long, size=len(long)) < 6 * calls_to_parse(short, size=len(short))
