"""Check the models and the tenants' indexes."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

from rag import models
from rag.config.model_ref import ModelRef
from rag.config.settings import OURS, Settings
from rag.index.engine import IndexEngine, PublishedVersion
from rag.index.manifest import BrokenIndexError
from rag.index.opening import open_engine
from rag.model_card import describe_embedder, is_fake, served_reranker
from rag.preflight.finding import Finding
from rag.types import ModelInfo

ROLES: Final = ("embedder", "reranker", "verifier", "generator")
WEIGHTS: Final = frozenset({".safetensors", ".bin", ".gguf", ".pt"})


def check_models(settings: Settings) -> Iterator[Finding]:
    """Check that each configured model is pinned and present, with its weights unless another host serves it.

    Only this machine is searched: the caller must set HF_HUB_OFFLINE to prevent downloads.
    """
    elsewhere = {
        "embedder": settings.embedder_url,
        "reranker": settings.reranker_url,
        "verifier": settings.reranker_url,
        "generator": settings.generator_url,
    }
    for role in ROLES:
        model = getattr(settings, f"{role}_model")
        if role == "reranker" and settings.reranker_protocol != OURS:
            found = f"{served_reranker(settings)}, on a server of another kind; no files are needed here"
            yield Finding("ok", "reranker model", found)
        elif model is not None:
            yield _judge_model(f"{role} model", model, weights=elsewhere[role] is None)
        elif role == "generator":
            yield Finding("ok", "generator model", "none: answers are quotations")


def _judge_model(name: str, model: str, *, weights: bool) -> Finding:
    ref = ModelRef.parse(model)
    if ref.kind == "fake":
        return Finding("missing", name, "it is a fake one", "name a real model")
    if not ref.pinned:
        return Finding("missing", name, f"{model} may be another one tomorrow", "name its revision")
    try:
        folder, info = models.locate(model, weights=weights), models.describe(model)
    except FileNotFoundError as error:
        return Finding("missing", name, str(error), "bring the model into the image or mount it")
    if weights and not any(file.suffix in WEIGHTS for file in folder.rglob("*")):
        return Finding("missing", name, f"{model} is here without its weights", "fetch all of its files")
    where = "" if weights else "; its weights are on another host"
    return Finding("ok", name, f"{model}, revision {info.revision}{where}")


def check_index(settings: Settings) -> Iterator[Finding]:
    """Check where the indexes are, and each tenant's serving version; all of its content is compared with its seals."""
    engine = open_engine(settings.secret_index_url, settings.index_dir)
    if settings.index_url is None:
        reachable = yield from _check_folder(settings.index_dir)
        if not reachable:
            return
    try:
        tenants = engine.tenants()
    except OSError as error:
        yield Finding("missing", "index", f"it cannot be reached: {error}", "start it, or RAG_INDEX_URL")
        return
    if not tenants:
        where = settings.index_dir if settings.index_url is None else "the engine at RAG_INDEX_URL"
        yield Finding("missing", "index", f"{where} has no tenant", "python -m rag.ingestion add --tenant T PATH")
    embedder = None if is_fake(settings.embedder_model) else _describe_embedder(settings)
    for tenant_id in tenants:
        yield _judge_version(engine, tenant_id, embedder, keeps_tokens=settings.keeps_tokens)


def _check_folder(folder: Path) -> Generator[Finding, None, bool]:
    """Check the folder of an index in files; returns whether it can be read."""
    if not os.access(folder, os.R_OK | os.X_OK):
        yield Finding("missing", "index", f"{folder} is not there or cannot be read", "mount it, or RAG_INDEX_DIR")
        return False
    if os.access(folder, os.W_OK):
        yield Finding("warning", "index folder", f"{folder} can be written to", "mount it read-only for the front")
    return True


def _describe_embedder(settings: Settings) -> ModelInfo | None:
    try:
        return describe_embedder(settings)
    except FileNotFoundError:
        return None  # `check_models` reports it


def _judge_version(engine: IndexEngine, tenant_id: str, embedder: ModelInfo | None, *, keeps_tokens: bool) -> Finding:
    name, again = f"index of {tenant_id}", f"python -m rag.ingestion add --tenant {tenant_id} PATH"
    try:
        stored = engine.verify(tenant_id)
    except (BrokenIndexError, OSError) as error:
        return Finding("missing", name, f"it is damaged: {error}", again)
    if stored is None or not stored.manifest.chunks:
        return Finding("warning", name, "it has no documents: every answer is no_answer", again)
    manifest = stored.manifest
    if embedder is not None and manifest.embedder != embedder:
        found = f"made by the embedder {manifest.embedder.name} {manifest.embedder.revision}, which is not the one set"
        return Finding("missing", name, found, "ingest everything again, or set that embedder")
    if keeps_tokens and not manifest.has_tokens:
        return Finding("warning", name, "without token vectors: reranking reads each passage", again)
    return Finding("ok", name, _describe_version(stored))


def _describe_version(stored: PublishedVersion) -> str:
    manifest = stored.manifest
    return f"{stored.name}, {manifest.documents} documents, {manifest.chunks} chunks, built at {manifest.built_at}"
