"""Log in JSON: every log line of a process is one JSON object, whether it comes from us or from a library.

This covers BentoML, uvicorn, vLLM and Python's warnings.
"""

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Final

# BentoML's access log, and its descriptions of a request and of a response.
_ACCESS: Final = "bentoml.access"
_REQUEST: Final = re.compile(r"scheme=(?P<scheme>[^,]*),method=(?P<method>[^,]*),path=(?P<path>.*?)(,type=.*)?$")
_STATUS: Final = re.compile(r"status=(\d+)")
# The loggers that get handlers from the server before it imports the service.
_SERVERS_OWN: Final = ("", "bentoml", "uvicorn.error", "circus")


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: its text as `event`, plus the fields of `extra={"fields": {…}}`.

    An exception is reduced to its types and code locations, because its message may quote a user's text.
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
    """Writes each record as one whole line to the current `sys.stdout`, like the query log lines."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        write(self.format(record))


def open_handler() -> StdoutHandler:
    """Return a handler for a process whose logging is configured from a file, and log Python's warnings too."""
    logging.captureWarnings(True)
    return StdoutHandler()


def configure_logging(level: str) -> None:
    """Log `rag` to stdout from this level on, and reformat the server's own log lines in the same way."""
    logging.captureWarnings(True)
    logger = logging.getLogger("rag")
    logger.handlers[:] = [StdoutHandler()]
    logger.setLevel(level)
    logger.propagate = False
    for name in _SERVERS_OWN:
        for handler in logging.getLogger(name).handlers:
            handler.setFormatter(JsonFormatter())
            handler.addFilter(is_news)
        logging.getLogger(name).propagate = False  # they have handlers; the root logger's would repeat each line


def is_news(record: logging.LogRecord) -> bool:
    """Return False for `ClientDisconnect` errors, which BentoML logs as if the service had failed."""
    return record.exc_info is None or record.exc_info[0] is None or record.exc_info[0].__name__ != "ClientDisconnect"


def describe_exception(error: BaseException) -> list[str]:
    """Return `Type at file:line in function` (innermost frame) for the error, then for each of its causes."""
    described = []
    cause: BaseException | None = error
    while cause is not None:
        frames = traceback.extract_tb(cause.__traceback__)
        place = f" at {frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
        described.append(f"{type(cause).__qualname__}{place}")
        cause = cause.__cause__ or cause.__context__
    return described


def now() -> str:
    """Return the current UTC time in ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write(line: str) -> None:
    """Write the line in one call, so that lines of several workers on one pipe do not mix."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _describe_access(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields of a BentoML access log record; empty if the record has an unknown format."""
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
