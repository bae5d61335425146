"""MaxSim over token vectors: the reranker that needs no weights beyond the embedder's.

relevance = mean over the question's tokens of the largest cosine with any token of the window. Token vectors come from
the whole passage, so a sentence is scored in its context; and they are kept, so a text that comes up again costs a
matrix product and no forward pass.
Source: ColBERT (Khattab and Zaharia 2020), MaxSim, here averaged over the question.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rag.backends.device import best_device, best_dtype, return_memory
from rag.types import ModelInfo
from schemas.services import Pair

BATCH_TEXTS: Final = 16
DEFAULT_CACHE_BYTES: Final = 512 << 20
# The relevance of a window that holds no token, such as one behind the model's limit: below any cosine.
NO_TOKENS: Final = -1.0


@dataclass(frozen=True, slots=True)
class TokenVectors:
    """One text's tokens, prompt and special tokens left out.

    `vectors`: float16, (tokens, dim), rows of unit length; `offsets`: int32, (tokens, 2), characters of the text.
    """

    vectors: NDArray[np.float16]
    offsets: NDArray[np.int32]

    @property
    def size_bytes(self) -> int:
        return self.vectors.nbytes + self.offsets.nbytes


class TokenVectorCache:
    """Token vectors by text, the least recently used ones dropped when `limit_bytes` are full."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._entries: OrderedDict[bytes, TokenVectors] = OrderedDict()

    def get(self, text: str) -> TokenVectors | None:
        key = self._key(text)
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, text: str, entry: TokenVectors) -> None:
        key = self._key(text)
        if key in self._entries or entry.size_bytes > self._limit_bytes:
            return
        self._entries[key] = entry
        self._size_bytes += entry.size_bytes
        while self._size_bytes > self._limit_bytes:
            _, dropped = self._entries.popitem(last=False)
            self._size_bytes -= dropped.size_bytes

    @staticmethod
    def _key(text: str) -> bytes:
        return blake2b(text.encode(), digest_size=16).digest()


class LateInteractionScorer:
    """Scores windows of passages against questions; not safe to call from two threads at once."""

    def __init__(self, folder: Path, info: ModelInfo, *, cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        import torch  # noqa: PLC0415
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415

        self.info = info
        encoder = SentenceTransformer(
            str(folder),
            device=best_device(),
            local_files_only=True,
            model_kwargs={"dtype": getattr(torch, best_dtype())},
        )
        prompts = encoder.prompts or {}
        self._query_prompt = prompts.get("query", "")
        self._passage_prompt = prompts.get("passage") or prompts.get("document") or ""
        self._model: Any = encoder[0].model.eval()  # Any: transformers' own classes are not typed
        self._tokenizer: Any = encoder.tokenizer
        self._limit_tokens = int(encoder.max_seq_length)
        self._cache = TokenVectorCache(cache_bytes)
        return_memory()

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """One relevance per pair, in their order: a mean cosine, −1 to 1, higher is better."""
        questions = self._embed_known(sorted({pair.question for pair in pairs}), self._query_prompt)
        passages = self._embed_known(sorted({pair.passage for pair in pairs}), self._passage_prompt)
        similarities: dict[tuple[str, str], NDArray[np.float32]] = {}
        relevances = []
        for pair in pairs:
            key = (pair.question, pair.passage)
            if key not in similarities:
                asked, held = questions[pair.question].vectors, passages[pair.passage].vectors
                similarities[key] = asked.astype(np.float32) @ held.astype(np.float32).T
            relevances.append(_max_sim(similarities[key], passages[pair.passage].offsets, pair))
        return relevances

    def _embed_known(self, texts: list[str], prompt: str) -> dict[str, TokenVectors]:
        """The question of one query comes twice, for the passages and for the sentences; a passage again and again."""
        found = {text: entry for text in texts if (entry := self._cache.get(prompt + text)) is not None}
        missing = sorted((text for text in texts if text not in found), key=len)
        for start in range(0, len(missing), BATCH_TEXTS):
            batch = missing[start : start + BATCH_TEXTS]
            for text, entry in zip(batch, self._embed(batch, prompt), strict=True):
                self._cache.put(prompt + text, entry)
                found[text] = entry
        return found

    def _embed(self, texts: list[str], prompt: str) -> list[TokenVectors]:
        import torch  # noqa: PLC0415

        encoded = self._tokenizer(
            [prompt + text for text in texts],
            padding=True,
            truncation=True,
            max_length=self._limit_tokens,
            return_offsets_mapping=True,
            return_tensors="pt",
        )
        offsets = encoded.pop("offset_mapping").numpy().astype(np.int32) - len(prompt)
        with torch.inference_mode():
            hidden = self._model(**encoded.to(self._model.device)).last_hidden_state
            vectors = torch.nn.functional.normalize(hidden.float(), dim=-1).half().cpu().numpy()
        # Padding and special tokens have empty offsets; a token of the prompt ends at or before character 0.
        kept = (offsets[:, :, 1] > 0) & (offsets[:, :, 1] > offsets[:, :, 0])
        return [
            TokenVectors(np.ascontiguousarray(row[keep]), np.ascontiguousarray(spans[keep]))
            for row, spans, keep in zip(vectors, offsets, kept, strict=True)
        ]


def _max_sim(similarities: NDArray[np.float32], offsets: NDArray[np.int32], pair: Pair) -> float:
    end = len(pair.passage) if pair.end is None else pair.end
    inside = (offsets[:, 0] < end) & (offsets[:, 1] > pair.start)
    if not similarities.shape[0] or not inside.any():
        return NO_TOKENS
    return float(similarities[:, inside].max(axis=1).mean())
