"""Wire the ingestion command: settings, models, exit status."""

import os
import sys
from collections.abc import Sequence

from rag.config.environment import SettingsError, load_settings
from rag.config.model_ref import ModelRef
from rag.engines.fake import FakeEncoder
from rag.index.store import IndexStore
from rag.ingestion.command import EXIT_FAILED, parse_arguments, run
from rag.ingestion.ingest import Ingestion, PassageEncoder, Watcher
from rag.models import describe, locate
from rag.types import ModelInfo


def describe_encoder(model: str) -> ModelInfo:
    """Return the identity of the embedder without loading it."""
    return FakeEncoder.info if ModelRef.parse(model).kind == "fake" else describe(model)


def open_encoder(model: str) -> PassageEncoder:
    """Load the embedder."""
    if ModelRef.parse(model).kind == "fake":
        return FakeEncoder()
    from rag.engines.sentence_transformer import SentenceEncoder  # noqa: PLC0415  # a runtime, which `list` does not need

    return SentenceEncoder(locate(model), describe(model))


def main(argv: Sequence[str], *, prog: str) -> int:
    """Run the command; `prog` is its name in what it says of itself. Return the exit status."""
    arguments = parse_arguments(argv, prog=prog)
    try:
        settings = load_settings(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FAILED
    model = settings.embedder_model

    def make_ingestion(store: IndexStore, watcher: Watcher) -> Ingestion:
        return Ingestion(
            store,
            watcher,
            lambda: describe_encoder(model),
            lambda: open_encoder(model),
            keeps_tokens=settings.keeps_tokens,
        )

    return run(arguments, settings.index_dir, make_ingestion)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], prog="python -m rag.ingestion"))
