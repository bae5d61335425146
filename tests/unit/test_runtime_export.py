"""`python -m rag.models.export`: what it writes holds all that another model server runs, and gives our vectors."""

import importlib.util
import json
import sys
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.engines.openvino_model import OpenVinoModel
from rag.models import e5_small
from rag.models.export.__main__ import main
from tests.unit.test_models import pack_e5

TEXTS = ["passage: Staff have 12 days.", "query: how many", "passage: " + "word " * 700, "passage: 😀 ngày"]
REQUEST = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [len(TEXTS)], "data": TEXTS}]}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    pack_e5(folder / "weights.bin")
    (folder / "tiny").mkdir()
    e5_small.export(folder / "weights.bin", folder / "tiny")
    return folder / "tiny"


@pytest.fixture
def expected(model: Path) -> Any:
    return OpenVinoModel(model).forward(TEXTS).vectors


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """A server imports the copy of `embedder` beside its own code; two exports of one test are two copies."""
    path = list(sys.path)
    yield
    sys.path[:] = path
    sys.modules.pop("embedder", None)


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"exported_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Tensor:
    def __init__(self, name: str, values: Any) -> None:
        self.name = name
        self.values = values

    def as_numpy(self) -> Any:
        return self.values


def test_tritons_model_gives_our_vectors(
    model: Path, expected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From strings as its Python backend hands them over, in the repository's own layout."""
    backend: Any = types.ModuleType("triton_python_backend_utils")
    backend.get_input_tensor_by_name = lambda request, name: request[name]
    backend.Tensor = Tensor
    backend.InferenceResponse = lambda output_tensors: output_tensors
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", backend)
    assert main(["triton", str(tmp_path), "--model", f"path:{model}", "--name", "e5"]) == 0

    served = load(tmp_path / "e5" / "1" / "model.py").TritonPythonModel()
    served.initialize({})
    texts = np.array([text.encode() for text in TEXTS], dtype=object)
    ((output,),) = served.execute([{"text": Tensor("text", texts)}])

    assert output.name == "output"
    assert output.values.dtype == np.float32
    np.testing.assert_allclose(output.values, expected, atol=1e-5)
    config = (tmp_path / "e5" / "config.pbtxt").read_text("utf-8")
    assert f"dims: [ -1, {expected.shape[1]} ]" in config
    assert 'name: "e5"' in config


@pytest.mark.parametrize("is_parsed", [False, True])
def test_torchserves_handler_speaks_open_inference(model: Path, expected: Any, tmp_path: Path, is_parsed: bool) -> None:
    """TorchServe hands over bytes, or JSON that it has parsed; the archive is what its archiver makes."""
    assert main(["torchserve", str(tmp_path / "store"), "--model", f"path:{model}", "--name", "e5"]) == 0
    with zipfile.ZipFile(tmp_path / "store" / "e5.mar") as archive:
        manifest = json.loads(archive.read("MAR-INF/MANIFEST.json"))
        archive.extractall(tmp_path / "running")

    handler = load(tmp_path / "running" / manifest["model"]["handler"]).OpenInferenceHandler()
    properties = {"model_dir": str(tmp_path / "running")}
    handler.initialize(types.SimpleNamespace(system_properties=properties, manifest=manifest))
    body = REQUEST if is_parsed else json.dumps(REQUEST).encode()
    (reply,) = handler.handle([{"body": body}], None)

    (output,) = reply["outputs"]
    assert (reply["model_name"], output["datatype"], output["shape"]) == ("e5", "FP32", list(expected.shape))
    np.testing.assert_allclose(np.reshape(output["data"], output["shape"]), expected, atol=1e-5)


def test_an_export_needs_nothing_of_the_project(model: Path, tmp_path: Path) -> None:
    """A server has its own packages: only the three that are named."""
    main(["triton", str(tmp_path), "--model", f"path:{model}", "--name", "e5"])

    for path in (tmp_path / "e5" / "1").glob("*.py"):
        assert "rag" not in {line.split()[1].split(".")[0] for line in path.read_text().splitlines() if is_import(line)}


def is_import(line: str) -> bool:
    return line.strip().startswith(("import ", "from "))


def test_a_model_without_a_graph_is_told_in_one_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only OpenVINO graphs are exported."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_bytes((model / "config.json").read_bytes())
    (other / "tokenizer.json").write_bytes((model / "tokenizer.json").read_bytes())

    assert main(["torchserve", str(tmp_path), "--model", f"path:{other}"]) == 1
    assert "models with an OpenVINO graph can be exported" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.mar"))
