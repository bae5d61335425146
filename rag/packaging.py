"""What the Bento's image holds beside the code: by profile, `local` or `gpu`.

`bentoml build` makes the local one, `bentoml build --arg profile=gpu` the other, from the same bentofile.yaml. Both are
installed from the pinned lists in requirements/, without resolving anything (uv.toml).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import bentoml
from pydantic import BaseModel, ConfigDict

ROOT: Final = Path(__file__).resolve().parents[1]
PYTHON: Final = "3.11"
# PyTorch's own index of CPU builds, asked where the configured sources do not have the build.
TORCH_INDEX: Final = "https://download.pytorch.org/whl/cpu"
# vLLM's kernels for CPUs are linked with it.
SYSTEM_PACKAGES: Final = "libnuma1"
CLEAN: Final = "rm -rf /var/lib/apt/lists/*"
# Where the index is mounted: a read-only root takes no new folder. And the way to the Bento, whoever the container runs
# as: some distributions close a home to others.
PREPARE_FOLDERS: Final = "mkdir -p /data/index && chown bentoml:bentoml /data/index && chmod a+rx /home/bentoml"
GPU_ENVIRONMENT: Final = ROOT / "deploy" / "gpu.env"


class BuildArguments(BaseModel):
    """The arguments of `bentoml build --arg`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: Literal["local", "gpu"] = "local"
    # What keeps the indexes: files, or a database, whose driver is installed too (docs/engines.md).
    engine: Literal["files", "postgresql"] = "files"


def read_arguments() -> BuildArguments:
    """Those of this build, or of the Bento that is being served."""
    arguments: BuildArguments = bentoml.use_arguments(BuildArguments)
    return arguments


def make_image(arguments: BuildArguments) -> bentoml.images.Image:
    """A slim Debian with the packages of the profile."""
    if arguments.profile == "gpu":  # with BentoML's default packages of Debian: kernels are compiled at the first start
        image = bentoml.images.Image(python_version=PYTHON, lock_python_packages=False).build_include("uv.toml")
        return image.python_packages(_read_lists("gpu", arguments)).run(PREPARE_FOLDERS)
    image = bentoml.images.Image(
        base_image=f"python:{PYTHON}-slim", distro="", python_version=PYTHON, lock_python_packages=False
    ).build_include("uv.toml")
    image.run(f"apt-get update && apt-get install -y --no-install-recommends {SYSTEM_PACKAGES} && {CLEAN}")
    install = f"uv pip install --no-deps {_read_list('torch').splitlines()[-1]}"
    image.python_packages(_read_lists("local", arguments))
    return image.run(f"{install} || {install} --index {TORCH_INDEX}").run(PREPARE_FOLDERS)


def list_environment(arguments: BuildArguments) -> list[dict[str, str]]:
    """The settings that the profile brings into its image; a deployment's own come before them."""
    if arguments.profile == "local":
        return []
    lines = GPU_ENVIRONMENT.read_text("utf-8").splitlines()
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return [{"name": name, "value": value} for name, value in pairs]


def describe_resources(arguments: BuildArguments) -> Mapping[str, Any]:
    """What a model service asks of a platform that reads it from the Bento, beside configuration.yaml."""
    return {"resources": {"gpu": 1}} if arguments.profile == "gpu" else {}


def _read_lists(name: str, arguments: BuildArguments) -> str:
    """The list of this name, with the driver of the engine."""
    return "\n".join(map(_read_list, (name, *(["postgres"] if arguments.engine == "postgresql" else []))))


def _read_list(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text("utf-8").rstrip()
