"""Every line that a process writes is one JSON object: ours, BentoML's and uvicorn's, vLLM's, and Python's warnings."""

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Final

# What BentoML's access log says of a request, and of its response.
_ACCESS: Final = "bentoml.access"
_REQUEST: Final = re.compile(r"scheme=(?P<scheme>[^,]*),method=(?P<method>[^,]*),path=(?P<path>.*?)(,type=.*)?$")
_STATUS: Final = re.compile(r"status=(\d+)")
# Those to which the server gives handlers of its own before it imports the service.
_SERVERS_OWN: Final = ("", "bentoml", "uvicorn.error", "circus")


class JsonFormatter(logging.Formatter):
    """One JSON object per record: its text as `event`, and the fields given as `extra={"fields": {…}}`.

    Of an exception only the types and the places in the code are shown: a message may quote what a user wrote.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {  # any value that JSON can hold
            "event": record.getMessage(),
            "timestamp": now(),
            "level": record.levelname,
            "logger": record.name,
            **(_describe_access(record) if record.name == _ACCESS else getattr(record, "fields", {})),
        }
        if record.exc_info and record.exc_info[1]:
            line["exception"] = describe_exception(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)


class StdoutHandler(logging.Handler):
    """Writes where the query lines go: to the stdout of the moment, a whole line at once."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        write(self.format(record))


def open_handler() -> StdoutHandler:
    """For a process whose logging is configured from a file: warnings are lines of its log too."""
    logging.captureWarnings(True)
    return StdoutHandler()


def configure_logging(level: str) -> None:
    """Sends what `rag` logs to stdout, from this level on, and gives what the server logs the same form."""
    logging.captureWarnings(True)
    logger = logging.getLogger("rag")
    logger.handlers[:] = [StdoutHandler()]
    logger.setLevel(level)
    logger.propagate = False
    for name in _SERVERS_OWN:
        for handler in logging.getLogger(name).handlers:
            handler.setFormatter(JsonFormatter())
            handler.addFilter(is_news)
        logging.getLogger(name).propagate = False  # they have handlers; the root's would say it again


def is_news(record: logging.LogRecord) -> bool:
    """Whether it is worth a line: BentoML takes a client that has left for a failure of ours."""
    return record.exc_info is None or record.exc_info[0] is None or record.exc_info[0].__name__ != "ClientDisconnect"


def describe_exception(error: BaseException) -> list[str]:
    """The chain of causes, the last one first: `Type at file:line in function`, innermost frame."""
    described = []
    cause: BaseException | None = error
    while cause is not None:
        frames = traceback.extract_tb(cause.__traceback__)
        place = f" at {frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
        described.append(f"{type(cause).__qualname__}{place}")
        cause = cause.__cause__ or cause.__context__
    return described


def now() -> str:
    """UTC in ISO 8601, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write(line: str) -> None:
    """In one go, so that lines of several workers on one pipe do not mix."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _describe_access(record: logging.LogRecord) -> dict[str, Any]:
    """What BentoML puts into one text; nothing where it has another form."""
    if not isinstance(record.args, tuple) or len(record.args) != 4:  # client, request, response, ms
        return {}
    client, request, response, latency_ms = record.args
    asked, answered = _REQUEST.match(str(request)), _STATUS.match(str(response))
    if asked is None or answered is None:
        return {}
    return {
        "event": "access",
        "client": client,
        "method": asked["method"],
        "path": asked["path"],
        "status": int(answered[1]),
        "latency_ms": latency_ms,
    }
