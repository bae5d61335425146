"""Say what each protocol of another model server wants to be sent, and read what it sends back; no call is made here.

A protocol turns texts into the path and the body of one request, and a parsed reply into rows, which may be wrong: the
client checks their number, their shape and their values.

Source:
    Open Inference Protocol, version 2, "Predict Protocol": metadata and inference over HTTP.
    Text Embeddings Inference, its OpenAPI description: `/embed` and `/rerank`.
    OpenAI, API reference: "Create embeddings".
    Cohere, API reference: "Rerank", versions 1 and 2.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import quote

# What an Open Inference server that describes no inputs is sent (MLServer, if `model-settings.json` declares none).
DEFAULT_TEXT: Final = "text"
DEFAULT_PAIR: Final = ("query", "passage")
_STRINGS: Final = "BYTES"
_NUMBERS: Final = frozenset({"FP16", "FP32", "FP64"})
# A base URL that says which version of an API is below it; `/v1` is put behind any other.
_VERSIONED: Final = re.compile(r"/v\d+\w*(/openai)?$")


@dataclass(frozen=True, slots=True)
class Call:
    """One request: its path below the server's URL, and its JSON."""

    path: str
    body: dict[str, object]


class EmbeddingProtocol(Protocol):
    """How a server is asked for the vectors of texts; `described` is what `metadata_path` answered, if there is one."""

    @property
    def metadata_path(self) -> str | None: ...

    def ask(self, texts: Sequence[str], described: object) -> Call: ...

    def read(self, reply: Any, count: int) -> Any:
        """Return the rows in the order of the texts.

        Raises: KeyError, TypeError, ValueError, IndexError, AttributeError: the reply has another form.
        """
        ...


class RerankProtocol(Protocol):
    """How a server is asked for the relevance of passages, 0 to 1, for one question."""

    @property
    def metadata_path(self) -> str | None: ...

    def ask(self, question: str, passages: Sequence[str], described: object) -> Call: ...

    def read(self, reply: Any, count: int) -> Any:
        """Return the relevances in the order of the passages; raises as `EmbeddingProtocol.read`."""
        ...


@dataclass(frozen=True, slots=True)
class OpenInference:
    """The Open Inference Protocol: the inputs are those of the model's metadata that hold strings, in their order."""

    model_name: str

    @property
    def metadata_path(self) -> str:
        return model_path(self.model_name)

    def _call(self, columns: Sequence[Sequence[str]], names: Sequence[str], described: object) -> Call:
        inputs = _string_inputs(described)
        if len(inputs) < len(columns):
            inputs = [(name, 1) for name in names]
        tensors = [
            {
                "name": name,
                "datatype": _STRINGS,
                "shape": [len(column)] + [1] * (rank - 1),  # Triton puts the batch before the model's own dimension
                "data": list(column),
            }
            for (name, rank), column in zip(inputs, columns, strict=False)
        ]
        return Call(f"{self.metadata_path}/infer", {"inputs": tensors})

    @staticmethod
    def _output(reply: Any, shapes: Sequence[tuple[int, ...]], size: int) -> Any:
        """Return the data of the first output of numbers that has one of the shapes; -1 stands for any length."""
        for each in reply["outputs"]:
            shape = [int(length) for length in each["shape"]]
            fits = any(
                len(shape) == len(wanted)
                and all(want in (length, -1) for length, want in zip(shape, wanted, strict=True))
                for wanted in shapes
            )
            if fits and each["datatype"] in _NUMBERS:
                data = _flatten(each["data"])
                if len(data) != math.prod(shape):
                    raise ValueError("the data are not of their shape")
                width = len(data) // size
                return [data[start : start + width] for start in range(0, len(data), width)]
        raise ValueError("no output has the shape")


class OpenInferenceEmbedding(OpenInference):
    """One input of strings, (n) or (n, 1); one output of numbers, (n, dim)."""

    __slots__ = ()

    def ask(self, texts: Sequence[str], described: object) -> Call:
        return self._call([texts], [DEFAULT_TEXT], described)

    def read(self, reply: Any, count: int) -> Any:
        return self._output(reply, [(count, -1)], count)


class OpenInferenceRerank(OpenInference):
    """Two inputs of strings, the question and a passage in each row; one output of numbers, (n) or (n, 1)."""

    __slots__ = ()

    def ask(self, question: str, passages: Sequence[str], described: object) -> Call:
        return self._call([[question] * len(passages), passages], DEFAULT_PAIR, described)

    def read(self, reply: Any, count: int) -> Any:
        return [row[0] for row in self._output(reply, [(count,), (count, 1)], count)]


class TextEmbeddingsEmbedding:
    """`/embed` of text-embeddings-inference."""

    metadata_path = None

    def ask(self, texts: Sequence[str], described: object) -> Call:
        return Call("/embed", {"inputs": list(texts), "normalize": True, "truncate": True})

    def read(self, reply: Any, count: int) -> Any:
        return reply


class TextEmbeddingsRerank:
    """`/rerank` of text-embeddings-inference; without `raw_scores` its scores are a sigmoid's."""

    metadata_path = None

    def ask(self, question: str, passages: Sequence[str], described: object) -> Call:
        return Call("/rerank", {"query": question, "texts": list(passages), "raw_scores": False, "truncate": True})

    def read(self, reply: Any, count: int) -> Any:
        return _by_index(reply, "score", count)


@dataclass(frozen=True, slots=True)
class OpenAiEmbedding:
    """`embeddings` of the OpenAI API."""

    model_name: str

    @property
    def metadata_path(self) -> None:
        return None

    def ask(self, texts: Sequence[str], described: object) -> Call:
        return Call("/embeddings", {"model": self.model_name, "input": list(texts), "encoding_format": "float"})

    def read(self, reply: Any, count: int) -> Any:
        return _by_index(reply["data"], "embedding", count)


@dataclass(frozen=True, slots=True)
class CohereRerank:
    """`rerank` as Cohere has it in both of its versions, and Jina, vLLM and Infinity too."""

    model_name: str

    @property
    def metadata_path(self) -> None:
        return None

    def ask(self, question: str, passages: Sequence[str], described: object) -> Call:
        body = {"model": self.model_name, "query": question, "documents": list(passages), "top_n": len(passages)}
        return Call("/rerank", body)

    def read(self, reply: Any, count: int) -> Any:
        return _by_index(reply["results"], "relevance_score", count)


def embedding_protocol(protocol: str, model_name: str) -> EmbeddingProtocol:
    """Return the protocol of this name: `oip`, `tei` or `openai`."""
    if protocol == "tei":
        return TextEmbeddingsEmbedding()
    return OpenInferenceEmbedding(model_name) if protocol == "oip" else OpenAiEmbedding(model_name)


def rerank_protocol(protocol: str, model_name: str) -> RerankProtocol:
    """Return the protocol of this name: `oip`, `tei` or `cohere`."""
    if protocol == "tei":
        return TextEmbeddingsRerank()
    return OpenInferenceRerank(model_name) if protocol == "oip" else CohereRerank(model_name)


def base_url(protocol: str, url: str) -> str:
    """Return the URL below which the protocol's paths are: a version that the URL lacks, or names once more."""
    if protocol == "oip":
        return url.removesuffix("/v2")
    if protocol in ("openai", "cohere") and not _VERSIONED.search(url):
        return f"{url}/v1"
    return url


def model_path(model_name: str) -> str:
    """Return the path of an Open Inference model's metadata."""
    return f"/v2/models/{quote(model_name, safe='')}"


def _string_inputs(described: object) -> list[tuple[str, int]]:
    """Return names and ranks of the model's inputs that hold strings; none if the metadata have another form."""
    inputs = described.get("inputs") if isinstance(described, Mapping) else None
    found = []
    for each in inputs if isinstance(inputs, list) else []:
        if isinstance(each, Mapping) and each.get("datatype") == _STRINGS and isinstance(each.get("name"), str):
            shape = each.get("shape")
            found.append((str(each["name"]), max(len(shape), 1) if isinstance(shape, list) else 1))
    return found


def _by_index(rows: Any, field: str, count: int) -> list[Any]:
    """Put rows that name their place in order; a place that is missing, or there twice, is an error."""
    found: dict[int, Any] = {}
    for each in rows:
        place = each["index"]
        if not isinstance(place, int) or isinstance(place, bool) or place in found:
            raise ValueError("a row without a place of its own")
        found[place] = each[field]
    if found.keys() != set(range(count)):
        raise ValueError("not one row for each text")
    return [found[place] for place in range(count)]


def _flatten(data: Any) -> list[Any]:
    """Return the numbers of a tensor, flat or nested."""
    while data and isinstance(data[0], list):
        data = [value for row in data for value in row]
    if not isinstance(data, list):
        raise TypeError("the data are no list")
    return data
