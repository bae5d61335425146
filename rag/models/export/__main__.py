"""`python -m rag.models.export triton|torchserve FOLDER`: write the embedder as that model server takes it.

For Triton FOLDER becomes a model repository, for TorchServe it gets an archive. Both hold all that runs there but the
packages openvino, tokenizers and numpy (for Triton's wheel below 2).
"""

import argparse
import json
import shutil
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rag import VERSION, models
from rag.config.settings import Settings
from rag.models.export import embedder
from rag.types import GRAPH_FILE

_CODE: Final = Path(__file__).parent
_CONFIG: Final = """name: "{name}"
backend: "python"
max_batch_size: 0
input [ {{ name: "text", data_type: TYPE_STRING, dims: [ -1 ] }} ]
output [ {{ name: "output", data_type: TYPE_FP32, dims: [ -1, {dimension} ] }} ]
instance_group [ {{ kind: KIND_CPU, count: 1 }} ]
"""


def list_files(folder: Path) -> dict[str, Path]:
    """Return what an export holds, by its name there.

    Raises: FileNotFoundError: the model has no OpenVINO graph.
    """
    graph = folder / GRAPH_FILE
    files = {
        "embedder.py": _CODE / "embedder.py",
        "config.json": folder / "config.json",
        "tokenizer.json": folder / "tokenizer.json",
        embedder.GRAPH_FILE: graph,
        Path(embedder.GRAPH_FILE).with_suffix(".bin").name: graph.with_suffix(".bin"),
    }
    for path in files.values():
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not there: models with an OpenVINO graph can be exported")
    return files


def write_triton(files: Mapping[str, Path], target: Path, *, name: str, dimension: int) -> Path:
    """Write a model repository, and return the model's folder in it."""
    folder = target / name
    version = folder / "1"
    version.mkdir(parents=True, exist_ok=True)
    for file, source in {**files, "model.py": _CODE / "triton_model.py"}.items():
        shutil.copyfile(source, version / file)
    (folder / "config.pbtxt").write_text(_CONFIG.format(name=name, dimension=dimension), "utf-8")
    return folder


def write_torchserve(files: Mapping[str, Path], target: Path, *, name: str) -> Path:
    """Write an archive as torch-model-archiver does, and return its path."""
    target.mkdir(parents=True, exist_ok=True)
    model = {"modelName": name, "handler": "handler.py", "modelVersion": VERSION}
    path = target / f"{name}.mar"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # weights of 4 bits do not get smaller
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps({"runtime": "python", "model": model}))
        for file, source in {**files, "handler.py": _CODE / "torchserve_handler.py"}.items():
            archive.write(source, file)
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Export; return 1, after one line, if the model cannot be."""
    parser = argparse.ArgumentParser(prog="python -m rag.models.export", description=__doc__)
    parser.add_argument("server", choices=["triton", "torchserve"])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--model", default=Settings.model_fields["embedder_model"].default, help="as RAG_EMBEDDER_MODEL (%(default)s)"
    )
    parser.add_argument("--name", help="its name there, to be RAG_EMBEDDER_NAME (default: the model's own)")
    given = parser.parse_args(arguments)
    try:
        info = models.describe(given.model)
        files = list_files(models.locate(given.model))
        name = given.name or info.name
        if given.server == "triton":
            written = write_triton(files, given.folder, name=name, dimension=info.dimension)
        else:
            written = write_torchserve(files, given.folder, name=name)
    except OSError as error:
        print(f"cannot export {given.model}: {error}", file=sys.stderr)
        return 1
    print(written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
