"""Asks a file of questions through BentoML's own client, and writes a file of answers.

Run it again after whatever ended it, and it goes on where it was:

    python examples/batch_client.py examples/questions.jsonl answers.jsonl --url http://127.0.0.1:3000

QUESTIONS is JSON Lines: {"question": "..."}, and any of id, tenant_id, top_k, max_output_tokens, include_trace.
ANSWERS is JSON Lines: a line for each question with its "answer" or its "error"; the last line of an id counts.

  refused (429, 503, no connection): asked again after as long as the server says; the run ends if nothing gets through
                                     for --patience seconds
  failed, may pass (502, 504, lost): tried again, --tries times in all; recorded, and asked again by the next run
  failed for good (422 and others):  recorded, and not asked again without --retry-failed

The exit status is 0 if every question has its answer, 1 if one has not, 2 if the run could not begin, 130 after Ctrl-C
or SIGTERM; what is in flight then is still written. The API key is in BATCH_API_KEY. Needs a Unix.
"""

import argparse
import asyncio
import fcntl
import hashlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import bentoml
import httpx  # what BentoML's client speaks with, and whose exceptions it lets through

# Statuses that say "not now", and those that may be something else next time; for errors that have no `retryable`.
REFUSALS: Final = frozenset({429, 503})
PASSING: Final = REFUSALS | {502, 504}
# If the server does not say how long: doubled with each try.
BACKOFF_S: Final = 1.0
BACKOFF_MAX_S: Final = 60.0
JITTER: Final = 0.25
LINE_START: Final = b'{"id": '

Record = dict[str, Any]  # a question as it is asked, or a line of the answers


class UnusableError(Exception):
    """The run cannot begin; the message is one line."""


@dataclass(eq=False)
class Failure(Exception):
    """Why there is no answer: the service's own error, another's (`HTTP_502`), or none at all (no status)."""

    code: str
    message: str
    retryable: bool
    status: int | None = None
    trace_id: str | None = None
    retry_after_s: float | None = None


def read_questions(path: Path, defaults: Mapping[str, Any]) -> list[Record]:
    """Each has an id; the same one twice is one. Raises: UnusableError."""
    questions: dict[str, Record] = {}
    try:
        for number, line in enumerate(path.read_text("utf-8").split("\n"), 1):
            if not line.strip():
                continue
            fields = json.loads(line)
            if not isinstance(fields, dict) or not isinstance(fields.get("question"), str):
                raise ValueError(f'line {number} must be {{"id": "...", "question": "..."}}')
            # Not the line's number: lines may be moved and added between two runs.
            id_ = str(fields.get("id", hashlib.sha256(fields["question"].encode()).hexdigest()[:16]))
            question = {**defaults, **fields, "id": id_}
            if questions.setdefault(id_, question) != question:
                raise ValueError(f"line {number}: the id {id_!r} has another question already")
    except (OSError, ValueError) as error:
        raise UnusableError(f"{path}: {error}") from error
    return list(questions.values())


class AnswerFile:
    """Whole lines, appended one at a time: a kill takes none that was written."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        """Cuts off the line that a killed run has torn; a file of something else is not touched."""
        file.seek(0)
        *lines, torn = file.read().split(b"\n")
        with suppress(ValueError):
            json.loads(torn)
            lines, torn = [*lines, torn], b""  # only its end is missing
        torn = torn.strip(b"\0")  # what a power failure leaves
        try:
            records = [json.loads(line) for line in lines]
            self.records: Final = {record["id"]: record for record in records}
            if not all(("answer" in record) != ("error" in record) for record in records):
                raise ValueError
            if not (torn.startswith(LINE_START) or LINE_START.startswith(torn)):
                raise ValueError
        except (ValueError, TypeError, KeyError) as error:
            raise UnusableError(f"{path}: is no file of answers") from error
        file.truncate(len(b"\n".join(lines)))
        if lines:
            file.write(b"\n")
        self._file = file

    def append(self, record: Record) -> None:
        line = json.dumps(record, ensure_ascii=False) + "\n"
        # Half a surrogate pair is no UTF-8; its escape is JSON again.
        self._file.write(line.encode("utf-8", "backslashreplace"))
        self._file.flush()
        self.records[record["id"]] = record


@contextmanager
def open_answers(path: Path) -> Iterator[AnswerFile]:
    """Locked, so that two runs never write to it. Raises: UnusableError."""
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UnusableError(f"{path}: another run is writing there") from error
        yield AnswerFile(path, file)


def find_open(questions: Sequence[Record], records: Mapping[str, Record], *, retry_failed: bool) -> list[Record]:
    """Those without an answer; those that failed for good only if wanted. Raises: UnusableError."""
    found = []
    for question in questions:
        record = records.get(question["id"])
        if record is not None and record.get("question") != question["question"]:
            raise UnusableError(f"the answers have another question of the id {question['id']!r}: take another file")
        if record is None or ("error" in record and (retry_failed or record["error"]["retryable"])):
            found.append(question)
    return found


def make_ask(client: Any) -> Callable[[Record], Awaitable[Record]]:  # Any: BentoML's client makes its methods itself
    """One request by a client that has been entered; raises Failure."""

    async def ask(question: Record) -> Record:
        try:
            answer = await client.query(**{name: value for name, value in question.items() if name != "id"})
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            # As a refusal: only without a connection is it certain that nobody works on the question.
            raise Failure("NO_CONNECTION", "the server cannot be reached", retryable=True, status=503) from error
        except httpx.TransportError as error:
            raise Failure("CONNECTION_LOST", "no answer came in time, or none at all", retryable=True) from error
        except ValueError:  # no JSON
            answer = None
        if not isinstance(answer, dict) or "answer" not in answer:
            raise Failure("NO_ANSWER", "what came is none of the service's", retryable=False)
        return answer

    return ask


async def raise_failure(response: httpx.Response) -> None:
    """A hook of httpx: the exceptions of BentoML's client have no headers, and `Retry-After` would be lost."""
    if response.status_code != httpx.codes.OK:
        raise read_failure(response.status_code, response.headers, await response.aread())


def read_failure(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """The service's error, or the status if the body is another's, such as a proxy's page."""
    wait = headers.get("retry-after", "")
    retry_after_s = float(wait) if wait.isascii() and wait.isdigit() else None
    try:
        error = json.loads(body)["error"]
        code, message, retryable, trace_id = (error[name] for name in ("code", "message", "retryable", "trace_id"))
    except (ValueError, TypeError, KeyError):
        code, message, retryable, trace_id = f"HTTP_{status}", "not an answer of the service", status in PASSING, None
    return Failure(code, message, bool(retryable), status, trace_id, retry_after_s)


def seconds_to_wait(failure: Failure, tries: int, jitter: float) -> float:
    """Never less than the server asks for; `jitter` (0 to 1) keeps those that were refused together apart."""
    wait_s = failure.retry_after_s
    if wait_s is None:
        wait_s = min(BACKOFF_S * 2 ** min(tries - 1, 10), BACKOFF_MAX_S)
    return wait_s * (1 + JITTER * jitter)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is asked at once, and how long it is asked for."""

    concurrency: int
    tries: int
    patience_s: float


class Batch:
    """Workers that take the questions in turn; each answer is written as it comes."""

    def __init__(self, ask: Callable[[Record], Awaitable[Record]], answers: AnswerFile, bounds: Bounds) -> None:
        """`ask` raises Failure."""
        self._ask = ask
        self._answers = answers
        self._bounds = bounds
        self._stopping = asyncio.Event()
        self._heard_at = time.monotonic()  # when something last got through
        self._resume_at = 0.0  # nobody asks before
        self.counts: Final = {name: Counter[str]() for name in ("answered", "failed", "refused", "tokens")}
        self.gave_up: str | None = None  # why

    def stop(self, reason: str) -> None:
        """Nothing is asked from now on; what is in flight is still written."""
        self.gave_up = self.gave_up or reason
        self._stopping.set()

    async def run(self, questions: Sequence[Record]) -> None:
        """Returns when all are settled, or the run has been stopped. Raises: OSError: an answer cannot be written."""
        waiting = iter(questions)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._bounds.concurrency):
                    group.create_task(self._work(waiting))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _work(self, waiting: Iterator[Record]) -> None:
        for question in waiting:
            outcome = await self._settle(question)
            if outcome is None:
                return
            self._answers.append({"id": question["id"], **question, **outcome})
            if error := outcome.get("error"):
                self.counts["failed"][error["code"]] += 1
            else:
                self.counts["answered"][str(outcome.get("finish_reason"))] += 1
                self.counts["tokens"].update((outcome.get("trace") or {}).get("usage", {}))

    async def _settle(self, question: Record) -> Record | None:
        """The answer, or why there is none; None if the run stops first."""
        failed_tries, wait_s = 0, 0.0
        while await self._may_ask(wait_s):
            try:
                answer = await self._ask(question)
            except Failure as error:
                failure = error
            else:
                self._heard_at = time.monotonic()
                return answer
            wait_s = seconds_to_wait(failure, failed_tries + 1, random.random())  # noqa: S311 - not a secret
            if failure.code == "UNAUTHORIZED":  # true of all questions, not of this one
                self.stop("UNAUTHORIZED: is BATCH_API_KEY set?")
            elif failure.retryable and failure.status in REFUSALS:
                self._pause(failure, wait_s)
            else:
                self._heard_at = time.monotonic()
                failed_tries += 1
                if not failure.retryable or failed_tries == self._bounds.tries:
                    return {"error": asdict(failure)}
        return None

    async def _may_ask(self, wait_s: float) -> bool:
        """True when the wait, and everybody's, is over; False as soon as the run stops."""
        ask_at = time.monotonic() + wait_s
        while not self._stopping.is_set() and (left_s := max(ask_at, self._resume_at) - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(self._stopping.wait(), left_s)
            except TimeoutError:
                continue
        return not self._stopping.is_set()

    def _pause(self, failure: Failure, wait_s: float) -> None:
        """Nobody asks before the server wants to be asked; the run ends if nothing has got through for too long."""
        self.counts["refused"][failure.code] += 1
        resume_at = time.monotonic() + wait_s
        if resume_at - self._heard_at > self._bounds.patience_s:
            self.stop(f"nothing got through for {self._bounds.patience_s:g} s: {failure.code}")
        elif failure.code != "CONCURRENCY_LIMIT":  # true of one question alone: the next one may find a place at once
            self._resume_at = max(self._resume_at, resume_at)

    def describe(self) -> list[str]:
        """What this run did, in lines for a person."""
        lines = [f"{name} {counts.total()} {dict(counts)}" for name, counts in self.counts.items() if counts]
        return [*lines, f"stopped: {self.gave_up}"] if self.gave_up else lines


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Raises: SystemExit: with status 2, after one line that says what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", type=Path, metavar="QUESTIONS")
    parser.add_argument("answers", type=Path, metavar="ANSWERS")
    parser.add_argument("--url", default="http://127.0.0.1:3000", help="of the server (default: %(default)s)")
    parser.add_argument("--tenant", default="demo", metavar="T", help="for questions without tenant_id")
    parser.add_argument("--include-trace", action="store_true", help="for all questions; the tokens are counted then")
    parser.add_argument("--retry-failed", action="store_true", help="also ask again what has failed for good")
    # BentoML's client opens 100 connections at most.
    parser.add_argument("--concurrency", type=int, choices=range(1, 101), default=4, metavar="N", help="1 to 100")
    parser.add_argument("--tries", type=int, default=3, metavar="N", help="of a question that fails")
    parser.add_argument("--timeout", type=float, default=240, metavar="SECONDS", help="above the server's deadline")
    parser.add_argument("--patience", type=float, default=600, metavar="SECONDS", help="to be refused without a break")
    return parser.parse_args(argv)


async def ask_all(arguments: argparse.Namespace, answers: AnswerFile, questions: Sequence[Record]) -> int:
    """Returns the exit status."""
    waiting = find_open(questions, answers.records, retry_failed=arguments.retry_failed)
    # Without a token BentoML's client sends BENTO_CLOUD_API_KEY, whoever the server is. And it would ask /readyz again
    # and again: a server that is not ready refuses the questions instead, and says when to come again.
    async with bentoml.AsyncHTTPClient(
        arguments.url, token="", timeout=arguments.timeout, server_ready_timeout=0
    ) as client:
        if "query" not in client.endpoints:
            raise UnusableError(f"{arguments.url} has no method `query`")
        client.client.event_hooks = {"response": [raise_failure]}
        if key := os.environ.get("BATCH_API_KEY"):
            client.client.headers["x-api-key"] = key
        bounds = Bounds(arguments.concurrency, arguments.tries, arguments.patience)
        batch = Batch(make_ask(client), answers, bounds)
        stopped_by: list[signal.Signals] = []

        def stop(by: signal.Signals) -> None:
            stopped_by.append(by)
            batch.stop(by.name)
            loop.remove_signal_handler(by)  # a second one ends the run at once

        loop = asyncio.get_running_loop()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, stop, each)
        await batch.run(waiting)
    for line in batch.describe():
        print(line)
    print(f"answered by earlier runs: {len(questions) - len(waiting)}")
    print(f"left for the next run: {len(find_open(questions, answers.records, retry_failed=False))}")
    if stopped_by:
        return 130  # 128 + SIGINT, as shells have it
    return 0 if all("answer" in answers.records.get(question["id"], {}) for question in questions) else 1


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    defaults = {"tenant_id": arguments.tenant, "include_trace": arguments.include_trace}
    try:
        questions = read_questions(arguments.questions, defaults)
        with open_answers(arguments.answers) as answers:
            return asyncio.run(ask_all(arguments, answers, questions))
    except UnusableError as error:
        print(f"error: {error}", file=sys.stderr)
    except (bentoml.exceptions.BentoMLException, httpx.HTTPError, httpx.InvalidURL) as error:
        print(f"error: {arguments.url}: no BentoML service answers there: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {arguments.answers}: {error.strerror}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
