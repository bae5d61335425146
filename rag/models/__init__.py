"""Find the files, the exact revision and the relevance scale of a configured model, without loading any weights."""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from rag.config.model_ref import ModelRef
from rag.types import ModelInfo, RelevanceScale

# Of a large file the digest covers the size and both ends: reading 16 GB of weights at each start would take a minute.
EDGE_BYTES: Final = 1 << 20
REVISION_CHARS: Final = 12
# XQuAD, 300 questions per language, one index with 150 passages in each language. For questions that only a passage in
# the other language answers, these shifts rank it first for 0.76 (en) and 0.68 (vi); without them for 0.49 and 0.22.
# For questions with a passage in their own language, 0.97 and 0.94 find it first (0.98 and 0.96 without the shifts).
# 99 % of the answering passages are above 0.79 within a language, and above 0.75 across languages, shift included.
LATE_INTERACTION_SCALE: Final = RelevanceScale(0.755, {("en", "vi"): 0.033, ("vi", "en"): 0.057})
# A sigmoid's scale: not measured, and low on purpose, because a missed answer costs more than a superfluous quotation.
CROSS_ENCODER_SCALE: Final = RelevanceScale(0.02)
# Where BentoML keeps models and Bentos if BENTOML_HOME does not say otherwise.
USERS_HOME: Final = Path(os.path.expanduser("~"), "bentoml")  # noqa: PTH111 - Path.home() fails for a user without one
METADATA_FILES: Final = ("*.json", "*.jinja", "*.txt", "*.model", "*/config.json")


def locate(model: str, *, weights: bool = True) -> Path:
    """Return the folder with the model's files; `weights=False` is enough for a tokenizer or `describe`.

    Raises: FileNotFoundError: the model is not on this machine and, for `hf:`, cannot be downloaded.
    """
    ref = ModelRef.parse(model)
    if ref.kind == "path":
        return _existing(Path(ref.name))
    if ref.kind == "bento":
        return _locate_bento(model.removeprefix("bento:"))
    if ref.kind == "hf":
        return _locate_hub(ref, weights=weights)
    raise FileNotFoundError("fake models have no files")


def describe(model: str) -> ModelInfo:
    """Return name, revision and dimension of the model.

    Raises: FileNotFoundError: as for `locate`.
    """
    ref = ModelRef.parse(model)
    if ref.kind == "fake":
        raise FileNotFoundError("fake models have no files")
    folder = locate(model, weights=False)
    if ref.kind == "bento":
        labels = _bento_labels(model.removeprefix("bento:"))
        revision = labels.get("revision") or _digest(folder)
        return ModelInfo(labels.get("name", ref.name), revision, _dimension(folder))
    if ref.kind == "hf":
        # The hub's cache names a snapshot's folder after its commit.
        return ModelInfo(ref.name, folder.name, _dimension(folder))
    return ModelInfo(folder.resolve().name, _digest(folder), _dimension(folder))


def is_cross_encoder(folder: Path) -> bool:
    """Return whether the model's config says that it is a sequence classifier, which scores question and passage."""
    architectures = _read_json(folder / "config.json").get("architectures")
    return isinstance(architectures, list) and any(
        str(name).endswith("ForSequenceClassification") for name in architectures
    )


def relevance_scale(folder: Path) -> RelevanceScale:
    """Return the relevance scale of this kind of reranker."""
    return CROSS_ENCODER_SCALE if is_cross_encoder(folder) else LATE_INTERACTION_SCALE


def read_prompts(folder: Path) -> tuple[str, str]:
    """Return what the model wants before a question and before a passage; either may be empty."""
    prompts = _read_json(folder / "config_sentence_transformers.json").get("prompts")
    known = prompts if isinstance(prompts, dict) else {}
    return str(known.get("query") or ""), str(known.get("passage") or known.get("document") or "")


def read_limit(folder: Path) -> int:
    """Return the number of tokens that the model reads, special tokens included.

    Raises: FileNotFoundError: the folder does not say.
    """
    config = _read_json(folder / "config.json")
    limits = [_read_json(folder / "sentence_bert_config.json").get("max_seq_length"), _positions(config)]
    known = [limit for limit in limits if isinstance(limit, int) and limit > 0]
    if not known:
        raise FileNotFoundError(f"model folder {folder.name!r} does not say how many tokens the model reads")
    return min(known)


def _positions(config: dict[str, object]) -> int | None:
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int):
        return None
    # RoBERTa's positions begin after its padding's.
    return positions - 2 if "roberta" in str(config.get("model_type")) else positions


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no model folder {folder.name!r}")
    return folder


def _locate_bento(tag: str) -> Path:
    import bentoml  # noqa: PLC0415  # a second of imports that `path:` and `fake:` do not need

    try:
        return Path(_get_bento(tag).path)
    except bentoml.exceptions.NotFound as error:
        raise FileNotFoundError(f"the BentoML Model Store has no {tag!r}; `make setup` imports it") from error


def _bento_labels(tag: str) -> dict[str, str]:
    return {str(key): str(value) for key, value in _get_bento(tag).info.labels.items()}


def _get_bento(tag: str) -> Any:  # Any: BentoML has no types here
    """Get a model from the Bento's store, else from that of BENTOML_HOME, else from the user's own.

    BentoML itself looks in the Bento's store only if it serves the whole Bento, not for a single service or a command.
    The user's store is a fallback because each server on a machine needs its own BENTOML_HOME (a starting server
    deletes the metrics there), while the models are shared.

    Raises: bentoml.exceptions.NotFound: no store has the model.
    """
    import bentoml  # noqa: PLC0415
    from bentoml._internal.models.model import ModelStore  # noqa: PLC0415

    homes = [Path(os.environ[name]) for name in ("BENTO_PATH", "BENTOML_HOME") if os.environ.get(name)]
    for home in homes:
        if (home / "models").is_dir():
            with suppress(bentoml.exceptions.NotFound):
                return ModelStore(home / "models").get(tag)
    return ModelStore(USERS_HOME / "models").get(tag)


def _locate_hub(ref: ModelRef, *, weights: bool) -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415

    patterns = None if weights else list(METADATA_FILES)
    try:
        return Path(snapshot_download(ref.name, revision=ref.revision, allow_patterns=patterns))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise FileNotFoundError(f"{ref.name!r} is not in the local hub cache and cannot be fetched") from error


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        size_bytes = path.stat().st_size
        digest.update(f"{path.relative_to(folder)}\0{size_bytes}\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(EDGE_BYTES))
            if size_bytes > 2 * EDGE_BYTES:
                file.seek(-EDGE_BYTES, 2)
            digest.update(file.read(EDGE_BYTES))
    return digest.hexdigest()[:REVISION_CHARS]


def _dimension(folder: Path) -> int:
    """Return the length of the vectors: the output size of the last dense layer, else the hidden size."""
    modules = folder / "modules.json"
    if modules.exists():
        for module in reversed(json.loads(modules.read_text("utf-8"))):
            out_features = _read_json(folder / module["path"] / "config.json").get("out_features")
            if isinstance(out_features, int):
                return out_features
    hidden = _read_json(folder / "config.json").get("hidden_size", 0)
    return hidden if isinstance(hidden, int) else 0


def _read_json(path: Path) -> dict[str, object]:
    if not path.exists():
        return {}
    loaded = json.loads(path.read_text("utf-8"))
    return loaded if isinstance(loaded, dict) else {}
