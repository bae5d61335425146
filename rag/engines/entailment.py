"""Verify with a classifier from `transformers`: how far a premise supports a hypothesis.

Two kinds of classifiers work. No two models name their outputs alike, so these rules determine what an output means:

- A sequence classifier judges the pair. The one label whose name means support counts (natural language inference:
  `entailment`, beside `neutral` and `contradiction`). Of two unnamed labels the second means support (MiniCheck). A
  single output is the log-odds of support, whatever its name (cross-encoders for factual consistency).
- A token classifier marks the tokens of the hypothesis that the premise does not support: by the labels whose names
  contain `halluc` or `unsupported`, or by the second of two unnamed labels (LettuceDetect). The worst token decides.

Code that comes with a model is never run.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rag.engines.device import best_device, best_dtype, return_memory
from rag.types import ModelInfo
from schemas.services import Entailment

BATCH_PAIRS: Final = 32
# RoBERTa and its relatives number positions from 2, so two positions less can be used.
UNUSED_POSITIONS: Final = 2
SUPPORT_NAMES: Final = frozenset({"consistent", "entailed", "entailment", "support", "supported", "supports"})
UNSUPPORTED_PARTS: Final = ("halluc", "unsupported", "notsupported")
# The names that `transformers` gives to unnamed labels.
_NAMELESS: Final = re.compile(r"LABEL_\d+")
_NO_LETTER: Final = re.compile(r"[^a-z]")


class EntailmentClassifier:
    """Judges pairs of premise and hypothesis; not thread-safe.

    Raises: ValueError: the model is neither kind of classifier, or its labels do not show which of them means support.
    """

    def __init__(self, folder: Path, info: ModelInfo) -> None:
        import torch  # noqa: PLC0415
        import transformers  # noqa: PLC0415

        self.info = info
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        labels = [str(config.id2label[number]) for number in range(config.num_labels)]
        self._marks_tokens: Final = _is_token_classifier(config.architectures or [], info.name)
        self._counted: Final = find_unsupported(labels) if self._marks_tokens else [find_support(labels)]
        opener = (
            transformers.AutoModelForTokenClassification
            if self._marks_tokens
            else transformers.AutoModelForSequenceClassification
        )
        # Any: transformers' own classes are not typed.
        self._model: Any = opener.from_pretrained(
            folder, config=config, local_files_only=True, dtype=getattr(torch, best_dtype())
        )
        self._model.eval().to(best_device())
        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._limit_tokens: Final = _limit_tokens(self._tokenizer, config)
        return_memory()

    def entail(self, pairs: Sequence[Entailment]) -> list[float]:
        """Return the support of each hypothesis by its premise, in order: 0 to 1.

        A premise that is too long is truncated. A hypothesis that does not fit, or has no tokens, gets 0.
        """
        supports = [0.0] * len(pairs)
        judged = sorted(self._fitting(pairs), key=lambda number: len(pairs[number].premise + pairs[number].hypothesis))
        for start in range(0, len(judged), BATCH_PAIRS):
            batch = judged[start : start + BATCH_PAIRS]
            for number, support in zip(batch, self._judge([pairs[number] for number in batch]), strict=True):
                supports[number] = float(support)
        return supports

    def _fitting(self, pairs: Sequence[Entailment]) -> list[int]:
        """Return the positions of the pairs whose hypothesis has tokens and leaves room for one of the premise."""
        if not pairs:
            return []
        room_tokens = self._limit_tokens - self._tokenizer.num_special_tokens_to_add(pair=True)
        encoded = self._tokenizer([pair.hypothesis for pair in pairs], add_special_tokens=False, verbose=False)
        return [number for number, ids in enumerate(encoded["input_ids"]) if 0 < len(ids) < room_tokens]

    def _judge(self, batch: Sequence[Entailment]) -> NDArray[np.float32]:
        import torch  # noqa: PLC0415

        encoded = self._tokenizer(
            [pair.premise for pair in batch],
            [pair.hypothesis for pair in batch],
            padding=True,
            truncation="only_first",
            max_length=self._limit_tokens,
            return_tensors="pt",
        )
        # Read before the tensors move to the device. Special tokens and padding belong to neither text.
        segments = [encoded.sequence_ids(row) for row in range(len(batch))]
        with torch.inference_mode():
            logits = self._model(**encoded.to(self._model.device)).logits.float().cpu().numpy()
        counted: NDArray[np.float32] = _probabilities(logits)[..., self._counted].sum(axis=-1)
        if not self._marks_tokens:
            return np.clip(counted, 0.0, 1.0)
        worst = [row[np.equal(segment, 1)].max() for row, segment in zip(counted, segments, strict=True)]
        return np.clip(1.0 - np.asarray(worst, dtype=np.float32), 0.0, 1.0)


def find_support(labels: Sequence[str]) -> int:
    """Return the index of the output that means support; 1 for a single output, which `_probabilities` expands to two.

    Raises: ValueError: not exactly one label means support.
    """
    named = [number for number, label in enumerate(labels) if _NO_LETTER.sub("", label.lower()) in SUPPORT_NAMES]
    if len(labels) == 1 or _are_two_nameless(labels):
        return 1
    if len(named) != 1:
        raise ValueError(f"of the labels {', '.join(labels)} not exactly one is named as support")
    return named[0]


def find_unsupported(labels: Sequence[str]) -> list[int]:
    """Return the indices of the outputs of a token classifier that mean "not supported".

    Raises: ValueError: none or all of the labels mean that.
    """
    if _are_two_nameless(labels):
        return [1]
    letters = [_NO_LETTER.sub("", label.lower()) for label in labels]
    named = [number for number, label in enumerate(letters) if any(part in label for part in UNSUPPORTED_PARTS)]
    if not 0 < len(named) < len(labels):
        raise ValueError(f"the labels {', '.join(labels)} do not say which tokens are unsupported")
    return named


def _are_two_nameless(labels: Sequence[str]) -> bool:
    return len(labels) == 2 and all(_NAMELESS.fullmatch(label) for label in labels)


def _is_token_classifier(architectures: Sequence[str], name: str) -> bool:
    """Return whether the model classifies tokens rather than sequences.

    Raises: ValueError: it does neither.
    """
    if any(each.endswith("ForTokenClassification") for each in architectures):
        return True
    if any(each.endswith("ForSequenceClassification") for each in architectures):
        return False
    raise ValueError(f"{name} is {', '.join(architectures) or 'no model'}: neither a sequence nor a token classifier")


def _limit_tokens(tokenizer: Any, config: Any) -> int:  # Any: transformers' own classes are not typed
    """Return the tokenizer's limit; if it has none (10^30) or a larger one, the usable positions of the model."""
    positions = getattr(config, "max_position_embeddings", None)
    says = int(tokenizer.model_max_length)
    return says if positions is None or says <= positions else int(positions) - UNUSED_POSITIONS


def _probabilities(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply softmax to the last axis; a single output is expanded to two, as the log-odds of the second."""
    if logits.shape[-1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float32] = weights / weights.sum(axis=-1, keepdims=True)
    return probabilities
