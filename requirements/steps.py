"""What it means that a step of the set-up is done; install.py has the steps themselves.

It stands in place of make's own rules because file times say nothing here: a fresh clone has new times for old
content, and an interrupted install leaves new files that are not whole. A step's stamp holds a digest of what the step
is made from, and is written only after the step has succeeded.

Nor can `uv sync --locked` take its place (tried with uv 0.13.9):
- killed while it installs, it has nothing to do when it runs again, and leaves a package with half of its files;
- it reads no configuration of pip, which on some machines alone leads to packages;
- a lock has one source for torch's CPU build, and here any configured source or PyTorch's own index will do;
- the image and pip need the lists all the same, so there would be two of them;
- the models, the index and the tools of the tests need these steps in any case.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BEGUN: Final = "begun"


class SetupError(Exception):
    """The set-up cannot go on; the message is the one line that the user sees."""


class NetworkError(SetupError):
    """No package source answered. Nothing was changed: pip and uv fetch everything before they install anything."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is made once for each state of what it is made from."""

    does: str
    made_from: tuple[str, ...]
    makes: Path
    stamp: Path
    run: Callable[[], None]
    disk_gib: float = 0.0
    settings: tuple[str, ...] = ()
    """Environment variables that decide the outcome, beside the files of `made_from`."""


def digest_inputs(root: Path, made_from: Sequence[str], settings: Sequence[str]) -> str:
    """Digest the names and the content, never the times, of files and folders, and the values of settings.

    The project's own place is in it: a virtual environment does not survive being moved.
    """
    digest = hashlib.sha256(f"{root}\n{sys.version_info[:2]}\n".encode())
    for name in settings:
        digest.update(f"{name}={os.environ.get(name, '')}\n".encode())
    for entry in made_from:
        path = root / entry
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        for file in files:
            if file.suffix != ".pyc":
                content = hashlib.sha256(file.read_bytes()).hexdigest()
                digest.update(f"{file.relative_to(root)} {content}\n".encode())
    return digest.hexdigest()


def is_done(step: Step, root: Path) -> bool:
    """Say whether the step's outcome exists and was made from just what is there now."""
    if not (step.makes.exists() and step.stamp.is_file()):
        return False
    return step.stamp.read_text() == digest_inputs(root, step.made_from, step.settings)


def run_step(step: Step, root: Path) -> None:
    """Run the step and write its stamp after success, a mark of the begun work before.

    Raises:
        SetupError: the step failed; the mark stays, unless the failure is known to have changed nothing.
    """
    before = digest_inputs(root, step.made_from, step.settings)
    step.stamp.parent.mkdir(parents=True, exist_ok=True)
    step.stamp.write_text(BEGUN)
    try:
        step.run()
    except NetworkError:
        step.stamp.unlink(missing_ok=True)
        raise
    step.stamp.parent.mkdir(parents=True, exist_ok=True)
    step.stamp.write_text(before)


def due_steps(steps: Sequence[Step], base: Step, root: Path) -> list[Step]:
    """List the steps that have to run. `base` makes what the steps with a stamp beside its own stand in.

    Where an install was cut short, nobody knows which packages are whole: the base is made anew, and all that stands in
    it. The installer's cache makes that cheap.
    """
    stamps = base.stamp.parent
    cut_short = any(stamp.read_text() == BEGUN for stamp in stamps.glob("*"))
    anew = cut_short or not is_done(base, root)
    return [step for step in steps if (anew and step.stamp.parent == stamps) or not is_done(step, root)]
