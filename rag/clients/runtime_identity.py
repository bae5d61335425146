"""Tell from what another model server says of itself whether it serves the model that is set.

What it does not say is believed: no protocol but that of text-embeddings-inference names a revision, and TorchServe
describes no model at all.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import httpx

from rag.clients.runtime_protocols import model_path

# An Open Inference server's description of itself.
SERVER_PATH: Final = "/v2"
_TORCHSERVE: Final = "torchserve"
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
# Cohere and those who speak as it does need not list their models.
_MISSING: Final = frozenset({httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED})


@dataclass(frozen=True, slots=True)
class ServedElsewhere:
    """The model that another server is to serve; `dimension` is 0 for a reranker."""

    protocol: str
    name: str
    revision: str | None = None
    dimension: int = 0

    @property
    def paths(self) -> list[str]:
        """The paths that must answer 200 for the server to be ready; the last one describes the model."""
        if self.protocol == "oip":
            return ["/v2/health/ready", model_path(self.name)]
        return ["/health", "/info"] if self.protocol == "tei" else ["/models"]

    def accepts(self, status: int) -> bool:
        """Return whether a server that answers with this status is ready."""
        return status == httpx.codes.OK or (self.protocol == "cohere" and status in _MISSING)

    def may_lack(self, path: str, status: int) -> bool:
        """Return whether a server that answers so may be one without metadata: `SERVER_PATH` tells."""
        return self.protocol == "oip" and path == model_path(self.name) and status == httpx.codes.NOT_FOUND

    def is_described_by(self, described: object) -> bool:
        """Return False if the description names another model; what it leaves open is believed."""
        if not isinstance(described, Mapping):
            return True
        if self.protocol == "oip":
            return self._fits_metadata(described)
        if self.protocol == "tei":
            return self._fits_info(described)
        listed = described.get("data")
        if not isinstance(listed, list):
            return True
        return self.name in [each.get("id") for each in listed if isinstance(each, Mapping)]

    def _fits_metadata(self, metadata: Mapping[str, object]) -> bool:
        if metadata.get("name", self.name) != self.name:
            return False
        outputs = metadata.get("outputs")
        shapes = (
            [each.get("shape") for each in outputs if isinstance(each, Mapping)] if isinstance(outputs, list) else []
        )
        lasts = [shape[-1] for shape in shapes if isinstance(shape, list) and shape]
        return not (self.dimension and lasts) or any(last in (-1, self.dimension) for last in lasts)

    def _fits_info(self, info: Mapping[str, object]) -> bool:
        name, commit = info.get("model_id"), info.get("model_sha")
        if isinstance(name, str) and name != self.name and not name.endswith(f"/{self.name}"):
            return False
        if not (isinstance(commit, str) and self.revision and _COMMIT.fullmatch(self.revision)):
            return True
        return commit == self.revision


def read_json(response: httpx.Response) -> object:
    """Return what a server says of itself; None if that is no JSON."""
    with suppress(ValueError, RecursionError):
        return response.json()
    return None


def without_metadata(status: int, server: object) -> tuple[int, object]:
    """Return the status and the description that count where a model has none, by what the server says of itself.

    TorchServe describes no model: it counts as a server that says nothing. With any other, the model is not there.
    """
    is_torchserve = isinstance(server, Mapping) and str(server.get("name", "")).lower() == _TORCHSERVE
    return (httpx.codes.OK, None) if is_torchserve else (status, None)
