"""The Ingestor put together from its settings, as a part of a BentoML service: its paths, and its work."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from rag.background import kept_running
from rag.config.settings import Settings
from rag.index.opening import open_engine
from rag.ingestor.app import make_app
from rag.ingestor.command import IngestionCommand
from rag.ingestor.desk import JobDesk
from rag.observability import metrics


class Ingestor:
    """The desk with its application."""

    def __init__(self, desk: JobDesk, *, is_on: bool = True) -> None:
        """`is_on=False`: it takes no orders and touches no disk, for platforms that start every service of a Bento."""
        self._desk = desk
        self._is_on = is_on
        self.app: ASGIApp = make_app(desk)

    @property
    def is_ready(self) -> bool:
        """Whether it takes orders, or is not meant to."""
        return self._desk.is_open or not self._is_on

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do the jobs during the block; at its end a running job is put back into the queue."""
        metrics.begin_jobs()
        if not self._is_on:
            yield
            return
        async with kept_running("jobs", self._desk.work):
            yield
        self._desk.close()


def open_ingestor(settings: Settings, environment: Mapping[str, str]) -> Ingestor:
    """Make the Ingestor; nothing is read or written before it runs."""
    engine = open_engine(settings.secret_index_url, settings.index_dir)
    command = IngestionCommand(engine, settings.index_dir, environment, timeout_s=settings.job_timeout_s)
    return Ingestor(JobDesk(settings.spool_dir, command), is_on=settings.uploads == "on")
