"""Export a transformer as an OpenVINO graph with 8-bit weights, which on a CPU needs a quarter of torch's time.

The weights of matrix products are stored in groups of 32 with one scale each. The Q4_0 files of the local models have
the same groups, so their weights are not rounded a second time. The runtime quantises activations by row and group, so
a text's vectors do not depend on the rest of its batch, except for rounding when the order of sums changes. The word
embeddings have 8 bits too: rows are looked up before they are scaled, which takes 102 MB instead of 384.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from rag.types import GRAPH_FILE

if TYPE_CHECKING:
    import openvino
    from transformers import PreTrainedModel

GROUP: Final = 32
# The smallest value of a Q4_0 nibble; it stores the weight with the largest magnitude in a block.
_Q4_LEAST: Final = -8
_INT8_MOST: Final = 127
# Smaller lookup tables are not compressed: it would not be worth two more nodes.
_TABLE_MIN_ROWS: Final = 1_000


def export_graph(model: "PreTrainedModel", folder: Path) -> None:
    """Write the graph (input_ids, attention_mask → last_hidden_state) to `folder / GRAPH_FILE`."""
    import openvino  # noqa: PLC0415

    with warnings.catch_warnings():
        # The converter traces the model, which makes torch and transformers warn.
        warnings.simplefilter("ignore")
        graph = openvino.convert_model(_with_plain_output(model), example_input=_example())
    for node in graph.get_ordered_ops():
        if node.get_type_name() == "MatMul":
            _compress_weights(node)
        elif node.get_type_name() == "Gather":
            _compress_table(node)
    (folder / GRAPH_FILE).parent.mkdir()
    openvino.save_model(graph, folder / GRAPH_FILE, compress_to_fp16=False)


def quantize(weights: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Quantise weights of (rows, 32 * groups) to values, (rows, groups, 32), and scales, (rows, groups, 1).

    The result is exact if the weights come from Q4_0 blocks, else rounded to 8 bits.
    """
    groups = weights.reshape(len(weights), -1, GROUP)
    largest = np.take_along_axis(groups, np.abs(groups).argmax(axis=-1, keepdims=True), axis=-1)
    values, scales = _round(groups, largest / np.float32(_Q4_LEAST))
    if np.array_equal(values * scales, groups):
        return values, scales
    return _round(groups, np.abs(largest) / np.float32(_INT8_MOST))


def _round(groups: NDArray[np.float32], scales: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    scales = np.where(scales == 0, 1, scales).astype(np.float32)
    return np.rint(groups / scales).astype(np.int8), scales


def _with_plain_output(model: "PreTrainedModel") -> Any:  # Any: a torch module, and torch is imported late
    import torch  # noqa: PLC0415

    class LastHiddenState(torch.nn.Module):
        """The model with only tensors as input and output, as the converter needs it."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model.eval()

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    return LastHiddenState().eval()


def _example() -> dict[str, Any]:
    """Return two texts of unequal length: tracing would turn a value that both share into a constant."""
    import torch  # noqa: PLC0415

    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    return {"input_ids": mask * 2, "attention_mask": mask}


def _compress_weights(product: "openvino.Node") -> None:
    from openvino import opset13 as ops  # noqa: PLC0415

    constant = product.input_value(1).get_node()
    if constant.get_type_name() != "Constant" or not product.get_attributes()["transpose_b"]:
        return
    weights = np.array(constant.data, dtype=np.float32)
    if weights.ndim != 2 or weights.shape[1] % GROUP:
        return
    values, scales = quantize(weights)
    scaled = ops.multiply(ops.convert(ops.constant(values), "f32"), ops.constant(scales))
    shaped = ops.reshape(scaled, ops.constant(np.array(weights.shape, dtype=np.int64)), special_zero=False)
    product.input(1).replace_source_output(shaped.output(0))


def _compress_table(lookup: "openvino.Node") -> None:
    """Replace the lookup `rows[ids]` by `values[ids] * scales[ids]`."""
    from openvino import opset13 as ops  # noqa: PLC0415

    constant = lookup.input_value(0).get_node()
    if constant.get_type_name() == "Convert":
        constant = constant.input_value(0).get_node()
    if constant.get_type_name() != "Constant":
        return
    table = np.array(constant.data)
    if table.ndim != 2 or len(table) < _TABLE_MIN_ROWS or table.shape[1] % GROUP:
        return
    values, scales = quantize(table.astype(np.float32))
    ids, axis = lookup.input_value(1), ops.constant(np.int64(0))
    found = ops.convert(ops.gather(ops.constant(values), ids, axis), "f32")
    scaled = ops.multiply(found, ops.gather(ops.constant(scales), ids, axis))
    # 0 keeps the dimensions of the ids; the last dimension joins the groups of a row again.
    joined = ops.reshape(scaled, ops.constant(np.array([0, 0, table.shape[1]], dtype=np.int64)), special_zero=True)
    for reader in lookup.output(0).get_target_inputs():
        reader.replace_source_output(joined.output(0))
