"""Runs an image from buildah as Kubernetes would: without privileges, with a read-only root.

It uses only `unshare` and `chroot`, as root, because a machine that builds images may not be able to run them. The
container has its own processes and mounts, and shares the network.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any, Final

import psutil
import yaml

from load.processes import ROOT, running

_POD: Final = (ROOT / "deploy" / "kubernetes" / "base" / "every-server.yaml").read_text("utf-8")
# Kubernetes' choice and not the image's own, which has never heard of it.
USER: Final[int] = yaml.safe_load(_POD)["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
# Only /tmp can be written to, and what is mounted. Names of hosts come with the runtime, as everywhere.
_MOUNTS: Final = """
cp /etc/hosts {root}/etc/hosts
mount --bind {root} {root}
mount -o remount,ro,bind {root}
mount -t tmpfs -o size=2g,mode=1777 tmpfs {root}/tmp
mount -t proc proc {root}/proc
mount --rbind /sys {root}/sys
mount --rbind /dev {root}/dev
"""


# What is written at run time; the image's own folders are beside the Bento.
_HOMES: Final = {"HOME": "/tmp", "BENTOML_HOME": "/tmp/bentoml"}  # the container's own


@dataclass(frozen=True, slots=True)
class Image:
    """An image, unpacked: its root folder, its size in bytes, and what it runs with."""

    name: str
    root: Path
    size_bytes: int
    user: str
    environment: Mapping[str, str]
    entrypoint: Sequence[str]


@dataclass(frozen=True, slots=True)
class Container:
    """A running one; `process` is its first, and `runtime` ends when it does, with its status."""

    process: psutil.Process
    runtime: subprocess.Popen[bytes]
    log_path: Path

    def terminate(self) -> None:
        """As Kubernetes does first."""
        self.process.send_signal(signal.SIGTERM)

    def find_processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


@contextmanager
def unpacked(name: str) -> Iterator[Image]:
    """Raises: subprocess.CalledProcessError: buildah has no such image."""
    container = _buildah("from", "--pull-never", name)
    try:
        described = json.loads(_buildah("inspect", "--type", "image", name))
        config: Mapping[str, Any] = described["OCIv1"]["config"]
        (listed,) = json.loads(_buildah("images", "--json", name))
        yield Image(
            name,
            Path(_buildah("mount", container)),
            _parse_size(listed["size"]),
            config["User"],
            dict(entry.split("=", 1) for entry in config["Env"]),
            config["Entrypoint"],
        )
    finally:
        _buildah("rm", container)


@contextmanager
def running_container(
    image: Image,
    command: Sequence[str],
    *,
    log_path: Path,
    environment: Mapping[str, str] | None = None,
    mounts: Mapping[str, tuple[Path, str]] | None = None,
) -> Iterator[Container]:
    """Yields: the container, which may not be ready.

    `mounts` are folders of this machine by where they appear, `ro` or `rw`; the image has to have them.
    """
    lines = [_MOUNTS.format(root=quote(str(image.root)))]
    for place, (source, mode) in (mounts or {}).items():
        target = quote(f"{image.root}{place}")
        lines += [f"mount --bind {quote(str(source))} {target}", f"mount -o remount,{mode},bind {target}"]
    given = {**image.environment, **_HOMES, **(environment or {})}
    words = ["env", "-i", *(f"{name}={value}" for name, value in given.items()), *command]
    lines.append(f"exec chroot --userspec={USER}:{USER} {quote(str(image.root))} {' '.join(map(quote, words))}")
    isolated = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", "\n".join(lines)]
    with running(isolated, environment=os.environ, log_path=log_path) as parent:
        children = psutil.Process(parent.pid).children()
        while not children:
            assert parent.poll() is None, log_path.read_text()
            children = psutil.Process(parent.pid).children()
        container = Container(children[0], parent, log_path)
        try:
            yield container
        finally:
            with suppress(psutil.NoSuchProcess):
                container.process.kill()  # the first process of a container takes the others with it
            parent.wait()


def run_in_container(
    image: Image, command: Sequence[str], *, log_path: Path, mounts: Mapping[str, tuple[Path, str]]
) -> str:
    """What a command printed, which must succeed."""
    with running_container(image, command, log_path=log_path, mounts=mounts) as container:
        container.process.wait()
    return log_path.read_text("utf-8")


def _buildah(*arguments: str) -> str:
    return subprocess.run(["buildah", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def _parse_size(text: str) -> int:
    number, unit = text.split()
    return int(float(number) * {"KB": 10**3, "MB": 10**6, "GB": 10**9}[unit.upper()])
