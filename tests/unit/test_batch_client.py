"""The parts of the batch client: requests, retries, and the content of the file whatever ended the run."""

import asyncio
import json
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what BentoML warns of while it is imported is not ours to mend
    from examples.batch_client import (
        AnswerFile,
        Batch,
        Bounds,
        Failure,
        Record,
        UnusableError,
        find_open,
        open_answers,
        parse_arguments,
        read_failure,
        read_questions,
        seconds_to_wait,
    )

EXAMPLE = Path(__file__).parents[2] / "examples" / "questions.jsonl"
WHOLE = b'{"id": "a", "question": "A?", "answer": "yes"}\n'
REFUSED = Failure("RATE_LIMITED", "spent", retryable=True, status=429, retry_after_s=0)
BROKEN = Failure("UPSTREAM_ERROR", "failed", retryable=True, status=502, retry_after_s=0)
INVALID = Failure("VALIDATION_ERROR", "too long", retryable=False, status=422)
UNKNOWN = Failure("UNAUTHORIZED", "who?", retryable=False, status=401)
ANSWER = {"answer": "yes", "finish_reason": "stop"}


def make_question(name: str) -> Record:
    return {"id": name, "question": f"{name}?"}


def error_record(code: str = "VALIDATION_ERROR", *, retryable: bool = False) -> Record:
    return {"id": "a", "question": "a?", "error": {"code": code, "retryable": retryable}}


class TestQuestions:
    def read(self, tmp_path: Path, content: str, **defaults: object) -> list[Record]:
        (tmp_path / "q.jsonl").write_text(content, "utf-8")
        return read_questions(tmp_path / "q.jsonl", defaults)

    def test_lines_have_ids_and_fields(self, tmp_path: Path) -> None:
        """A field of the line goes before a default; empty lines are none; 0 is an id."""
        content = '{"id": "a", "question": "A?", "tenant_id": "acme"}\n\n{"id": 0, "question": "B?"}\r\n'

        questions = self.read(tmp_path, content, tenant_id="demo")

        assert questions == [
            {"id": "a", "question": "A?", "tenant_id": "acme"},
            {"id": "0", "question": "B?", "tenant_id": "demo"},
        ]

    def test_lines_without_an_id_are_known_by_their_text(self, tmp_path: Path) -> None:
        """They may be moved and repeated: the same text is the same question."""
        first = self.read(tmp_path, '{"question": "A?"}\n{"question": "B?"}')
        second = self.read(tmp_path, '{"question": "B?"}\n{"question": "A?"}\n{"question": "A?"}')

        assert second == [*reversed(first)]

    def test_only_a_line_feed_ends_a_line(self, tmp_path: Path) -> None:
        """JSON may hold U+2028 as it is."""
        (question,) = self.read(tmp_path, '{"id": "a", "question": "A\u2028B"}')

        assert question["question"] == "A\u2028B"

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("{", "Expecting"),
            ("[]", "line 2 must be"),
            ('{"question": 5}', "line 2 must be"),
            ('{"id": "a", "question": "B?"}', "line 2: the id 'a' has another question already"),
        ],
    )
    def test_a_line_that_is_no_question_stops_the_run(self, tmp_path: Path, line: str, reason: str) -> None:
        """Before the first one is asked."""
        with pytest.raises(UnusableError, match=reason):
            self.read(tmp_path, f'{{"id": "a", "question": "A?"}}\n{line}\n')

    def test_the_questions_that_come_with_the_project_are_some(self) -> None:
        """About the example documents, in both languages."""
        assert len(read_questions(EXAMPLE, {})) >= 10


class TestAnswers:
    @pytest.mark.parametrize(
        ("content", "whole"),
        [
            (b"", b""),
            (WHOLE, WHOLE),
            (WHOLE + WHOLE[:20], WHOLE),
            (WHOLE[:-1], WHOLE),
            (WHOLE[:20], b""),
            (WHOLE + b'{"id": "' + "é".encode()[:1], WHOLE),
            (WHOLE + b"\0\0\0", WHOLE),
        ],
        ids=["empty", "whole", "torn", "only its end is missing", "the first is torn", "half a character", "zeros"],
    )
    def test_a_torn_last_line_is_healed(self, tmp_path: Path, content: bytes, whole: bytes) -> None:
        """What a killed run has left; whole lines stay as they are, and the next one goes after them."""
        path = tmp_path / "answers.jsonl"
        path.write_bytes(content)

        with open_answers(path) as answers:
            answers.append({"id": "b", "answer": "no"})

        assert path.read_bytes() == whole + b'{"id": "b", "answer": "no"}\n'

    @pytest.mark.parametrize(
        "content",
        [
            *(
                WHOLE + line + b"\n"
                for line in (b"{", b"5", b"{}", b'{"id": "a"}', b'{"id": 1, "answer": 1, "error": 2}', b"")
            ),
            WHOLE + b"What is asked?",
            b"What is asked?",
            b'{"id": "a", "question": "What is asked?"}',
        ],
    )
    def test_a_file_of_something_else_is_not_touched(self, tmp_path: Path, content: bytes) -> None:
        """Such as the questions, given twice."""
        path = tmp_path / "answers.jsonl"
        path.write_bytes(content)

        with pytest.raises(UnusableError, match="is no file of answers"), open_answers(path):
            pass

        assert path.read_bytes() == content

    def test_two_runs_do_not_share_a_file(self, tmp_path: Path) -> None:
        """The second ends before it reads anything."""
        path = tmp_path / "answers.jsonl"

        with (
            open_answers(path),
            pytest.raises(UnusableError, match="another run is writing there"),
            open_answers(path),
        ):
            pass

    def test_any_text_can_be_written(self, tmp_path: Path) -> None:
        """Half a surrogate pair is valid JSON and no UTF-8."""
        path = tmp_path / "answers.jsonl"

        with open_answers(path) as answers:
            answers.append({"id": "a", "answer": "\ud800 nghỉ phép"})

        with open_answers(path) as answers:
            assert answers.records["a"]["answer"] == "\ud800 nghỉ phép"


class TestResuming:
    @pytest.mark.parametrize(
        ("record", "retry_failed", "is_open"),
        [
            (None, False, True),
            ({"id": "a", "question": "a?", "answer": "yes"}, True, False),
            (error_record(), False, False),
            (error_record(), True, True),
            (error_record("UPSTREAM_ERROR", retryable=True), False, True),
        ],
    )
    def test_what_is_asked(self, record: Record | None, retry_failed: bool, is_open: bool) -> None:
        """What has an answer never; what failed for good only if wanted; what may pass in the next run."""
        question = make_question("a")
        records = {} if record is None else {"a": record}

        assert find_open([question], records, retry_failed=retry_failed) == [question] * is_open

    def test_an_answer_to_another_question_is_none_to_this(self) -> None:
        """A question that was changed under its id would keep the answer of the old one."""
        records = {"a": {"id": "a", "question": "Something else?", "answer": "yes"}}

        with pytest.raises(UnusableError, match="another question of the id 'a'"):
            find_open([make_question("a")], records, retry_failed=False)


class TestFailures:
    def test_an_error_of_the_service_is_read_whole(self) -> None:
        """Code, message, retryable and trace id are the body's, `Retry-After` is a header."""
        error = {"code": "RATE_LIMITED", "message": "spent", "trace_id": "tr_1", "retryable": True}

        failure = read_failure(429, {"retry-after": "7"}, json.dumps({"error": error}).encode())

        assert asdict(failure) == {**error, "status": 429, "retry_after_s": 7}

    @pytest.mark.parametrize(
        ("status", "retryable"),
        [(307, False), (404, False), (429, True), (500, False), (502, True), (503, True), (504, True)],
    )
    @pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"error": "no"}', b'{"error": {"code": 5}}', b"\xff"])
    def test_an_error_of_a_proxy_is_known_by_its_status(self, status: int, retryable: bool, body: bytes) -> None:
        """Its body says nothing; a `Retry-After` that is no number neither."""
        failure = read_failure(status, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, body)

        assert (failure.code, failure.retryable) == (f"HTTP_{status}", retryable)
        assert failure.retry_after_s is None

    @pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
    def test_nobody_comes_before_the_server_wants(self, jitter: float) -> None:
        """Jitter is added, never taken away."""
        refusal = Failure("RATE_LIMITED", "", retryable=True, status=429, retry_after_s=40)

        assert 40 <= seconds_to_wait(refusal, 5, jitter) <= 50

    def test_waits_double_up_to_a_minute(self) -> None:
        """Where the server does not say."""
        waits = [seconds_to_wait(Failure("UPSTREAM_ERROR", "", retryable=True), tries, 0) for tries in (1, 2, 3, 7, 99)]

        assert waits == [1, 2, 4, 60, 60]


class Service:
    """Answers each question with what is scripted for it, one after the other, and then with an answer."""

    def __init__(self, **script: list[Failure]) -> None:
        self.script = script
        self.asked: list[str] = []
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.was_asked = asyncio.Event()

    async def ask(self, question: Record) -> Record:
        self.asked.append(question["id"])
        self.was_asked.set()
        await self.is_open.wait()
        if failures := self.script.get(question["id"]):
            raise failures.pop(0)
        return ANSWER


@pytest.fixture
def answers(tmp_path: Path) -> Iterator[AnswerFile]:
    with open_answers(tmp_path / "answers.jsonl") as opened:
        yield opened


def make_batch(service: Service, answers: AnswerFile, *, concurrency: int = 1) -> Batch:
    return Batch(service.ask, answers, Bounds(concurrency, tries=3, patience_s=100))


QUESTIONS = [make_question(name) for name in "abc"]


class TestRun:
    async def test_every_question_has_its_line(self, answers: AnswerFile) -> None:
        """The request's fields, and the response's."""
        batch = make_batch(Service(), answers, concurrency=2)

        await batch.run(QUESTIONS)

        assert answers.records.keys() == {"a", "b", "c"}
        assert answers.records["a"].items() >= {"question": "a?", **ANSWER}.items()
        assert batch.counts["answered"] == {"stop": 3}

    async def test_a_refusal_is_no_try(self, answers: AnswerFile) -> None:
        """A server that has begun nothing may be asked until it is ready."""
        service = Service(a=[REFUSED] * 20)
        batch = make_batch(service, answers)

        await batch.run(QUESTIONS)

        assert service.asked == ["a"] * 21 + ["b", "c"]
        assert (batch.counts["answered"], batch.counts["refused"]) == ({"stop": 3}, {"RATE_LIMITED": 20})

    @pytest.mark.parametrize(
        ("status", "code", "asked"),
        [(429, "RATE_LIMITED", "a"), (503, "NOT_READY", "a"), (503, "CONCURRENCY_LIMIT", "abc")],
    )
    async def test_who_waits_for_a_refusal(self, answers: AnswerFile, status: int, code: str, asked: str) -> None:
        """A quota and a server that loads are everybody's; another question may find a place at once."""
        service = Service(a=[Failure(code, "", retryable=True, status=status, retry_after_s=60)])
        batch = make_batch(service, answers, concurrency=2)
        running = asyncio.create_task(batch.run(QUESTIONS))
        async with asyncio.timeout(10):
            while service.asked != list(asked):  # noqa: ASYNC110  # each question is asked in a task of its own
                await asyncio.sleep(0)

        batch.stop("asked to")
        await running

        assert service.asked == list(asked)

    async def test_a_failure_is_tried_again_within_bounds(self, answers: AnswerFile) -> None:
        """The third one is the last, and the run goes on."""
        service = Service(a=[BROKEN] * 3, b=[BROKEN] * 2)

        await make_batch(service, answers).run(QUESTIONS)

        assert service.asked == [*"aaa", *"bbb", "c"]
        assert answers.records["a"]["error"]["code"] == "UPSTREAM_ERROR"
        assert answers.records["b"]["answer"] == "yes"

    async def test_what_failed_for_good_is_asked_once(self, answers: AnswerFile) -> None:
        """It would fail again."""
        service = Service(a=[INVALID])
        batch = make_batch(service, answers)

        await batch.run(QUESTIONS)

        assert service.asked == ["a", "b", "c"]
        assert answers.records["a"]["error"] == asdict(INVALID)
        assert batch.counts["failed"] == {"VALIDATION_ERROR": 1}

    async def test_a_key_that_is_not_known_ends_the_run(self, answers: AnswerFile) -> None:
        """It is no fault of the question, which must not be recorded as failed for good."""
        service = Service(a=[UNKNOWN])
        batch = make_batch(service, answers)

        await batch.run(QUESTIONS)

        assert service.asked == ["a"]
        assert answers.records == {}
        assert batch.gave_up

    @pytest.mark.parametrize(
        "failure",
        [
            Failure("NOT_READY", "loading", retryable=True, status=503, retry_after_s=101),
            Failure("NO_CONNECTION", "away", retryable=True, status=503, retry_after_s=101),
        ],
    )
    async def test_a_server_that_lets_nothing_through_ends_the_run(self, answers: AnswerFile, failure: Failure) -> None:
        """A wait beyond the patience is not begun; all questions are left for the next run."""
        service = Service(a=[failure])
        batch = make_batch(service, answers)

        await batch.run(QUESTIONS)

        assert service.asked == ["a"]
        assert answers.records == {}
        assert batch.gave_up

    async def test_what_is_in_flight_at_the_stop_is_written(self, answers: AnswerFile) -> None:
        """And nothing else is asked."""
        service = Service()
        service.is_open.clear()
        batch = make_batch(service, answers)
        running = asyncio.create_task(batch.run(QUESTIONS))
        await service.was_asked.wait()

        batch.stop("asked to")
        service.is_open.set()
        await running

        assert service.asked == ["a"]
        assert answers.records.keys() == {"a"}

    async def test_a_wait_ends_with_the_run(self, answers: AnswerFile) -> None:
        """Nobody waits for a quota after Ctrl-C; the question is left for the next run."""
        service = Service(a=[Failure("RATE_LIMITED", "", retryable=True, status=429, retry_after_s=60)])
        batch = make_batch(service, answers)
        running = asyncio.create_task(batch.run(QUESTIONS))
        await service.was_asked.wait()

        batch.stop("asked to")
        await running

        assert batch.counts["refused"] == {"RATE_LIMITED": 1}
        assert answers.records == {}

    async def test_answers_that_cannot_be_written_end_the_run(
        self, answers: AnswerFile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A full disk is told, and no more questions are spent on it."""
        service = Service()

        def fail(record: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(answers, "append", fail)

        with pytest.raises(OSError, match="No space left"):
            await make_batch(service, answers).run(QUESTIONS)

        assert service.asked == ["a"]


class TestSummary:
    async def test_it_counts_what_happened(self, answers: AnswerFile) -> None:
        """Answers, failures and refusals by code."""
        batch = make_batch(Service(a=[INVALID], b=[REFUSED]), answers)

        await batch.run(QUESTIONS)

        assert batch.describe() == [
            "answered 2 {'stop': 2}",
            "failed 1 {'VALIDATION_ERROR': 1}",
            "refused 1 {'RATE_LIMITED': 1}",
        ]

    @pytest.mark.parametrize("options", [["--concurrency", "0"], ["--tries", "x"]])
    def test_a_bad_option_is_one_line(self, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
        """With status 2, as every command has it."""
        with pytest.raises(SystemExit, match="2"):
            parse_arguments(["q", "a", *options])

        assert f"error: argument {options[0]}" in capsys.readouterr().err
