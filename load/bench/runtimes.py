"""`python -m load.bench.runtimes`: passages a second of the embedder that the environment names, ours or another's.

It embeds the passages of examples/documents several times, as the ingestion would.
"""

import os
import sys
import time
from typing import Final

from load.processes import ROOT
from rag.config.environment import load_settings
from rag.ingestion.__main__ import open_encoder
from rag.ingestion.ports import PassageEncoder
from rag.parsing import parse
from rag.parsing.chunking import CONTEXT_TOKENS, split

PASSAGES: Final = 256


def read_passages(encoder: PassageEncoder) -> list[str]:
    """Cut the example documents as the ingestion does, and repeat the passages up to their number."""
    limit_tokens = encoder.limit_tokens - CONTEXT_TOKENS
    files = sorted((ROOT / "examples" / "documents").iterdir())
    texts = [span.text for file in files for span in split(parse(file), encoder, limit_tokens=limit_tokens)]
    return (texts * (PASSAGES // len(texts) + 1))[:PASSAGES]


def main() -> int:
    settings = load_settings(os.environ)
    encoder = open_encoder(settings)
    texts = read_passages(encoder)
    encoder.read_passages(texts[:32])
    began = time.monotonic()
    encoder.read_passages(texts)
    seconds = time.monotonic() - began
    tokens = sum(encoder.count(text) for text in texts) / len(texts)
    print(f"{settings.embedder_protocol}: {PASSAGES / seconds:.1f} passages/s of {tokens:.0f} tokens")
    return 0


if __name__ == "__main__":
    sys.exit(main())
