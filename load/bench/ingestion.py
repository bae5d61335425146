"""Compare ingestion with a bare loop over the same model: the cost of parsing, chunking, indexing and writing."""

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from load.bench.driving import verdict
from rag.config.environment import load_settings
from rag.engines.forward import EncoderModel
from rag.engines.sentence_transformer import BATCH_TEXTS, SentenceEncoder
from rag.index.files import FileEngine
from rag.index.store import IndexStore
from rag.index.version import TenantIndex
from rag.ingestion.ingest import Ingestion
from rag.ingestion.sources import Source
from rag.models import describe, locate
from rag.parsing import SUFFIXES, parse
from rag.text.language import sentence_spans

DOCUMENTS: Final = 120
SENTENCES_PER_DOCUMENT: Final = (3, 9)
ROUNDS: Final = 3
GOAL: Final = 0.85
SEED: Final = 20260510


class Silent:
    """A watcher that shows no progress bars, which should not be measured."""

    def tell(self, line: str) -> None:
        print(line, file=sys.stderr)

    @contextmanager
    def measure(self, what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        yield lambda _: None


def write_documents(folder: Path, examples: Path) -> list[Source]:
    """Write documents of random sentences from the examples, as long and as mixed in language as those."""
    random.seed(SEED)
    texts = [parse(path).text for path in sorted(examples.iterdir()) if path.suffix in SUFFIXES]
    sentences = [text[start:end] for text in texts for start, end in sentence_spans(text)]
    sources = []
    for number in range(DOCUMENTS):
        chosen = random.sample(sentences, random.randint(*SENTENCES_PER_DOCUMENT))  # noqa: S311  # no secret
        path = folder / f"{number:04}.txt"
        path.write_text("\n\n".join(chosen), "utf-8")
        sources.append(Source(path, path.stem))
    return sources


def time_bare_loop(model: EncoderModel, texts: Sequence[str]) -> float:
    """Return the seconds of the same model in the simplest fast loop: sorted by length, in batches of the same size."""
    started = time.monotonic()
    ordered = sorted((f"passage: {text}" for text in texts), key=len, reverse=True)
    for start in range(0, len(ordered), BATCH_TEXTS):
        model.forward(ordered[start : start + BATCH_TEXTS])
    return time.monotonic() - started


def time_ingestion(encoder: SentenceEncoder, sources: Sequence[Source], folder: Path) -> float:
    """Return the seconds from files to a serving version: parse, chunk, embed, index, write and switch."""
    ingestion = Ingestion(
        FileEngine(IndexStore(folder)), Silent(), lambda: encoder.info, lambda: encoder, keeps_tokens=True
    )
    started = time.monotonic()
    ingestion.add("bench", sources)
    return time.monotonic() - started


def stored_texts(folder: Path) -> list[str]:
    """Return the texts of all chunks in the index."""
    index = IndexStore(folder).read("bench", TenantIndex)
    assert index is not None, "it was just published"
    return [chunk.text for chunk in index.chunks(range(index.version.chunks))]


def print_ingestion() -> None:
    """Measure and print the ratio of ingestion to the bare loop, in chunks per second, as the median of the rounds."""
    model = load_settings(os.environ).embedder_model
    encoder = SentenceEncoder(locate(model), describe(model))
    encoder.encode_passages(["warm"] * BATCH_TEXTS)
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        sources = write_documents(Path(folder), Path("examples/documents"))
        for number in range(ROUNDS):
            index_dir = Path(folder) / f"index-{number}"
            ingestion_s = time_ingestion(encoder, sources, index_dir)
            texts = stored_texts(index_dir)
            bare_s = time_bare_loop(encoder.model, texts)
            ratios.append(bare_s / ingestion_s)
            print(f"round {number + 1}: {len(texts)} chunks, ingestion {len(texts) / ingestion_s:.1f}/s, "
                  f"bare loop {len(texts) / bare_s:.1f}/s, ratio {ratios[-1]:.2f}", file=sys.stderr)  # fmt: skip
    ratio = sorted(ratios)[len(ratios) // 2]
    print(f"ingestion / bare encode loop, chunks per second: {ratio:.2f} (goal {GOAL}: {verdict(ratio >= GOAL)})")
