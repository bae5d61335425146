"""Keep the file operations that survive a crash in one object, so that a test can fail or die at each of them."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, Literal

# An index holds the text of documents: other users of the machine must not read it.
_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600


def open_private(path: Path, mode: Literal["wb", "ab"]) -> BinaryIO:
    """Open a file that, if new, only this user may read, whatever the umask is."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_APPEND if mode == "ab" else os.O_TRUNC)
    return os.fdopen(os.open(path, flags, _FILE_MODE), mode)


class Disk:
    """Durable file operations: once a method has returned, its effect survives a power cut."""

    def sync(self, path: Path) -> None:
        """Flush one file or one directory."""
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def sync_tree(self, folder: Path) -> None:
        """Flush everything below a folder, contents before the directories that name them."""
        for path in sorted(folder.rglob("*"), reverse=True):
            self.sync(path)
        self.sync(folder)

    def rename(self, source: Path, target: Path) -> None:
        """Put `source` in the place of `target` in one step."""
        source.replace(target)
        self.sync(target.parent)

    def make_folder(self, folder: Path) -> None:
        """Make a folder, and its missing parents, accessible to this user alone."""
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        for each in reversed(missing):
            each.mkdir(_FOLDER_MODE, exist_ok=True)
        for made in missing:
            self.sync(made.parent)

    def make_private(self, folder: Path) -> None:
        """Restrict a folder and its contents to this user, if the file system supports it."""
        for path in (folder, *folder.rglob("*")):
            with suppress(OSError):
                path.chmod(_FOLDER_MODE if path.is_dir() else _FILE_MODE)

    def write(self, path: Path, content: bytes) -> None:
        """Replace a file's content: a reader sees the old or the new, never a part."""
        beside = path.with_name(path.name + ".new")
        with open_private(beside, "wb") as file:
            file.write(content)
        self.sync(beside)
        self.rename(beside, path)

    def remove(self, path: Path) -> None:
        """Remove a file, or a folder with its contents."""
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def link_file(source: Path, target: Path) -> None:
    """Hard-link a file, which takes neither time nor space; copy it if the file system refuses links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
