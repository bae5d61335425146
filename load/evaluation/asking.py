"""Asks the server a sample of the questions, a few at a time, as a patient client would."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import httpx
from pydantic import ValidationError

from load.evaluation.corpus import TENANT
from load.evaluation.xquad import Question
from schemas.errors import ErrorBody
from schemas.response import QueryResponse

SEED: Final = 20260510
CONCURRENCY: Final = 4
# Above the server's own deadline for a request, so that it is the server that gives up.
_ANSWER_TIMEOUT_S: Final = 120.0
_REFUSALS_TAKEN: Final = 20
_RETRY_AFTER_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for a question: the response, or the code of the error."""

    question: Question
    response: QueryResponse | None
    error: str | None = None


def draw_sample(questions: Sequence[Question], size: int) -> list[Question]:
    """The same questions on every run and in every language, in the order of the set."""
    ids = sorted(question.question_id for question in questions)
    drawn = set(random.Random(SEED).sample(ids, min(size, len(ids))))  # noqa: S311 - a sample, not a secret
    return [question for question in questions if question.question_id in drawn]


async def ask_all(url: str, questions: Sequence[Question], on_reply: Callable[[], object]) -> list[Reply]:
    """The replies in the order of the questions; `on_reply` is called after each."""
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
    body = {"question": question.text, "tenant_id": TENANT, "include_trace": True}
    try:
        response = await client.post("/query", json=body)
        for _ in range(_REFUSALS_TAKEN):
            if response.status_code not in {httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE}:
                break
            await asyncio.sleep(float(response.headers.get("retry-after", _RETRY_AFTER_S)))
            response = await client.post("/query", json=body)
        if response.is_success:
            return Reply(question, QueryResponse.model_validate_json(response.content))
        return Reply(question, None, ErrorBody.model_validate_json(response.content).error.code)
    except httpx.TransportError as error:
        return Reply(question, None, type(error).__name__)
    except ValidationError:
        return Reply(question, None, "CONTRACT_BROKEN")
