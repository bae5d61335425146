"""Render the report as one HTML file without scripts or external resources, for light and dark, wide and narrow."""

import json
from collections.abc import Iterable, Mapping
from typing import Final

from load.driver.figures import Figure, draw_run, draw_sweep
from load.driver.markup import Markup, join, tag
from load.driver.record import Session
from load.driver.tables import find_faults, make_rows

_STYLE: Final = Markup("""
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #667080; --paper: #fff; --line: #d8dde3; --warn: #fff0c2;
  --c0: #2368c4; --c1: #e08a00; --c2: #c23b70; --c3: #b3261e; --c4: #6d4bb5; --c5: #3f9d6b; --c6: #8a94a0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #9aa5b1; --paper: #14171b; --line: #333a42;
  --warn: #4a3a08; --c0: #6ba7f5; --c1: #f3b04d; --c2: #ee7ba6; --c3: #f2857d; --c4: #b094ee; --c5: #71cc9b; } }
body { font: 16px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 76rem; padding: 1rem;
  color: var(--ink); background: var(--paper); }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; } h3 { font-size: 1rem; margin: .3rem 0; }
.figures { display: grid; gap: 1.2rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); }
figure { margin: 0; } svg { width: 100%; height: auto; display: block; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--paper); }
.warning { background: var(--warn); padding: .6rem .8rem; border-radius: .3rem; }
dt { color: var(--soft); } dd { margin: 0 0 .4rem; overflow-wrap: anywhere; }
text { font: 12px system-ui, sans-serif; fill: var(--ink); } .tick { fill: var(--soft); font-size: 11px; }
.grid { stroke: var(--line); } .axis { stroke: var(--soft); } .line { fill: none; stroke-width: 2; }
.dashed { stroke-dasharray: 4 4; }
""")
_COLOURS: Final = Markup(
    "".join(f".line.c{n} {{ stroke: var(--c{n}); }} .area.c{n}, .dot.c{n} {{ fill: var(--c{n}); }}\n" for n in range(7))
)
_HEAD: Final = Markup('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
                      '<meta name="viewport" content="width=device-width, initial-scale=1">')  # fmt: skip
_NOTES: Final = (
    "TTFT runs from sending to the first text that is not empty, ITL between events with text (which are words, not "
    "tokens), TPOT over the tokens after the first, E2E until the last event. Only whole answers to clients that would "
    "not have left are among them; refusals, timeouts, errors and replies that broke off are counted apart.",
    "Rates are over the whole run, until its last answer has ended, as in vLLM's benchmark_serving; sent is over the "
    "time in which clients came. Goodput counts whole answers that keep every limit of the objective.",
)


def render_page(session: Session) -> str:
    """Render the whole document."""
    scenarios = dict.fromkeys(run.scenario for run in session.runs)
    sweeps = [_show_figures(f"Sweep: {name}", draw_sweep(session, name)) for name in scenarios]
    runs = [_show_figures(run.title, draw_run(run, session)) for run in session.runs]
    body = tag(
        "body",
        tag("h1", f"Load on {session.target}, {session.date}"),
        *(tag("p", fault, class_="warning") for fault in find_faults(session)),
        *sweeps,
        tag("h2", "Figures"),
        _show_table(session),
        *(tag("p", note) for note in _NOTES),
        *runs,
        tag("h2", "How it was measured"),
        _describe(session),
    )
    head = tag("title", f"Load, {session.date}")
    return join(_HEAD, head, tag("style", _STYLE, _COLOURS), Markup("</head>"), body, Markup("</html>\n"))


def render_sweeps(session: Session) -> dict[str, str]:
    """Render the plots of each sweep as self-contained SVG files, by name."""
    style = tag("style", _STYLE, _COLOURS)
    return {
        f"{scenario}-{figure.title.lower().replace(' ', '-')}": figure.plot.replace(">", f">{style}", 1)
        for scenario in dict.fromkeys(run.scenario for run in session.runs)
        for figure in draw_sweep(session, scenario)
    }


def _show_figures(title: str, figures: Iterable[Figure]) -> Markup:
    shown = [tag("figure", tag("h3", figure.title), figure.plot) for figure in figures]
    return join(tag("h2", title), tag("div", *shown, class_="figures")) if shown else Markup()


def _show_table(session: Session) -> Markup:
    head = tag("tr", tag("th", ""), *(tag("th", run.title) for run in session.runs))
    rows = [
        tag("tr", tag("td", title), *(tag("td", value) for value in values)) for title, values in make_rows(session)
    ]
    return tag("div", tag("table", tag("thead", head), tag("tbody", *rows)), class_="wide")


def _describe(session: Session) -> Markup:
    facts = {
        "date": session.date,
        "seed": str(session.seed),
        "objective": str(session.objective),
        "a client waits at most": f"{session.timeout_s:g} s",
        "machine of the driver": _list(session.machine),
        "versions": _list(session.versions),
        "settings of the server": _list(session.settings),
        "the server on itself": json.dumps(session.server, ensure_ascii=False),
    }
    return tag("dl", *(join(tag("dt", name), tag("dd", value)) for name, value in facts.items() if value))


def _list(facts: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())
