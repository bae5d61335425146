"""The batch client as a command, against a real server: it gets all its answers, whatever interrupts it."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from load.processes import ROOT
from load.server import Server
from tests.integration.asking import wait_for
from tests.integration.conftest import EXAMPLES, WINDOW_S

pytestmark = pytest.mark.integration

RUN_TIMEOUT_S: Final = 120
SEES_WITHIN_S: Final = 30
# Questions of different lengths: the server's log never has a question, but it has its length.
QUESTIONS: Final = [f"How many days of annual leave{' really' * count}?" for count in range(6)]


@dataclass(frozen=True, slots=True)
class Job:
    """One file of questions, one of answers, and a server that is asked by one caller."""

    folder: Path
    server: Server
    key: str

    @property
    def answers_path(self) -> Path:
        return self.folder / "answers.jsonl"

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        """The whole run."""
        return subprocess.run(
            self._command(*options),
            cwd=ROOT,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT_S,
            check=False,
        )

    @contextmanager
    def running(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """A run that is ended inside the block."""
        with (self.folder / "run.log").open("wb") as log:
            process = subprocess.Popen(
                self._command(*options), cwd=ROOT, env=self._environment(), stdout=log, stderr=log
            )
            try:
                yield process
            finally:
                process.kill()
                process.wait()

    def ask(self, *questions: str) -> None:
        """Writes the file; each question's number is its id."""
        lines = [json.dumps({"id": number, "question": text}) for number, text in enumerate(questions)]
        (self.folder / "questions.jsonl").write_text("\n".join(lines), "utf-8")

    def lines(self) -> list[dict[str, Any]]:
        """The whole lines of the answers."""
        if not self.answers_path.exists():
            return []
        return [json.loads(line) for line in self.answers_path.read_bytes().split(b"\n")[:-1]]

    def served(self) -> Counter[tuple[str | None, int]]:
        """How often the server has ended a question of this caller with which error, by the question's length."""
        ended = (json.loads(line) for line in self.server.log_path.read_text("utf-8").splitlines() if '"query_' in line)
        return Counter(
            (line["error_code"], line["input_chars"])
            for line in ended
            if (line["principal_id"], line["route"]) == (f"key:{self.key}", "/v1/query")
        )

    def _command(self, *options: str) -> list[str]:
        files = [str(self.folder / "questions.jsonl"), str(self.answers_path)]
        command = [sys.executable, "examples/batch_client.py", *files, "--url", self.server.url]
        return [*command, "--tenant", "demo" if self.key == "reader" else self.key, *options]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "BATCH_API_KEY": self.key, "BENTOML_DO_NOT_TRACK": "True"}


@pytest.fixture
def job(tmp_path: Path, guarded_server: Server) -> Job:
    """Asked by somebody who may ask often."""
    return Job(tmp_path, guarded_server, "reader")


@pytest.fixture
def hasty_job(tmp_path: Path, guarded_server: Server) -> Job:
    """Asked by somebody who may ask twice in a window of three seconds, about no documents."""
    return Job(tmp_path, guarded_server, "hasty")


def test_every_question_has_its_answer(job: Job) -> None:
    """One run, exit status 0, one line for each question, and a summary with the tokens."""
    job.ask(*QUESTIONS)

    done = job.run("--include-trace", "--concurrency", "3")

    assert done.returncode == 0, done.stderr
    lines = {line["id"]: line for line in job.lines()}
    assert len(job.lines()) == len(lines) == len(QUESTIONS)
    assert all(line["finish_reason"] == "stop" and line["citations"] for line in lines.values())
    assert "answered 6" in done.stdout
    assert "prompt_tokens" in done.stdout


def test_a_run_that_has_nothing_left_asks_nothing(job: Job) -> None:
    """What has an answer is never asked again."""
    job.ask(*QUESTIONS[:2])
    job.run()
    before = job.served()

    done = job.run()

    assert done.returncode == 0, done.stderr
    assert job.served() == before
    assert "answered by earlier runs: 2" in done.stdout


def test_a_killed_run_goes_on_where_it_was(hasty_job: Job) -> None:
    """SIGKILL in the middle, and a torn line: no question that had its answer is asked again, and the file is whole.

    The quota stops the first run after two answers, and the second one waits for it until all are answered.
    """
    job = hasty_job
    before = job.served()
    job.ask(*QUESTIONS)
    with job.running() as process:
        answered = wait_for(lambda: lines if len(lines := job.lines()) >= 2 else None, within_s=SEES_WITHIN_S)
        process.send_signal(signal.SIGKILL)
    with job.answers_path.open("ab") as file:
        file.write(b'{"id": "5", "question": "How many d')

    done = job.run()

    assert done.returncode == 0, done.stderr
    lines = job.lines()
    assert sorted(line["id"] for line in lines) == sorted(str(number) for number in range(len(QUESTIONS)))
    assert lines[: len(answered)] == answered
    served = job.served() - before
    assert all(served[None, len(line["question"])] == 1 for line in answered)
    assert "RATE_LIMITED" in done.stdout


def test_a_refused_question_waits_as_long_as_the_server_says(hasty_job: Job) -> None:
    """It comes when it was told to, and is let in: asked one at a time, no question is refused twice."""
    job = hasty_job
    before = job.served()
    job.ask(*QUESTIONS[:4])

    done = job.run("--concurrency", "1", "--patience", str(2 * WINDOW_S))

    assert done.returncode == 0, done.stderr
    refusals = {chars: count for (code, chars), count in (job.served() - before).items() if code == "RATE_LIMITED"}
    assert refusals
    assert set(refusals.values()) == {1}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_told_to_stop_ends_in_order(hasty_job: Job, number: signal.Signals) -> None:
    """Status 130, a summary, and nothing but whole lines; who waits for a quota does not wait to its end."""
    job = hasty_job
    job.ask(*QUESTIONS)
    with job.running() as process:
        wait_for(lambda: job.lines() or None, within_s=SEES_WITHIN_S)
        process.send_signal(number)
        status = process.wait(SEES_WITHIN_S)

    log = (job.folder / "run.log").read_text("utf-8")
    assert status == 130, log
    assert f"left for the next run: {len(QUESTIONS) - len(job.lines())}" in log
    assert job.answers_path.read_bytes().endswith(b"\n")


def test_what_failed_for_good_is_asked_again_only_if_wanted(job: Job) -> None:
    """422: recorded with its trace id, the others are answered, and the exit status is 1."""
    too_long = "x" * 2001
    job.ask(QUESTIONS[0], too_long)

    statuses = [job.run(*options).returncode for options in ([], [], ["--retry-failed"])]

    assert statuses == [1, 1, 1]
    answered, *failed = sorted(job.lines(), key=lambda line: str(line["id"]))
    assert "answer" in answered
    assert [line["error"]["code"] for line in failed] == ["VALIDATION_ERROR"] * 2
    assert len({line["error"]["trace_id"] for line in failed}) == 2


def test_a_key_that_is_not_known_stops_the_run(job: Job) -> None:
    """No question is recorded as failed for it."""
    stranger = Job(job.folder, job.server, "nobodys")
    stranger.ask(*QUESTIONS)

    done = stranger.run()

    assert done.returncode == 1
    assert "UNAUTHORIZED" in done.stdout
    assert stranger.lines() == []


def test_a_server_that_is_not_there_is_one_line(job: Job) -> None:
    """Status 2: the run could not begin."""
    job.ask(*QUESTIONS)

    done = Job(job.folder, Server("http://127.0.0.1:9", job.server.log_path, job.server.process), "reader").run()

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_the_real_service_answers_the_questions_that_come_with_it(tmp_path: Path, real_server: Server) -> None:
    """All of `examples/questions.jsonl` but the one that the documents do not answer."""
    job = Job(tmp_path, real_server, "reader")
    questions = (EXAMPLES.parent / "questions.jsonl").read_text("utf-8")
    (tmp_path / "questions.jsonl").write_text(questions, "utf-8")

    done = job.run("--concurrency", "2")

    assert done.returncode == 0, done.stdout + done.stderr
    assert {line["id"] for line in job.lines() if line["finish_reason"] == "no_answer"} <= {"not-in-the-documents"}
