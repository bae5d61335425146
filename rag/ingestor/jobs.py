"""Keep jobs on disk, so that they outlive this process: a folder per job, whose `job.json` is replaced in one step."""

import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from rag.index.disk import Disk
from schemas.documents import Job, JobFile, JobOrder

_RECORD: Final = "job.json"
_FILES: Final = "files"

logger = logging.getLogger(__name__)


class StoredJob(BaseModel):
    """A job with its order; `attempts` counts how often it was begun, `digest` stands for all that was ordered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: Job
    order: JobOrder
    digest: str
    attempts: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it waits or runs."""
        return self.job.status in ("queued", "running")

    def changed(self, *, attempts: int | None = None, **fields: object) -> "StoredJob":
        """Return a copy with other fields of its job."""
        job = self.job.model_copy(update=fields)
        return self.model_copy(update={"job": job, "attempts": self.attempts if attempts is None else attempts})


def digest_order(order: JobOrder, files: Sequence[JobFile]) -> str:
    """Return the digest of all that decides what a job does, and for whom; not of the request that ordered it."""
    asked = order.model_dump(mode="json", exclude={"trace_id", "files"})
    asked["files"] = [(each.name, each.sha256) for each in files]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


class JobStore:
    """The folders of all jobs."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self._folder = folder
        self._disk = disk or Disk()

    def open(self) -> list[StoredJob]:
        """Make the folder, and return the jobs in it, in their order; what is no whole job is removed.

        Raises: OSError: the folder cannot be read or written.
        """
        self._disk.make_folder(self._folder)
        found = []
        for folder in sorted(self._folder.iterdir()):
            try:
                found.append(StoredJob.model_validate_json((folder / _RECORD).read_bytes()))
            except (OSError, ValidationError) as error:
                logger.warning("job_unreadable", extra={"fields": {"job_id": folder.name, "reason": str(type(error))}})
                shutil.rmtree(folder, ignore_errors=True)
        return sorted(found, key=lambda each: each.job.created_at)

    def begin(self, job_id: str, names: Sequence[str]) -> list[Path]:
        """Make a job's folder, and return where its files go: each has a folder of its own, so that names may repeat.

        Raises: ValueError: a name is more than a name.
        """
        if not all(name == Path(name).name and name not in ("", ".", "..") for name in names):
            raise ValueError("the name of a file has no folder")
        folder = self._folder / job_id
        self._disk.make_folder(folder)
        for number in range(len(names)):
            self._disk.make_folder(folder / _FILES / str(number))
        return self.files(job_id, names)

    def files(self, job_id: str, names: Sequence[str]) -> list[Path]:
        """Return where the files of a job are."""
        return [self._folder / job_id / _FILES / str(number) / name for number, name in enumerate(names)]

    def save(self, stored: StoredJob) -> None:
        """Write the job: after a crash it is as it was, or as it is now."""
        self._disk.write(self._folder / stored.job.id / _RECORD, stored.model_dump_json().encode())

    def drop_files(self, job_id: str) -> None:
        shutil.rmtree(self._folder / job_id / _FILES, ignore_errors=True)

    def remove(self, job_id: str) -> None:
        shutil.rmtree(self._folder / job_id, ignore_errors=True)
