"""The steps that make files survive a crash, in one object, so that a test can fail or die at each of them."""

import os
import shutil
from pathlib import Path


class Disk:
    """Durable file operations: what has returned is still there after a power cut."""

    def sync(self, path: Path) -> None:
        """Flushes one file or one directory."""
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def sync_tree(self, folder: Path) -> None:
        """Flushes everything below a folder, contents before the directories that name them."""
        for path in sorted(folder.rglob("*"), reverse=True):
            self.sync(path)
        self.sync(folder)

    def rename(self, source: Path, target: Path) -> None:
        """Puts `source` in the place of `target` in one step."""
        source.replace(target)
        self.sync(target.parent)

    def make_folder(self, folder: Path) -> None:
        """Makes a folder and those above it, where they are missing."""
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for made in missing:
            self.sync(made.parent)

    def write(self, path: Path, content: bytes) -> None:
        """Replaces a file's content: a reader sees the old or the new, never a part."""
        beside = path.with_name(path.name + ".new")
        beside.write_bytes(content)
        self.sync(beside)
        self.rename(beside, path)

    def remove(self, path: Path) -> None:
        """Removes a file or a folder with all that is in it."""
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
