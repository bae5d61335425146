"""Run any SentenceTransformer with torch: on a GPU, and on a CPU if the model has no OpenVINO graph."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rag.engines.device import best_device, best_dtype, return_memory
from rag.engines.forward import Forward


class TorchModel:
    """Runs the modules of a SentenceTransformer in order, and keeps the token vectors too; not thread-safe.

    Raises: OSError: the folder is not a SentenceTransformer.
    """

    def __init__(self, folder: Path) -> None:
        import torch  # noqa: PLC0415
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415

        model = SentenceTransformer(
            str(folder),
            device=best_device(),
            local_files_only=True,
            model_kwargs={"dtype": getattr(torch, best_dtype())},
        )
        self.prompts: dict[str, str] = dict(model.prompts or {})
        self.limit_tokens = int(model.max_seq_length)
        self._tokenizer: Any = model.tokenizer  # Any: transformers' own classes are not typed
        self._transformer: Any = model[0].model.eval()
        self._heads = [module.eval() for module in list(model)[1:]]
        return_memory()

    def count(self, text: str) -> int:
        """Return the number of tokens of a text, without special tokens."""
        return len(self._tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"])

    def forward(self, texts: Sequence[str]) -> Forward:
        """Run one forward pass over the texts, padded to the longest."""
        import torch  # noqa: PLC0415

        encoded = self._tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self.limit_tokens,
            return_offsets_mapping=True,
            return_tensors="pt",
        )
        spans = encoded.pop("offset_mapping").numpy().astype(np.int32)
        with torch.inference_mode():
            inputs = encoded.to(self._transformer.device)
            hidden = self._transformer(**inputs).last_hidden_state
            features = {"token_embeddings": hidden, "attention_mask": inputs["attention_mask"]}
            for head in self._heads:
                features = head(features)
            vectors = torch.nn.functional.normalize(features["sentence_embedding"].float(), dim=-1)
            return Forward(vectors.cpu().numpy(), hidden.float().cpu().numpy(), spans)
