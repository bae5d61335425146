"""Fixtures of the contract tests, which send HTTP to the real routes behind the real edge, on fake models."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rag.observability.logs import configure_logging

LogLines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def log_lines(capsys: pytest.CaptureFixture[str]) -> LogLines:
    """The query lines on stdout since the last call."""

    def read() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
        return [line for line in lines if str(line["event"]).startswith("query_") and "route" in line]

    return read


@pytest.fixture
def own_logging(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Logging as the service sets it up, at its most talkative."""
    logger = logging.getLogger("rag")
    before = (logger.handlers[:], logger.level, logger.propagate)
    configure_logging("DEBUG")
    yield
    logger.handlers[:], logger.level, logger.propagate = before
