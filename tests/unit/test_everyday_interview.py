"""The everyday interview with a server that always gives the same answer."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from load.evaluation.answers import NoAnswersError
from load.evaluation.everyday import EverydayQuestion
from load.evaluation.everyday.interview import EverydayInterview
from load.evaluation.everyday.questions import EverydayPart, PartName
from tests.unit.evaluation_replies import respond, trace_of

ANSWER = respond(trace=trace_of()).model_dump_json().encode()
ERROR = json.dumps({"error": {"code": "MODEL_TIMEOUT", "message": "late", "trace_id": "t", "retryable": True}}).encode()


class Handler(BaseHTTPRequestHandler):
    """Answers every question; one whose text says so it fails."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        fails = asked["question"].startswith("fail")
        body = ERROR if fails else ANSWER
        self.send_response(504 if fails else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Says nothing."""


@contextmanager
def talking_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def make_part(name: PartName, *texts: str) -> EverydayPart:
    questions = (
        EverydayQuestion(question_id=f"en-{number}", kind="fact", language="en", text=text, facts=(("12 days",),))
        for number, text in enumerate(texts)
    )
    return EverydayPart(name, (), tuple(questions))


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_each_part_has_its_answers_in_files_of_its_own(tmp_path: Path) -> None:
    """Who tunes the service on one part need not see the other; a part that is not asked has no files."""
    parts = [make_part("tuning", "how many days?", "fail, please"), make_part("held-out", "secret?")]

    with talking_server() as url:
        found = await EverydayInterview(parts, tmp_path).run(["tuning"], {}, url)

    assert list(found) == ["tuning"]
    assert found["tuning"].kinds == {"fact": {"right": 1, "failed": 1}}
    assert written(tmp_path) == ["everyday-tuning.jsonl", "everyday-tuning.md"]
    lines = map(json.loads, (tmp_path / "everyday-tuning.jsonl").read_text("utf-8").splitlines())
    assert [(line["id"], line["verdict"], line["error"]) for line in lines] == [
        ("en-0", "right", None),
        ("en-1", "failed", "MODEL_TIMEOUT"),
    ]


async def test_a_server_that_fails_all_questions_has_no_quality(tmp_path: Path) -> None:
    """One line names the error, instead of a table of zeros."""
    with talking_server() as url, pytest.raises(NoAnswersError, match="MODEL_TIMEOUT"):
        await EverydayInterview([make_part("tuning", "fail")], tmp_path).run(["tuning"], {}, url)
