"""Render the measurements as JSON for programs, and as a Markdown table for docs/benchmarks.md, one column a size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from load.growth.building import Built, Ingested
from load.growth.searching import Latency, Searched

_MB: Final = 1e6


@dataclass(frozen=True, slots=True)
class Size:
    """The measurements of one size.

    `exact`, `approximate` and `lexical` are parts built alone; `parts` are the bytes on disk by part.
    `approximate.dense.kind` is `flat` if neither graphs nor lists find enough; then it was not searched.
    """

    ingested: Ingested
    parts: dict[str, int]
    exact: Built
    approximate: Built
    lexical: Built
    searched: Searched
    added: Ingested

    @property
    def chunks(self) -> int:
        """The number of chunks that were ingested."""
        return self.ingested.chunks


@dataclass(frozen=True, slots=True)
class Report:
    """The measurements of all sizes, with the machine and the versions that they hold for."""

    date: str
    machine: Mapping[str, str | int | float]
    versions: dict[str, str]
    sizes: Sequence[Size]

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        return asdict(self)


def render_table(sizes: Sequence[Size]) -> str:
    """Render the table in Markdown."""
    lines = [f"| | {' | '.join(f'{size.chunks:,} chunks' for size in sizes)} |", "|---|" + "---:|" * len(sizes)]
    lines += [f"| {name} | {' | '.join(map(show, sizes))} |" for name, show in _ROWS]
    return "\n".join(lines)


def _show_seconds(seconds: float) -> str:
    return f"{seconds:.3g}" if seconds < 100 else f"{seconds:.0f}"


def _show_latency(latency: Latency | None) -> str:
    return f"{latency.p50_ms:.3g} / {latency.p99_ms:.3g}" if latency else "–"


def _show_mb(size_bytes: float) -> str:
    return f"{size_bytes / _MB:,.3g}" if size_bytes < 1000 * _MB else f"{size_bytes / _MB:,.0f}"


def _show_kind(size: Size) -> str:
    dense = size.approximate.dense
    assert dense is not None
    if dense.kind == "hnsw":
        return f"a graph, {dense.probes} nodes in sight"
    return f"{dense.probes} of {dense.lists}" if dense.kind == "ivf" else "none will do"


def _show_recall(size: Size) -> str:
    return "–" if size.searched.recall_at_10 is None else f"{size.searched.recall_at_10:.3f}"


_ROWS: Final[Sequence[tuple[str, Callable[[Size], str]]]] = (
    ("ingestion without the model, s", lambda size: _show_seconds(size.ingested.seconds)),
    ("– reading and cutting, s", lambda size: _show_seconds(size.ingested.read_s)),
    ("– building and publishing, s", lambda size: _show_seconds(size.ingested.publish_s)),
    ("– its own memory at the most, MB", lambda size: _show_mb(size.ingested.own_peak_bytes)),
    ("– and with mapped files, MB", lambda size: _show_mb(size.ingested.resident_peak_bytes)),
    ("lexical part alone, s", lambda size: _show_seconds(size.lexical.seconds)),
    ("exact dense part alone, s", lambda size: _show_seconds(size.exact.seconds)),
    ("approximate dense part alone, s", lambda size: _show_seconds(size.approximate.seconds)),
    ("one more document, s", lambda size: _show_seconds(size.added.seconds)),
    ("– its own memory at the most, MB", lambda size: _show_mb(size.added.own_peak_bytes)),
    ("disk: vectors, MB", lambda size: _show_mb(size.parts["dense"])),
    ("disk: words, MB", lambda size: _show_mb(size.parts["lexical"])),
    ("disk: chunks, MB", lambda size: _show_mb(size.parts["chunks"])),
    ("opening a version, s", lambda size: _show_seconds(size.searched.opened.seconds)),
    (
        "its own memory, opened, MB",
        lambda size: _show_mb(size.searched.opened.loaded.own_bytes - size.searched.opened.before.own_bytes),
    ),
    (
        "its own memory after 200 questions, MB",
        lambda size: _show_mb(size.searched.opened.searched.own_bytes - size.searched.opened.before.own_bytes),
    ),
    (
        "mapped files after 200 questions, MB",
        lambda size: _show_mb(size.searched.opened.searched.mapped_bytes - size.searched.opened.before.mapped_bytes),
    ),
    ("search by words, p50 / p99 ms", lambda size: _show_latency(size.searched.lexical)),
    ("exact search by vector, p50 / p99 ms", lambda size: _show_latency(size.searched.exact)),
    ("approximate search by vector, p50 / p99 ms", lambda size: _show_latency(size.searched.approximate)),
    ("– lists probed", _show_kind),
    ("– Recall@10 of questions", _show_recall),
    ("both searches, fused, p50 / p99 ms", lambda size: _show_latency(size.searched.retrieval)),
)
