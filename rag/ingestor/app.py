"""The paths of the Ingestor, for fronts alone: files, jobs. Its failures are JSON that the front turns into its own."""

import re
from collections.abc import AsyncIterator
from typing import Final

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rag.errors import NotFound, NotReady, RagError
from rag.ingestor.desk import JobDesk
from schemas.documents import TOKEN_PATTERN, JobOrder
from schemas.errors import ERROR_TABLE, ErrorCode

# As in nginx; no client ever sees this status.
CLIENT_GONE: Final = 499
PATHS: Final = ("/files/", "/jobs")
_STARTING: Final = "The service that takes documents is starting."
_TOKEN: Final = re.compile(TOKEN_PATTERN)


def make_app(desk: JobDesk) -> Starlette:
    """Create the application; who reaches it is trusted."""

    async def receive(request: Request) -> Response:
        token = request.path_params["token"]
        if not _TOKEN.fullmatch(token):
            raise NotFound
        if not desk.is_open:
            raise NotReady(_STARTING)
        try:
            spooled = await desk.spool.receive(token, _read(request))
        except ClientDisconnect:
            return Response(status_code=CLIENT_GONE)
        return JSONResponse({"size_bytes": spooled.size_bytes, "sha256": spooled.sha256})

    async def discard(request: Request) -> Response:
        desk.spool.discard(request.path_params["token"])
        return Response(status_code=204)

    async def submit(request: Request) -> Response:
        try:
            order = JobOrder.model_validate_json(await request.body())
        except ValidationError:
            return JSONResponse({"code": ErrorCode.INTERNAL_ERROR, "message": "the order is not valid"}, 500)
        return _json(desk.submit(order).model_dump_json())

    async def find(request: Request) -> Response:
        if not desk.is_open:  # it may be one of an earlier process, not read yet
            raise NotReady(_STARTING)
        job = desk.find(request.path_params["job_id"])
        if job is None:
            raise NotFound
        return _json(job.model_dump_json())

    return Starlette(
        routes=[
            Route("/files/{token}", receive, methods=["PUT"]),
            Route("/files/{token}", discard, methods=["DELETE"]),
            Route("/jobs", submit, methods=["POST"]),
            Route("/jobs/{job_id}", find, methods=["GET"]),
        ],
        exception_handlers={RagError: _tell},
    )


async def _read(request: Request) -> AsyncIterator[bytes]:
    async for piece in request.stream():
        if piece:
            yield piece


async def _tell(_: Request, error: Exception) -> Response:
    assert isinstance(error, RagError)
    body = {"code": error.code, "message": error.message, "retry_after_s": error.retry_after_s}
    return JSONResponse(body, ERROR_TABLE[error.code].status)


def _json(body: str) -> Response:
    return Response(body, media_type="application/json")
