"""Send files and orders to the Ingestor: a file goes on while it arrives, and is never whole in this process."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
from pydantic import ValidationError

from rag.errors import (
    BadRequest,
    ConcurrencyLimited,
    NotReady,
    OurFault,
    RagError,
    UpstreamError,
)
from schemas.documents import Job, JobOrder
from schemas.errors import ErrorCode

_DOWN: Final = "The service that takes documents is down."
_DOWN_RETRY_AFTER_S: Final = 5.0
# Pieces of a file on their way; each is at most what one `receive` gives, 64 KiB with uvicorn.
_PIECES_MAX: Final = 8
# The Ingestor refuses what there is no room for; for everything else it has all the time of the upload.
_CALL_TIMEOUT_S: Final = 10.0
_REFUSALS: Final[dict[str, type[RagError]]] = {
    ErrorCode.NOT_READY: NotReady,
    ErrorCode.CONCURRENCY_LIMIT: ConcurrencyLimited,
    ErrorCode.BAD_REQUEST: BadRequest,
}


class FileStream:
    """One file on its way to the Ingestor, known there by `token`; every stream is finished or aborted."""

    def __init__(self, client: httpx.AsyncClient, trace_id: str, timeout_s: float) -> None:
        self.token: Final = secrets.token_hex(16)
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(_PIECES_MAX)
        request = client.put(
            f"/files/{self.token}", content=self._read(), headers={"x-trace-id": trace_id}, timeout=timeout_s
        )
        self._sending = asyncio.ensure_future(request)

    async def write(self, data: bytes) -> None:
        """Send a piece; waits while the Ingestor is slower.

        Raises: RagError: the Ingestor refuses the file, or is gone.
        """
        await self._put(data)

    async def finish(self) -> None:
        """Wait until the file is on the Ingestor's disk.

        Raises: RagError: it is not.
        """
        await self._put(None)
        await self._answer()

    async def abort(self) -> None:
        """Let go of the file: what has arrived of it is removed there."""
        self._sending.cancel()
        await asyncio.gather(self._sending, return_exceptions=True)

    async def _read(self) -> AsyncIterator[bytes]:
        while (piece := await self._pieces.get()) is not None:
            yield piece

    async def _put(self, piece: bytes | None) -> None:
        putting = asyncio.ensure_future(self._pieces.put(piece))
        try:
            await asyncio.wait({putting, self._sending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            putting.cancel()
        if self._sending.done():  # it was answered before its end
            await self._answer()
            raise UpstreamError

    async def _answer(self) -> None:
        try:
            _read_json(await asyncio.shield(self._sending))
        except httpx.HTTPError as error:
            raise _translate() from error


class IngestorClient:
    """The Ingestor, over HTTP; all methods raise RagError, with what the client is to be told."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    def send_file(self, *, trace_id: str, timeout_s: float) -> FileStream:
        """Open a stream for one file."""
        return FileStream(self._client, trace_id, timeout_s)

    async def discard(self, token: str) -> None:
        """Remove a file that is not ordered; if that fails, the Ingestor does so later."""
        try:
            await self._client.delete(f"/files/{token}", timeout=_CALL_TIMEOUT_S)
        except httpx.HTTPError:
            return

    async def submit(self, order: JobOrder) -> Job:
        """Order a job; it survives whatever happens once this returns."""
        headers = {"x-trace-id": order.trace_id, "content-type": "application/json"}
        return _read_job(await self._call("POST", "/jobs", content=order.model_dump_json(), headers=headers))

    async def find(self, job_id: str, *, trace_id: str) -> Job | None:
        """Return the job; None if there is none of this id."""
        response = await self._call("GET", f"/jobs/{job_id}", headers={"x-trace-id": trace_id})
        return None if response.status_code == httpx.codes.NOT_FOUND else _read_job(response)

    async def _call(self, method: str, path: str, **fields: Any) -> httpx.Response:  # Any: httpx's
        try:
            return await self._client.request(method, path, timeout=_CALL_TIMEOUT_S, **fields)
        except httpx.HTTPError as error:
            raise _translate() from error


def _translate() -> RagError:
    """A service that starts again takes connections before it answers, so silence means the same as nobody there."""
    return NotReady(_DOWN, retry_after_s=_DOWN_RETRY_AFTER_S)


def _read_job(response: httpx.Response) -> Job:
    try:
        return Job.model_validate(_read_json(response))
    except ValidationError as error:
        raise UpstreamError from error


def _read_json(response: httpx.Response) -> Any:  # Any: JSON, checked by the caller
    """Return the body of a success.

    Raises: RagError: what a refusal says.
    """
    try:
        told = response.json()
    except ValueError as error:
        raise UpstreamError from error
    if response.is_success:
        return told
    refusal = _REFUSALS.get(told.get("code", "")) if isinstance(told, dict) else None
    if refusal is None:
        raise OurFault
    raise refusal(told["message"], retry_after_s=told.get("retry_after_s"))
