"""The clock of the machine is set while the server runs: what counts seconds does not see it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from load.moved_clock import SEEN_AFTER_S, MovedClock, NoMovedClockError, moved_clock
from load.server import running_server
from schemas.errors import ErrorCode
from tests.integration.asking import CLIENT_TIMEOUT_S, Rag, assert_error, make_trace_id, read_answer, wait_for
from tests.servers import FAKE_MODELS, PATIENT, make_environment

pytestmark = pytest.mark.integration

HOUR_S = 3600
WINDOW_S = 600
QUESTION = "Where do visitors park?"


@pytest.fixture(scope="module")
def clock() -> Iterator[MovedClock]:
    try:
        with moved_clock() as movable:
            yield movable
    except NoMovedClockError as error:
        pytest.skip(str(error))


@pytest.fixture
def moved(clock: MovedClock, tmp_path: Path) -> Iterator[Rag]:
    """A server that limits by itself: two requests of the one caller in ten minutes."""
    limits = {"RAG_RATE_LIMIT_WINDOW_S": str(WINDOW_S), "RAG_RATE_LIMIT_REQUESTS": "2"}
    environment = make_environment(**FAKE_MODELS, **PATIENT, **limits, RAG_INDEX_DIR=str(tmp_path / "index"))
    with (
        running_server(tmp_path / "moved", {**environment, **clock.environment}) as server,
        httpx.Client(base_url=server.url, timeout=CLIENT_TIMEOUT_S) as client,
    ):
        yield Rag(client, server.log_path)


def refuse(rag: Rag) -> dict[str, Any]:
    """The log line of a request that is refused, for no longer than the window."""
    trace_id = make_trace_id()
    response = rag.ask(QUESTION, trace_id=trace_id)
    assert_error(response, ErrorCode.RATE_LIMITED)
    assert int(response.headers["retry-after"]) <= WINDOW_S
    return rag.log_line(trace_id)


@pytest.mark.parametrize("seconds", [HOUR_S, -HOUR_S])
def test_an_hour_neither_frees_nor_locks_out_a_caller(moved: Rag, clock: MovedClock, seconds: int) -> None:
    """The window of this process goes on as it was, times of a request stay small, and the log tells the new hour."""
    for _ in range(2):
        read_answer(moved.ask(QUESTION))
    clock.move(seconds)
    wait_for(lambda: hours_off(refuse(moved)) == seconds // HOUR_S, within_s=20 * SEEN_AFTER_S)
    clock.move(0)
    wait_for(lambda: hours_off(refuse(moved)) == 0, within_s=20 * SEEN_AFTER_S)

    totals = [line["latency_ms"]["total"] for line in read_query_lines(moved)]
    assert all(0 <= total < 60_000 for total in totals)


def hours_off(line: dict[str, Any]) -> int:
    """How many hours the line's time is from now."""
    off = datetime.fromisoformat(line["timestamp"]) - datetime.now(UTC)
    return round(off / timedelta(hours=1))


def read_query_lines(rag: Rag) -> list[dict[str, Any]]:
    lines = rag.log_path.read_text("utf-8", "replace").splitlines()
    return [json.loads(line) for line in lines if line.startswith('{"event": "query_')]
