"""Ask the server a sample of the questions, a few at a time, as a patient client would."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import httpx
from pydantic import ValidationError

from load.evaluation.corpus import TENANT
from load.evaluation.xquad import Question
from rag.limits import Deadline
from schemas.errors import ErrorBody
from schemas.response import QueryResponse

SEED: Final = 20260510
# The number of cores of the local profile: with 4 on 2 cores without AMX, half of the drafts ran out of time.
CONCURRENCY: Final = 2
# Above the server's own deadline for a request, so that the server gives up first.
_ANSWER_TIMEOUT_S: Final = 120.0
# A question is repeated for this long.
_PATIENCE_S: Final = 60.0
# Takes the place of an error code if the body breaks the contract.
CONTRACT_BROKEN: Final = "CONTRACT_BROKEN"


@dataclass(frozen=True, slots=True)
class Reply:
    """The final outcome of a question: the response, or the code of the error; `retried` are the errors before it."""

    question: Question
    response: QueryResponse | None
    error: str | None = None
    retried: tuple[str, ...] = ()


def draw_sample(questions: Sequence[Question], size: int) -> list[Question]:
    """Draw the same questions on every run and in every language, in the order of the set."""
    ids = sorted(question.question_id for question in questions)
    drawn = set(random.Random(SEED).sample(ids, min(size, len(ids))))  # noqa: S311 - a sample, not a secret
    return [question for question in questions if question.question_id in drawn]


async def ask_all(url: str, questions: Sequence[Question], on_reply: Callable[[], object]) -> list[Reply]:
    """Return the replies in the order of the questions; `on_reply` is called after each."""
    places = asyncio.Semaphore(CONCURRENCY)
    async with httpx.AsyncClient(base_url=url, timeout=_ANSWER_TIMEOUT_S) as client:

        async def ask_in_turn(question: Question) -> Reply:
            async with places:
                reply = await _ask(client, question)
            on_reply()
            return reply

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask_in_turn(question)) for question in questions]
    return [task.result() for task in tasks]


async def _ask(client: httpx.AsyncClient, question: Question) -> Reply:
    """Ask a question, and repeat it when the server says so; running out of time is an error, as it is for a user."""
    body = {"question": question.text, "tenant_id": TENANT, "include_trace": True}
    patience = Deadline.after(_PATIENCE_S)
    retried: list[str] = []
    while True:
        try:
            response = await client.post("/query", json=body)
            if response.is_success:
                return Reply(question, QueryResponse.model_validate_json(response.content), retried=tuple(retried))
            error = ErrorBody.model_validate_json(response.content).error
        except httpx.TransportError as failure:
            return Reply(question, None, type(failure).__name__, tuple(retried))
        except ValidationError:
            return Reply(question, None, CONTRACT_BROKEN, tuple(retried))
        retry_after = response.headers.get("retry-after")
        if retry_after is None or not patience.left_s():
            return Reply(question, None, error.code, tuple(retried))
        retried.append(error.code)
        await asyncio.sleep(float(retry_after))
