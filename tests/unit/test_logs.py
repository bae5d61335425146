"""Log lines of libraries have the same form as ours."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from load.processes import ROOT
from rag.observability.logs import JsonFormatter, is_news

VLLM_LOGGING = ROOT / "rag" / "engines" / "vllm_logging.json"
LOGS_AND_WARNS = """
import json, logging, logging.config, pathlib, sys, warnings
logging.config.dictConfig(json.loads(pathlib.Path(sys.argv[1]).read_text()))
logging.getLogger("vllm.engine").info("ready in %d s", 3)
warnings.warn("old", FutureWarning)
"""


def describe(name: str, message: str, *args: object) -> dict[str, Any]:
    record = logging.LogRecord(name, logging.INFO, "file.py", 1, message, args, None)
    line: dict[str, Any] = json.loads(JsonFormatter().format(record))
    return line


def test_bentomls_access_log_is_taken_apart() -> None:
    """What it puts into one text are fields."""
    request = "scheme=http,method=POST,path=/embed_queries,type=application/json,length=19"
    response = "status=200,type=application/json,length=8000"

    line = describe("bentoml.access", "%s (%s) (%s) %.3fms", "127.0.0.1:5", request, response, 12.25)

    assert {"event", "timestamp", "level", "logger", "client", "method", "path", "status", "latency_ms"} == line.keys()
    assert (line["event"], line["method"], line["path"]) == ("access", "POST", "/embed_queries")
    assert (line["status"], line["latency_ms"]) == (200, 12.25)


@pytest.mark.parametrize("args", [(), ("a", "b", "c", "d"), ("x", "scheme=http,method=GET,path=/", "200", 1.0)])
def test_an_access_line_of_another_form_stays_a_text(args: tuple[object, ...]) -> None:
    """Another BentoML may write it otherwise; nothing is lost."""
    message = " ".join(["%s"] * len(args))

    assert describe("bentoml.access", message, *args)["event"] == message % args


@pytest.mark.parametrize(("error", "expected"), [(ClientDisconnect(), False), (ValueError(), True), (None, True)])
def test_a_client_that_has_left_is_no_failure(error: Exception | None, expected: bool) -> None:
    """BentoML writes an error of every probe that gave up while a model was loading."""
    told = None if error is None else (type(error), error, None)
    record = logging.LogRecord("bentoml", logging.ERROR, "file.py", 1, "Exception on /describe [POST]", (), told)

    assert is_news(record) is expected


def test_what_vllm_logs_and_warns_of_is_json(tmp_path: Path) -> None:
    """In its engine's process too, which is configured by the file alone."""
    command = [sys.executable, "-c", LOGS_AND_WARNS, str(VLLM_LOGGING)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    (line,) = map(json.loads, done.stdout.splitlines())
    assert (line["event"], line["logger"], line["level"]) == ("ready in 3 s", "vllm.engine", "INFO")
