"""Compare drafts with quotations alone: the everyday tuning part, asked of servers with the local model and without.

Questions are asked one at a time, as a stream, so that the times are those of a single user.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
from httpx_sse import EventSource, SSEError
from tqdm import tqdm

from load.evaluation.answers import NoAnswersError
from load.evaluation.corpus import TENANT, Corpus
from load.evaluation.everyday.grading import grade
from load.evaluation.everyday.quality import OUTCOMES, Outcome
from load.evaluation.everyday.questions import EverydayPart, EverydayQuestion
from load.evaluation.metrics import percentile
from load.evaluation.serving import PATIENT, serving
from load.evaluation.tables import render_table
from rag.config.settings import LOCAL_GENERATOR

# The headings of the columns, and the generator of each.
WAYS: Final[Mapping[str, str]] = {"by quotation": "none", f"drafted by {LOCAL_GENERATOR}": LOCAL_GENERATOR}
# Above the deadline of a patient server.
_TIMEOUT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Heard:
    """One streamed answer; `finish_reason` is None if an error came or the stream broke off.

    Times are in seconds from sending; `first_s` is that of the first text, None if there was none.
    """

    answer: str
    finish_reason: str | None
    first_s: float | None
    whole_s: float


@dataclass(frozen=True, slots=True)
class Way:
    """The outcomes of all questions, and the median times of those that did not fail."""

    outcomes: Mapping[Outcome, int]
    first_p50_s: float
    whole_p50_s: float


async def compare_ways(
    part: EverydayPart, corpus: Corpus, folder: Path, environment: Mapping[str, str]
) -> dict[str, Way]:
    """Measure both ways, one server after the other; `corpus` holds the documents, `folder` takes the servers' logs.

    Raises: ServerError: a server does not become ready; NoAnswersError: one answered no question.
    """
    found = {}
    for name, generator in WAYS.items():
        ours = {**PATIENT, **environment, "RAG_GENERATOR_MODEL": generator}
        ours.pop("RAG_GENERATOR_URL", None)
        log_folder = folder / f"server-drafting-{generator.partition(':')[0]}"
        with serving(corpus.index_dir, log_folder, ours) as url:
            found[name] = measure_way(part.questions, await ask_in_turn(url, part.questions, name))
    return found


async def ask_in_turn(url: str, questions: Sequence[EverydayQuestion], name: str) -> list[Heard]:
    """Ask the questions one by one; the first is asked once before, uncounted, to warm up."""
    async with httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_S) as client:
        await _ask(client, questions[0].text)
        asked = tqdm(questions, desc=f"asking, {name}", unit="question")
        return [await _ask(client, question.text) for question in asked]


def measure_way(questions: Sequence[EverydayQuestion], heard: Sequence[Heard]) -> Way:
    """Measure the answers of one way.

    Raises: NoAnswersError: all of them are errors.
    """
    whole = [each for each in heard if each.finish_reason is not None]
    firsts = [each.first_s for each in whole if each.first_s is not None]
    if not firsts:
        raise NoAnswersError(f"the server answered none of {len(heard)} everyday questions")
    outcomes = Counter(_judge(question, each) for question, each in zip(questions, heard, strict=True))
    return Way(outcomes, percentile(firsts, 50), percentile([each.whole_s for each in whole], 50))


def render_ways(ways: Mapping[str, Way]) -> str:
    """Render the outcomes and the times side by side."""
    rows = [[outcome, *(str(way.outcomes.get(outcome, 0)) for way in ways.values())] for outcome in OUTCOMES]
    rows.append(["first text, p50, s", *(f"{way.first_p50_s:.2f}" for way in ways.values())])
    rows.append(["whole answer, p50, s", *(f"{way.whole_p50_s:.2f}" for way in ways.values())])
    return render_table(["everyday questions, tuning", *ways], rows)


def _judge(question: EverydayQuestion, heard: Heard) -> Outcome:
    return grade(question, heard.answer, heard.finish_reason).verdict if heard.finish_reason else "failed"


async def _ask(client: httpx.AsyncClient, text: str) -> Heard:
    body = {"question": text, "tenant_id": TENANT}
    began = time.perf_counter()
    events: list[tuple[float, str, str]] = []
    try:
        async with client.stream("POST", "/query/stream", json=body) as response:
            response.raise_for_status()
            async with aclosing(EventSource(response).aiter_sse()) as stream:
                async for event in stream:
                    if event.data:  # else a ping
                        events.append((time.perf_counter() - began, event.event, event.data))
    except (httpx.HTTPError, SSEError):
        return Heard("", None, None, time.perf_counter() - began)
    return read_stream(events)


def read_stream(events: Iterable[tuple[float, str, str]]) -> Heard:
    """Read an answer from its events, given as (time, name, data)."""
    text, first_s, at_s = "", None, 0.0
    for at_s, name, data in events:
        told = json.loads(data)
        if name == "done":
            return Heard(text, str(told["finish_reason"]), first_s, at_s)
        if name == "token":
            text += told["text"]
            first_s = at_s if first_s is None and text else first_s
    return Heard(text, None, first_s, at_s)
