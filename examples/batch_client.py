"""Asks a file of questions through BentoML's own client, and writes a file of answers.

Run it again after whatever ended it, and it goes on where it was:

    python examples/batch_client.py examples/questions.jsonl answers.jsonl --url http://127.0.0.1:3000

QUESTIONS is JSON Lines (`*.jsonl`): {"id": "q1", "question": "..."}, and any of tenant_id, top_k, max_output_tokens,
include_trace, which are otherwise the service's defaults; without "id" the text of the question is its id. Any other
file is plain text, one question a line.

ANSWERS is JSON Lines: one line per question as it was asked, with either "answer" and the rest of the service's
response, or "error". A question that failed and was asked again has a line for each time; its last line counts.

  refused (429, 503, no connection): asked again after as long as the server says. Until then nothing else is asked
                                     either, but where only a place was missing (CONCURRENCY_LIMIT). The run ends when
                                     nothing gets through for --patience seconds
  failed, may pass (502, 504, lost): tried again, --tries times in all; recorded, and asked again by the next run
  failed for good (422 and others):  recorded, and not asked again without --retry-failed

The exit status is 0 when every question has its answer, 1 when one has not, 2 when it could not begin, 130 after Ctrl-C
or SIGTERM. What has an answer is never asked again; what was in flight when the process was killed may be.

Needs bentoml, tqdm, and a Unix. The API key is read from the environment: BATCH_API_KEY, see --key-from.
"""

import argparse
import asyncio
import fcntl
import hashlib
import json
import math
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import bentoml
import httpx  # what BentoML's client speaks with, and whose exceptions it lets through
from tqdm import tqdm

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_UNUSABLE: Final = 2
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it

REQUEST_FIELDS: Final = frozenset({"question", "tenant_id", "top_k", "max_output_tokens", "include_trace"})
NO_CONNECTION: Final = "NO_CONNECTION"
# The one refusal that is true of one question alone: the next one may find a place at once.
NO_PLACE: Final = "CONCURRENCY_LIMIT"
# Statuses that say "not now", and those that may be something else next time; only for errors that have no `retryable`.
REFUSALS: Final = frozenset({429, 503})
PASSING: Final = REFUSALS | {502, 504}
# Where the server does not say how long: doubled with each try.
BACKOFF_S: Final = 1.0
BACKOFF_MAX_S: Final = 60.0
JITTER: Final = 0.25
# A power failure may take the answers of so many seconds; the end of the process takes none.
SYNC_INTERVAL_S: Final = 1.0
LINE_INTERVAL_S: Final = 5.0

Record = dict[str, Any]  # one line of the answers
LINE_START: Final = b'{"id": '


class UnusableError(Exception):
    """The run cannot begin; the message is one line."""


@dataclass(eq=False)
class Failure(Exception):
    """Why there is no answer: the service's own error, another's (`HTTP_502`), or a connection that failed."""

    code: str
    message: str
    retryable: bool
    status: int | None = None
    trace_id: str | None = None
    retry_after_s: float | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def is_refusal(self) -> bool:
        """The server has not begun to work on it."""
        return self.retryable and (self.status in REFUSALS or self.code == NO_CONNECTION)

    def describe(self) -> Record:
        """As it stands in a line."""
        return {name: getattr(self, name) for name in ("code", "message", "status", "retryable", "trace_id")}


# --- The questions


@dataclass(frozen=True, slots=True)
class Question:
    """`fields` are the request's."""

    id: str
    fields: Mapping[str, Any]


def read_questions(path: Path, defaults: Mapping[str, Any]) -> list[Question]:
    """All questions in their order; the same one twice is one.

    Raises: UnusableError: a line is no question, or an id has two.
    """
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableError(f"{path}: cannot be read: {error}") from error
    parse = _parse_json if path.suffix == ".jsonl" else _parse_text
    questions: dict[str, Question] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            question = parse(line, defaults)
        except ValueError as error:
            raise UnusableError(f"{path}:{number}: {error}") from error
        if questions.setdefault(question.id, question) != question:
            raise UnusableError(f"{path}:{number}: the id {question.id!r} has another question already")
    return list(questions.values())


def _parse_text(line: str, defaults: Mapping[str, Any]) -> Question:
    text = line.strip()
    # Not the line's number: lines may be moved and added between two runs.
    return Question(hashlib.sha256(text.encode()).hexdigest()[:16], {**defaults, "question": text})


def _parse_json(line: str, defaults: Mapping[str, Any]) -> Question:
    fields = json.loads(line)
    if not isinstance(fields, dict) or not isinstance(fields.get("question"), str):
        raise ValueError('must be {"id": "...", "question": "..."}')
    given_id = fields.pop("id", None)
    if unknown := fields.keys() - REQUEST_FIELDS:
        raise ValueError(f"the service takes no {', '.join(sorted(unknown))}")
    return Question(
        _parse_text(fields["question"], {}).id if given_id is None else str(given_id), {**defaults, **fields}
    )


# --- The answers


class AnswerFile:
    """The answers: whole lines, appended one at a time."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        """Mends what a killed run has left; `file` is open for reading and appending.

        Raises: UnusableError: a line is no answer.
        """
        self._file = file
        self._synced_at = time.monotonic()
        file.seek(0)
        content = file.read()
        whole = heal(content)
        # Before anything is cut off: the file may have been named by mistake.
        self.records: Final = _read_records(path, whole, content)
        # Whole lines are never touched: `whole` is shorter by what was torn, or longer by a line's end.
        file.truncate(min(len(whole), len(content)))
        file.write(whole[len(content) :])
        self.sync()

    def append(self, record: Record) -> None:
        """In the hands of the system when it returns, and on the disk with the first line SYNC_INTERVAL_S later."""
        line = json.dumps(record, ensure_ascii=False) + "\n"
        # Half a surrogate pair is no UTF-8; its escape is JSON again.
        self._file.write(line.encode("utf-8", "backslashreplace"))
        self._file.flush()
        self.records[record["id"]] = record
        if time.monotonic() - self._synced_at >= SYNC_INTERVAL_S:
            self.sync()

    def sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._synced_at = time.monotonic()


@contextmanager
def open_answers(path: Path) -> Iterator[AnswerFile]:
    """Holds the file's lock, so that two runs never write to it.

    Raises: UnusableError: another run does, it cannot be opened, or a line is no answer.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("a+b"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UnusableError(f"{path}: another run is writing there") from error
        except OSError as error:
            raise UnusableError(f"{path}: {error.strerror}") from error
        answers = AnswerFile(path, file)
        stack.callback(answers.sync)
        yield answers


def heal(content: bytes) -> bytes:
    """The whole lines: a last one without its end is completed if it is JSON, and cut off if it is torn."""
    end = content.rfind(b"\n") + 1
    try:
        json.loads(content[end:])
    except ValueError:
        return content[:end]
    return content + b"\n"


def _read_records(path: Path, whole: bytes, content: bytes) -> dict[str, Record]:
    records: dict[str, Record] = {}
    *lines, _ = whole.split(b"\n")
    torn = content[len(whole) :].strip(b"\0")  # zeros are what a power failure leaves
    if not (torn.startswith(LINE_START) or LINE_START.startswith(torn)):
        raise UnusableError(f"{path}: its last line is no answer of an earlier run")
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            records[record["id"]] = record
            if ("answer" in record) == ("error" in record):
                raise ValueError
        except (ValueError, TypeError, KeyError) as error:
            raise UnusableError(f"{path}:{number}: is no answer of an earlier run") from error
    return records


def find_open(questions: Sequence[Question], records: Mapping[str, Record], *, retry_failed: bool) -> list[Question]:
    """Those that are to be asked: never asked, failed in a way that may pass, or, if wanted, failed at all.

    Raises: UnusableError: an answer is one to another question.
    """
    found = []
    for question in questions:
        record = records.get(question.id)
        if record is not None and record.get("question") != question.fields["question"]:
            raise UnusableError(f"the answers have another question of the id {question.id!r}: take another file")
        if record is None or ("error" in record and (retry_failed or record["error"]["retryable"])):
            found.append(question)
    return found


# --- Asking


def make_ask(client: Any) -> Callable[[Question], Awaitable[Record]]:  # Any: BentoML's client makes its methods itself
    """One request by a client that has been entered; raises Failure."""

    async def ask(question: Question) -> Record:
        try:
            answer = await client.query(**question.fields)
        except httpx.TransportError as error:
            raise read_transport_error(error) from error
        except ValueError as error:
            raise Failure("NO_JSON", "what came is no JSON", retryable=False, status=200) from error
        if not isinstance(answer, dict) or "answer" not in answer:
            raise Failure("NO_ANSWER", "what came is none of the service's", retryable=False, status=200)
        return answer

    return ask


async def raise_failure(response: httpx.Response) -> None:
    """A hook of httpx: makes a Failure of each response but 200.

    BentoML's client has exceptions of its own, with status and body, but not the headers: `Retry-After` would be lost.
    Its httpx client is public (`.client`), and what a hook raises comes out of the call. A redirect ends here too, so
    that the key goes nowhere else.
    """
    if response.status_code != httpx.codes.OK:
        raise read_failure(response.status_code, response.headers, await response.aread())


def read_failure(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """The service's error, or the status where the body is another's, such as a proxy's page."""
    wait = headers.get("retry-after", "")
    retry_after_s = float(wait) if wait.isascii() and wait.isdigit() else None
    try:
        error = json.loads(body)["error"]
        code, message, retryable, trace_id = (error[name] for name in ("code", "message", "retryable", "trace_id"))
    except (ValueError, TypeError, KeyError):
        code, message, retryable, trace_id = f"HTTP_{status}", "not an answer of the service", status in PASSING, None
    return Failure(code, message, bool(retryable), status, trace_id, retry_after_s)


def read_transport_error(error: httpx.TransportError) -> Failure:
    """All may pass; but only without a connection is it certain that nobody works on the question."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return Failure(NO_CONNECTION, "the server cannot be reached", retryable=True)
    if isinstance(error, httpx.TimeoutException):
        return Failure("CLIENT_TIMEOUT", "no answer within --timeout", retryable=True)
    return Failure("CONNECTION_LOST", "the connection broke before the answer", retryable=True)


def seconds_to_wait(failure: Failure, tries: int, jitter: float) -> float:
    """Never less than the server asks for; `jitter` (0 to 1) keeps those that were refused together apart."""
    wait_s = failure.retry_after_s
    if wait_s is None:
        wait_s = min(BACKOFF_S * 2 ** min(tries - 1, 10), BACKOFF_MAX_S)
    return wait_s * (1 + JITTER * jitter)


# --- The run


@dataclass(slots=True)
class Tally:
    """What the summary says of this run."""

    answered: int = 0
    no_answer: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    waited_s: float = 0.0  # of all questions together
    latencies_s: list[float] = field(default_factory=list)
    tokens: Counter[str] = field(default_factory=Counter)

    @property
    def settled(self) -> int:
        return self.answered + self.failed.total()

    def note(self, record: Record) -> None:
        if "error" in record:
            self.failed[record["error"]["code"]] += 1
            return
        self.answered += 1
        self.no_answer += record.get("finish_reason") == "no_answer"
        self.latencies_s.append(record["seconds"])
        self.tokens.update((record.get("trace") or {}).get("usage", {}))

    def describe(self, duration_s: float) -> list[str]:
        """Lines for a person; what did not happen is left out."""
        lines = [f"answered {self.answered}, {self.no_answer} of them with no_answer"]
        if self.failed:
            lines.append(f"failed {self.failed.total()}: {_list_counts(self.failed)}")
        if self.refused:
            counts = _list_counts(self.refused)
            lines.append(f"refused {self.refused.total()} times: {counts}; waits of {self.waited_s:.1f} s together")
        if self.latencies_s:
            p50, p95 = (percentile(self.latencies_s, share) for share in (0.5, 0.95))
            rate = self.answered / duration_s
            lines.append(f"{rate:.2f} answers/s over {duration_s:.1f} s, latency p50 {p50:.2f} s, p95 {p95:.2f} s")
        if self.tokens:
            lines.append(f"tokens: {_list_counts(self.tokens)}")
        return lines


def percentile(values: Sequence[float], share: float) -> float:
    """By nearest rank: one of the values."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _list_counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


class Progress:
    """On stderr: a bar for a person, now and then a line for a log."""

    def __init__(self, total: int, already: int) -> None:
        self._total = total
        self._done = already
        self._line_at = time.monotonic()
        self._is_watched = sys.stderr.isatty()
        self._bar = tqdm(total=total, initial=already, unit="question", disable=not self._is_watched)

    def advance(self, tally: Tally) -> None:
        self._done += 1
        state = {"failed": tally.failed.total(), "refused": tally.refused.total()}
        self._bar.set_postfix(state, refresh=False)
        self._bar.update()
        if not self._is_watched and (time.monotonic() - self._line_at >= LINE_INTERVAL_S or self._done == self._total):
            self._line_at = time.monotonic()
            self.tell(f"{self._done}/{self._total}, failed {state['failed']}, refused {state['refused']} times")

    def tell(self, line: str) -> None:
        tqdm.write(line, file=sys.stderr)
        sys.stderr.flush()

    def close(self) -> None:
        self._bar.close()


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is asked at once, and how long it is asked for."""

    concurrency: int
    tries: int
    patience_s: float
    grace_s: float


class Batch:
    """Workers that take the questions in turn; each answer is written as it comes."""

    def __init__(
        self, ask: Callable[[Question], Awaitable[Record]], answers: AnswerFile, bounds: Bounds, progress: Progress
    ) -> None:
        """`ask` raises Failure."""
        self._ask = ask
        self._answers = answers
        self._bounds = bounds
        self._progress = progress
        self._stopping = asyncio.Event()
        self._hurrying = asyncio.Event()
        self._heard_at = time.monotonic()  # when something last got through
        self._resume_at = 0.0  # nobody asks before
        self.tally: Final = Tally()
        self.is_interrupted = False
        self.gave_up: str | None = None  # why

    def interrupt(self) -> None:
        """Ends the run in order; asked a second time, at once."""
        if self.is_interrupted:
            self._hurrying.set()
        else:
            self._progress.tell(f"stopping: what is in flight has {self._bounds.grace_s:g} s; again to stop at once")
        self.is_interrupted = True
        self._stopping.set()

    async def run(self, questions: Sequence[Question]) -> None:
        """Returns when all are settled, or the run has been stopped.

        Raises: OSError: an answer could not be written.
        """
        waiting = iter(questions)
        try:
            async with asyncio.TaskGroup() as group:
                workers = [group.create_task(self._work(waiting)) for _ in range(self._bounds.concurrency)]
                ending = group.create_task(self._abandon_after_grace(workers))
                await asyncio.wait(workers)
                ending.cancel()
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _abandon_after_grace(self, workers: Sequence[asyncio.Task[None]]) -> None:
        await self._stopping.wait()
        await _is_set_within(self._hurrying, self._bounds.grace_s)
        for worker in workers:
            worker.cancel()

    async def _work(self, waiting: Iterator[Question]) -> None:
        for question in waiting:
            record = await self._settle(question)
            if record is None:
                return
            self._answers.append(record)
            self.tally.note(record)
            self._progress.advance(self.tally)

    async def _settle(self, question: Question) -> Record | None:
        """The line of a question: its answer, or why there is none; None where the run stops first."""
        failed_tries, wait_s, taken_at = 0, 0.0, time.monotonic()
        while await self._may_ask(wait_s):
            sent_at = time.monotonic()
            try:
                answer = await self._ask(question)
            except Failure as error:
                failure = error
            else:
                self._heard_at = time.monotonic()
                return {"id": question.id, **question.fields, "seconds": round(self._heard_at - sent_at, 3), **answer}
            if failure.code == "UNAUTHORIZED":  # true of all questions, not of this one
                self._give_up(f"{failure} Is the API key set?")
                return None
            wait_s = seconds_to_wait(failure, failed_tries + 1, random.random())  # noqa: S311 - not a secret
            if failure.is_refusal:
                self._pause(failure, wait_s)
                if self.gave_up or not self._is_beyond_patience(taken_at, wait_s):
                    continue
            else:
                self._heard_at = taken_at = time.monotonic()
                failed_tries += 1
                if failure.retryable and failed_tries < self._bounds.tries:
                    continue
            return {"id": question.id, **question.fields, "error": failure.describe()}
        return None

    async def _may_ask(self, wait_s: float) -> bool:
        """True when the wait, and everybody's, is over; False as soon as the run stops."""
        ask_at = time.monotonic() + wait_s
        while (left_s := max(ask_at, self._resume_at) - time.monotonic()) > 0:
            if await _is_set_within(self._stopping, left_s):
                break
        return not self._stopping.is_set()

    def _pause(self, failure: Failure, wait_s: float) -> None:
        """Nobody asks before the server wants to be asked; the run ends where nothing has got through for too long."""
        self.tally.refused[failure.code] += 1
        if self._is_beyond_patience(self._heard_at, wait_s):
            self._give_up(f"nothing got through for {self._bounds.patience_s:g} s: {failure}")
            return
        self.tally.waited_s += wait_s
        if failure.code != NO_PLACE:
            self._resume_at = max(self._resume_at, time.monotonic() + wait_s)

    def _is_beyond_patience(self, since: float, wait_s: float) -> bool:
        return time.monotonic() + wait_s - since > self._bounds.patience_s

    def _give_up(self, reason: str) -> None:
        self.gave_up = self.gave_up or reason
        self._stopping.set()


async def _is_set_within(event: asyncio.Event, timeout_s: float) -> bool:
    if timeout_s > 0 and not event.is_set():
        try:
            await asyncio.wait_for(event.wait(), timeout_s)
        except TimeoutError:
            return False
    return event.is_set()


# --- The command


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Raises: SystemExit: with status 2, after one line that says what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", type=Path, metavar="QUESTIONS")
    parser.add_argument("answers", type=Path, metavar="ANSWERS")
    parser.add_argument("--url", default="http://127.0.0.1:3000", help="of the server (default: %(default)s)")
    parser.add_argument(
        "--key-from", default="BATCH_API_KEY", metavar="NAME", help="variable with the API key (default: %(default)s)"
    )
    parser.add_argument("--tenant", metavar="T", help="for questions without tenant_id")
    parser.add_argument("--include-trace", action="store_true", help="for all questions; the tokens are counted then")
    parser.add_argument("--retry-failed", action="store_true", help="also ask again what has failed for good")
    for name, default, kind, least, what in (
        ("--concurrency N", 4, int, 1, "questions in flight, at most 100: so many connections BentoML's client opens"),
        ("--tries N", 3, int, 1, "of a question that fails; refusals do not count"),
        ("--timeout SECONDS", 240.0, float, 1, "for one answer; above the deadline of the server"),
        ("--patience SECONDS", 600.0, float, 0, "to be refused without a break"),
        ("--grace SECONDS", 20.0, float, 0, "for what is in flight at Ctrl-C or SIGTERM"),
    ):
        option, metavar = name.split()
        most = 100 if kind is int else 86_400
        help_ = f"{what} (default: {default:g})"
        parser.add_argument(option, type=_bounded(kind, least, most), default=default, metavar=metavar, help=help_)
    return parser.parse_args(argv)


def _bounded(kind: type[int] | type[float], least: float, most: float) -> Callable[[str], float]:
    def number(text: str) -> float:  # argparse shows the function's name
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be from {least} to {most}")
        return value

    return number


async def ask_all(arguments: argparse.Namespace, answers: AnswerFile, questions: Sequence[Question]) -> int:
    """Returns the exit status."""
    waiting = find_open(questions, answers.records, retry_failed=arguments.retry_failed)
    open_ids = {question.id for question in waiting}
    earlier = [answers.records[question.id] for question in questions if question.id not in open_ids]
    progress = Progress(len(questions), len(questions) - len(waiting))
    bounds = Bounds(arguments.concurrency, arguments.tries, arguments.patience, arguments.grace)
    began = time.monotonic()
    # Without a token BentoML's client sends BENTO_CLOUD_API_KEY, whoever the server is. And it would ask /readyz again
    # and again: a server that is not ready refuses the questions instead, and says when to come again.
    async with bentoml.AsyncHTTPClient(
        arguments.url, token="", timeout=arguments.timeout, server_ready_timeout=0
    ) as client:
        if "query" not in client.endpoints:
            raise UnusableError(f"{arguments.url} has no method `query`")
        client.client.event_hooks = {"response": [raise_failure]}
        if key := os.environ.get(arguments.key_from):
            client.client.headers["x-api-key"] = key
        batch = Batch(make_ask(client), answers, bounds, progress)
        for each in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(each, batch.interrupt)
        try:
            await batch.run(waiting)
        finally:
            progress.close()
    for line in summarize(batch, earlier, len(waiting), time.monotonic() - began):
        print(line)
    if batch.is_interrupted:
        return EXIT_INTERRUPTED
    is_answered = all("answer" in answers.records.get(question.id, {}) for question in questions)
    return EXIT_OK if is_answered else EXIT_FAILED


def summarize(batch: Batch, earlier: Sequence[Record], asked: int, duration_s: float) -> list[str]:
    """The tally, what earlier runs have done, and what is left."""
    lines = batch.tally.describe(duration_s)
    if failed := sum("error" in record for record in earlier):
        lines.append(f"failed for good in earlier runs: {failed}; --retry-failed asks again")
    if answered := len(earlier) - failed:
        lines.append(f"answered by earlier runs: {answered}")
    if left := asked - batch.tally.settled:
        lines.append(f"left for the next run: {left}")
    if batch.gave_up:
        lines.append(f"stopped: {batch.gave_up}")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    defaults: dict[str, Any] = {} if arguments.tenant is None else {"tenant_id": arguments.tenant}
    if arguments.include_trace:
        defaults["include_trace"] = True
    try:
        questions = read_questions(arguments.questions, defaults)
        with open_answers(arguments.answers) as answers:
            return asyncio.run(ask_all(arguments, answers, questions))
    except UnusableError as error:
        reason, status = str(error), EXIT_UNUSABLE
    except (bentoml.exceptions.BentoMLException, httpx.HTTPError, httpx.InvalidURL) as error:
        reason, status = f"{arguments.url}: no BentoML service answers there: {error}", EXIT_UNUSABLE
    except OSError as error:
        reason, status = f"{arguments.answers}: {error.strerror}", EXIT_FAILED
    except KeyboardInterrupt:
        reason, status = "interrupted before the first question", EXIT_INTERRUPTED
    print(f"error: {reason}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
