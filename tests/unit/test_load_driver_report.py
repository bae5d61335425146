"""The load driver's report: kept as JSON, and safe and whole as a page."""

import asyncio
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from load.driver.figures import count_endings, draw_run, draw_sweep
from load.driver.markup import Markup, join, tag
from load.driver.memory import MemorySample
from load.driver.metrics import Objective
from load.driver.options import OBJECTIVE, SEED, parse_options
from load.driver.outcome import CUT_OFF, Ending, Outcome
from load.driver.own_server import make_settings, show_settings
from load.driver.page import render_page, render_sweeps
from load.driver.progress import Progress, showing
from load.driver.record import SCHEMA, Session, write_session
from load.driver.run import RunResult
from load.driver.scales import Scale, make_scale, show_tick
from load.driver.tables import find_faults, make_rows, render_table

VOID_TAGS = {"meta"}


def make_outcome(number: int, ending: Ending = Ending.OK, code: str | None = None) -> Outcome:
    is_ok = ending == Ending.OK
    return Outcome(
        trace_id=f"load-{number}",
        ending=ending,
        code=code,
        status=200 if is_ok else 503,
        scheduled_s=number * 0.25,
        sent_s=number * 0.25 + 0.001,
        ended_s=number * 0.25 + 1.5,
        is_stream=True,
        is_patient=True,
        ttft_s=0.5 if is_ok else None,
        gaps_s=(0.25, 0.125) if is_ok else (),
        prompt_tokens=100 if is_ok else None,
        completion_tokens=20 if is_ok else None,
        finish_reason="stop" if is_ok else None,
        stages_ms={"retrieval": 12, "total": 1400} if is_ok else {},
    )


def make_run(rate_per_s: float, refused: int = 1) -> RunResult:
    answered = [make_outcome(number) for number in range(8)]
    failed = [make_outcome(8, Ending.REFUSED, "CONCURRENCY_LIMIT")] * refused
    cut = make_outcome(9, Ending.CUT, CUT_OFF)
    memory = (MemorySample(0.0, 3 << 20, None), MemorySample(1.0, 5 << 20, 7 << 20))
    return RunResult("short", "open", 5.0, (*answered, *failed, cut), memory, rate_per_s=rate_per_s, duration_s=4.0)


def make_session(*runs: RunResult, target: str = "http://127.0.0.1:3000") -> Session:
    return Session(
        date="2026-05-10T10:00:00+00:00",
        seed=7,
        target=target,
        objective=Objective.parse("ttft:600,e2e:2000"),
        timeout_s=70.0,
        machine={"cpu": "a cpu", "cores": 2},
        versions={"python": "3.11"},
        server={"model_version": "rag-v1"},
        settings={},
        runs=runs or (make_run(2.0),),
    )


class Checker(HTMLParser):
    """Raises on an element that is not closed where it should be; gathers what a browser would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_file_holds_the_figures_and_what_they_were_counted_from(tmp_path: Path) -> None:
    """Who doubts a figure counts again."""
    session = make_session(make_run(2.0), make_run(4.0))
    path = tmp_path / "report.json"

    write_session(session, path)

    told = json.loads(path.read_text("utf-8"))
    assert told["schema"] == SCHEMA
    assert [len(run["outcomes"]) for run in told["runs"]] == [10, 10]
    assert told["runs"][0]["outcomes"][0]["gaps_s"] == [0.25, 0.125]
    assert told["runs"][0]["summary"]["endings"] == {"ok": 8, "refused": 1, "cut": 1}
    assert told["runs"][0]["summary"]["ttft_ms"]["p50"] == 500
    assert told["runs"][0]["summary"]["is_late"] is False


def test_the_plots_of_a_sweep_are_files_of_their_own() -> None:
    """docs/benchmarks.md shows one: whole SVG documents, with their colours in them."""
    plots = render_sweeps(make_session(make_run(2.0), make_run(4.0, refused=3)))

    assert [name.partition("-")[2] for name in plots] == ["goodput", "latency", "what-was-not-answered"]
    for plot in plots.values():
        assert ElementTree.fromstring(plot).tag.endswith("svg")
        assert "<style>" in plot
    assert not render_sweeps(make_session(make_run(2.0)))


def test_the_page_is_whole_and_loads_nothing() -> None:
    """It opens without a network, and every element is closed."""
    page = render_page(make_session(make_run(2.0), make_run(4.0, refused=3)))
    checker = Checker()
    checker.feed(page)

    assert checker.open == []
    assert not checker.tags & {"script", "link", "img", "iframe"}
    assert checker.links == []
    assert not re.search(r"url\(|@import", page)
    assert "NaN" not in page
    assert page.count("<svg") == 3 + 2 * 4  # the sweep's, and each run's


def test_the_page_escapes_what_it_is_given() -> None:
    """A target, a code or a server's own words are text, not markup."""
    evil = "<script>alert('x')</script>"
    run = replace(make_run(2.0), outcomes=(make_outcome(0), make_outcome(1, Ending.ERROR, evil)))

    page = render_page(replace(make_session(run, target=evil), server={"name": evil}, settings={"RAG_X": evil}))

    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 4


def test_markup_is_escaped_once() -> None:
    """What is markup already passes; in attributes quotes cannot end the value."""
    inner = tag("b", "a < b")

    assert tag("p", inner, " & c", class_='"x"', stroke_width=1.25) == (
        '<p class="&quot;x&quot;" stroke-width="1.2"><b>a &lt; b</b> &amp; c</p>'
    )
    assert isinstance(join("<", inner), Markup)


def test_scales_place_values_and_know_round_ones() -> None:
    """Linear ones begin at 0; logarithmic ones at a power of ten; what is outside stays on the plot."""
    linear = make_scale([3.0, 9.5], 0, 100)
    logarithmic = make_scale([20.0, 2000.0], 0, 100, is_log=True)

    assert linear.place(4.75) == 50
    assert linear.place(99) == 100
    assert linear.ticks() == [0, 2, 4, 6, 8]
    assert logarithmic.low == 10
    assert logarithmic.place(10) == 0
    assert logarithmic.ticks()[:4] == [10, 20, 50, 100]
    assert Scale(0.0, 0.004, 0, 1).ticks() == [0, 0.001, 0.002, 0.003, 0.004]
    assert [show_tick(value) for value in (0.5, 20.0, 1500.0, 2e6)] == ["0.5", "20", "1.5k", "2M"]


@pytest.mark.parametrize("values", [[], [0.0], [5.0]])
def test_a_scale_of_little_still_has_a_length(values: list[float]) -> None:
    """No division by nothing where there is nothing to see."""
    for is_log in (False, True):
        scale = make_scale(values, 0, 100, is_log=is_log)

        assert scale.low < scale.high
        assert 0 <= scale.place(1.0) <= 100


def test_endings_are_counted_by_when_the_clients_came() -> None:
    """A slow answer stands where its request was made, and columns are round seconds."""
    width_s, layers = count_endings([make_outcome(0), make_outcome(5), make_outcome(9, Ending.TIMEOUT)])

    assert width_s == 1
    assert layers == {"ok": [1, 1, 0], "timeout": [0, 0, 1]}


def test_a_sweep_is_drawn_from_two_rates_up() -> None:
    """One rate is no sweep, and a run without an answer still has its figures."""
    lone = make_session(make_run(2.0))
    nothing = replace(make_run(2.0), outcomes=(make_outcome(0, Ending.TIMEOUT, "CLIENT_TIMEOUT"),), memory=())

    assert draw_sweep(lone, "short") == []
    assert len(draw_sweep(make_session(make_run(2.0), make_run(4.0)), "short")) == 3
    assert len(draw_run(nothing, lone)) == 1


def test_the_table_shows_what_was_measured() -> None:
    """Rows that no run has are left out; codes are told one by one."""
    rows = dict(make_rows(make_session(make_run(2.0), make_run(4.0, refused=3))))

    assert rows["requests"] == ["10", "12"]
    assert rows["refused"] == ["1 (10.0%)", "3 (25.0%)"]
    assert rows["  code CONCURRENCY_LIMIT"] == ["1", "3"]
    assert rows["TTFT p50, ms"] == ["500", "500"]
    assert rows["RSS of the server, peak, MiB"] == ["5", "5"]
    assert not {"abandoned", "answers without a count of tokens"} & rows.keys()
    assert len({len(line) for line in render_table(make_session()).splitlines()}) == 1


def test_a_late_driver_is_shown_everywhere() -> None:
    """On the terminal, in the file and on the page: its times hold the driver's own."""
    late = replace(make_outcome(0), sent_s=0.5)
    session = make_session(replace(make_run(2.0), outcomes=(late,)))

    (fault,) = find_faults(session)
    assert "late by 500 ms" in fault
    assert 'class="warning"' in render_page(session)
    assert "500 LATE" in render_table(session)
    assert find_faults(make_session()) == []


async def test_progress_ends_with_what_became_of_all() -> None:
    """Its last line is about the end of the run, however short the run was."""
    out, progress = io.StringIO(), Progress("short, 2/s", 2)

    async with showing(progress, out):
        progress.on_sent()
        progress.on_ended(make_outcome(0))
        await asyncio.sleep(0)

    assert out.getvalue() == "short, 2/s: sent 1/2  in flight 0  ok 1\n"


def test_options_have_defaults_that_run() -> None:
    """A plain call drives a server of its own with the mixed scenario."""
    options = parse_options([])

    assert (options.url, options.is_fake, [each.name for each in options.scenarios]) == (None, False, ["mixed"])
    assert (options.rates_per_s, options.seed, str(options.objective)) == ((1.0,), SEED, OBJECTIVE)
    assert parse_options(["--rates", "1,2,4"]).rates_per_s == (1.0, 2.0, 4.0)


@pytest.mark.parametrize(
    "argv",
    [
        ["--scenario", "nothing"],
        ["--rate", "0"],
        ["--rates", "1,-2"],
        ["--rates", ""],
        ["--scenario", ""],
        ["--tenant", "", "--url", "http://x"],
        ["--streams", "8"],
        ["--requests", "8"],
        ["--warm-up", "-1"],
        ["--url", "http://x", "--fake"],
        ["--objective", "p99:5"],
    ],
    ids=" ".join,
)
def test_options_that_cannot_be_run_are_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Before a server is started, with a line that says why."""
    with pytest.raises(SystemExit) as ended:
        parse_options(argv)

    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_the_report_tells_no_secret_setting(tmp_path: Path) -> None:
    """Settings that change the figures are told; keys, addresses and places are not."""
    given = {
        "RAG_MAX_CONCURRENT_REQUESTS": "4",
        "RAG_GENERATOR_API_KEY": "sk",
        "RAG_GENERATOR_HEADERS": "{}",
        "RAG_REDIS_URL": "redis://:secret@x",
        "RAG_INDEX_DIR": "/home/me",
        "HOME": "/home/me",
    }

    shown = show_settings(given, is_fake=True)

    assert shown["RAG_MAX_CONCURRENT_REQUESTS"] == "4"
    assert not {"sk", "{}", "redis://:secret@x", "/home/me"} & set(shown.values())
    assert "RAG_GENERATOR_MODEL" not in make_settings(tmp_path, is_fake=False)
