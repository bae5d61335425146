"""Wire the ingestion command: settings, models, exit status."""

import os
import sys
from collections.abc import Sequence

import httpx

from rag.clients.runtime_client import RuntimeEmbedder, list_secrets, open_runtime
from rag.clients.runtime_protocols import embedding_protocol
from rag.config.environment import SettingsError, load_settings
from rag.config.settings import OURS, Settings
from rag.engines.fake import FakeEncoder
from rag.index.engine import IndexEngine
from rag.index.opening import open_engine
from rag.ingestion.arguments import parse_arguments
from rag.ingestion.command import EXIT_FAILED, run
from rag.ingestion.ingest import Ingestion
from rag.ingestion.ports import PassageEncoder, Watcher
from rag.ingestion.reading import open_file_reader
from rag.ingestion.runtime_encoder import RuntimeEncoder
from rag.model_card import describe_embedder, is_fake, served_embedder
from rag.models import describe, locate


def open_encoder(settings: Settings) -> PassageEncoder:
    """Load the embedder, or connect to the server that has it.

    Raises: FileNotFoundError: the model is not on this machine.
    """
    model = settings.embedder_model
    if settings.embedder_protocol != OURS:
        return _open_runtime_encoder(settings)
    if is_fake(model):
        return FakeEncoder()
    from rag.engines.sentence_transformer import SentenceEncoder  # noqa: PLC0415  # a runtime, which `list` does not need

    return SentenceEncoder(locate(model), describe(model))


def _open_runtime_encoder(settings: Settings) -> PassageEncoder:
    protocol, key = settings.embedder_protocol, settings.embedder_api_key
    dimension, name = describe_embedder(settings).dimension, served_embedder(settings)

    def make_embedder(client: httpx.AsyncClient, prompt: str) -> RuntimeEmbedder:
        return RuntimeEmbedder(
            client,
            embedding_protocol(protocol, name),
            dimension=dimension,
            passage_prompt=prompt,
            secrets=list_secrets(key),
        )

    return RuntimeEncoder(
        locate(settings.embedder_model, weights=False),
        lambda: open_runtime(protocol, str(settings.embedder_url), key),
        make_embedder,
    )


def main(argv: Sequence[str], *, prog: str) -> int:
    """Run the command; `prog` is its name in what it says of itself. Return the exit status."""
    arguments = parse_arguments(argv, prog=prog)
    try:
        settings = load_settings(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FAILED

    def make_ingestion(engine: IndexEngine, watcher: Watcher) -> Ingestion:
        return Ingestion(
            engine,
            watcher,
            lambda: describe_embedder(settings),
            lambda: open_encoder(settings),
            keeps_tokens=settings.keeps_tokens,
            open_reader=lambda: open_file_reader(settings.docling_url),
        )

    return run(arguments, open_engine(settings.secret_index_url, settings.index_dir), make_ingestion)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], prog="python -m rag.ingestion"))
