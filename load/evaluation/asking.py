"""Ask the server a sample of the questions, a few at a time, as a patient client would."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from load.driver.outcome import CONTRACT_BROKEN
from load.driver.planning import Ask
from load.driver.progress import Progress
from load.evaluation.corpus import TENANT
from load.evaluation.xquad import Question
from load.gate.asking import open_deployment
from schemas.response import QueryResponse

SEED: Final = 20260510
# The number of cores of the local profile: with 4 on 2 cores without AMX, half of the drafts ran out of time.
CONCURRENCY: Final = 2
# Above the server's own deadline for a request, so that the server gives up first.
_ANSWER_TIMEOUT_S: Final = 120.0
# A question is repeated for this long.
_PATIENCE_S: Final = 60.0


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


async def ask_all(
    url: str,
    questions: Sequence[Question],
    on_reply: Callable[[], object],
    fields: Sequence[Mapping[str, object]] = (),
) -> list[Reply]:
    """Return the replies in the order of the questions; `on_reply` is called after each. `fields` are further
    fields of each request.

    A question is repeated when the server says so; running out of time is an error, as it is for a user.
    """
    places, progress = asyncio.Semaphore(CONCURRENCY), Progress("evaluation", len(questions))
    async with open_deployment(url, None, timeout_s=_ANSWER_TIMEOUT_S, patience_s=_PATIENCE_S) as deployment:

        async def ask_in_turn(number: int, question: Question) -> Reply:
            body = {"question": question.text, "tenant_id": TENANT, **(fields[number] if fields else {})}
            async with places:
                told = await deployment.ask(Ask(0.0, f"evaluation-{number}", "whole", body), progress)
            on_reply()
            error = None if told.response else told.error or CONTRACT_BROKEN
            return Reply(question, told.response, error, told.refused)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask_in_turn(number, question)) for number, question in enumerate(questions)]
    return [task.result() for task in tasks]
