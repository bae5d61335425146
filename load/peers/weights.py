"""The embedder of the Model Store as older releases of the libraries read it, which one of the peers still needs.

The weights are linked and not copied: the same file is read. Only the names in three small files differ.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

_LINKED: Final = ("model.safetensors", "tokenizer.json", "config.json")
_STAGES: Final = ("Transformer", "Pooling", "Normalize")
_TOKENS: Final = 512


def write_model(source: Path, folder: Path) -> Path:
    """Write the folder of a SentenceTransformer, mean of the tokens and unit length, and return it."""
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "2_Normalize").mkdir()
    for name in _LINKED:
        (folder / name).symlink_to((source / name).resolve())
    dimension = json.loads((source / "config.json").read_text("utf-8"))["hidden_size"]
    files: Mapping[str, Mapping[str, Any] | Sequence[Any]] = {  # Any: JSON
        "modules.json": [
            {
                "idx": number,
                "name": str(number),
                "path": f"{number}_{stage}" if number else "",
                "type": f"sentence_transformers.models.{stage}",
            }
            for number, stage in enumerate(_STAGES)
        ],
        "1_Pooling/config.json": {"word_embedding_dimension": dimension, "pooling_mode_mean_tokens": True},
        "sentence_bert_config.json": {"max_seq_length": _TOKENS, "do_lower_case": False},
        "tokenizer_config.json": {**_read_tokens(source), "tokenizer_class": "PreTrainedTokenizerFast"},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), "utf-8")
    return folder


def _read_tokens(source: Path) -> dict[str, Any]:  # Any: JSON
    """Return the names of the special tokens and the length."""
    told = json.loads((source / "tokenizer_config.json").read_text("utf-8"))
    return {name: value for name, value in told.items() if name.endswith("_token") or name == "model_max_length"}
