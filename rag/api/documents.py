"""The doors by which documents come and go: `/documents`, `/documents/{document_id}`, `/jobs/{job_id}`.

The front knows callers, checks what they ask for, and bounds it while it arrives; the Ingestor, which alone writes,
gets each file piece by piece, and then one order. So nothing of a file is kept here, and fronts need no writable disk.
What has been sent of a request that fails is removed there.

All four need a principal that may write. A document that the caller does not see is answered as one that does not
exist, and so is a job of a tenant that is not its own.
"""

import re
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rag.api.exchange import End, Endpoint, QueryDesk, send_json, unless_gone
from rag.api.multipart import PartBegin, PartData, read_boundary, read_parts
from rag.api.origin import is_own_page
from rag.api.upload_form import Form, read_order
from rag.clients.ingestor_client import FileStream, IngestorClient
from rag.errors import BadRequest, Forbidden, InvalidRequest, NotFound, PayloadTooLarge
from rag.identity import OpenAuthenticator, Principal
from rag.index.manifest import DocumentEntry
from rag.limits import Deadline, Places
from rag.observability.telemetry import QueryRecord
from schemas.documents import JOB_ID_PATTERN, DocumentList, Job, JobOrder, ListedDocument, SentFile
from schemas.errors import FieldError
from schemas.request import TENANT_PATTERN

DEFAULT_TENANT: Final = "demo"
# Uploads at the same time in one front, so that slow ones take no places of queries.
UPLOADS_MAX: Final = 4
HEADERS: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
_OFF: Final = "This service takes no documents over HTTP."
_FOREIGN: Final = "Pages of this origin may not change documents."
_JOB_ID: Final = re.compile(JOB_ID_PATTERN)
_DOCUMENT_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TENANT: Final = re.compile(TENANT_PATTERN)


class DocumentLists(Protocol):
    """Lists the documents of a tenant."""

    async def documents(self, tenant_id: str) -> tuple[str | None, Sequence[DocumentEntry]]:
        """As `rag.index.engine.IndexServer.documents`."""
        ...


@dataclass(frozen=True, slots=True)
class DocumentDesk:
    """What the routes of documents share; `ingestor()` is None where documents are not taken over HTTP."""

    ingestor: Callable[[], IngestorClient | None]
    lists: DocumentLists
    upload_max_bytes: int
    upload_timeout_s: float
    origins: Collection[str] = ()  # whose pages may call us
    uploads: Places = field(default_factory=lambda: Places(UPLOADS_MAX, queue_timeout_s=1.0))


class DocumentEndpoint(Endpoint):
    """A route of documents: identifies the caller, and whether it may write at all."""

    def __init__(
        self, desk: QueryDesk, documents: DocumentDesk, *, model_version: str, timeout_s: float | None = None
    ) -> None:
        super().__init__(desk, timeout_s=timeout_s or desk.request_timeout_s)
        self._documents = documents
        self._model_version = model_version

    async def _identify_writer(self, headers: Headers, record: QueryRecord) -> Principal:
        principal = await self._identify(headers, record)
        record.model_version = self._model_version
        principal.require_write()
        return principal

    def _require_ingestor(self) -> IngestorClient:
        ingestor = self._documents.ingestor()
        if ingestor is None:
            raise Forbidden(_OFF)
        return ingestor

    def _require_own_page(self, headers: Headers) -> None:
        """Refuse pages of other sites: where callers need no key, they could send a form through somebody's browser."""
        is_open = isinstance(self._desk.authenticator, OpenAuthenticator)
        if is_open and not is_own_page(headers, self._desk.public_url, self._documents.origins):
            raise Forbidden(_FOREIGN)

    async def _submit(self, ingestor: IngestorClient, principal: Principal, order: JobOrder) -> Job:
        """Count the request, and order the job; it takes no place of a query, after all that has been sent."""
        reservation = await self._reserve(principal, order.tenant_id, 0)
        try:
            return await ingestor.submit(order)
        finally:
            await self._desk.limiter.settle(reservation, 0)


class BodilessEndpoint(DocumentEndpoint):
    """A route whose request has no body."""

    async def _serve(self, scope: Scope, receive: Receive, send: Send, record: QueryRecord, deadline: Deadline) -> End:
        principal = await self._identify_writer(Headers(scope=scope), record)
        return await unless_gone(receive, self._answer(principal, scope, receive, send, record), deadline)

    @abstractmethod
    async def _answer(
        self, principal: Principal, scope: Scope, receive: Receive, send: Send, record: QueryRecord
    ) -> End:
        """Answer the request completely."""


class ListEndpoint(BodilessEndpoint):
    """`GET /documents`: what the command `list` prints, as far as the caller sees it."""

    async def _answer(
        self, principal: Principal, scope: Scope, receive: Receive, send: Send, record: QueryRecord
    ) -> End:
        tenant_id = _read_tenant(scope["query_string"], record)
        principal.require(tenant_id)
        async with self._admitted(principal, tenant_id, 0, record) as settle:
            version, stored = await self._documents.lists.documents(tenant_id)
            await settle()
            documents = [
                ListedDocument(
                    document_id=each.document_id,
                    title=each.title,
                    document_version=each.document_version,
                    chunks=each.chunks,
                    groups=list(each.groups),
                    metadata={key: list(values) for key, values in each.metadata.items()},
                )
                for each in _seen_by(principal, stored)
            ]
            may_write = self._documents.ingestor() is not None
            body = DocumentList(tenant=tenant_id, version=version, documents=documents, may_write=may_write)
            await send_json(send, body, headers=HEADERS)
        return "unasked"


class JobEndpoint(BodilessEndpoint):
    """`GET /jobs/{job_id}`."""

    async def _answer(
        self, principal: Principal, scope: Scope, receive: Receive, send: Send, record: QueryRecord
    ) -> End:
        ingestor = self._require_ingestor()
        job_id = scope["path_params"]["job_id"]
        _read_query(scope["query_string"], ())
        job = await ingestor.find(job_id, trace_id=record.trace_id) if _JOB_ID.fullmatch(job_id) else None
        if job is None or not principal.may_use(job.tenant_id):
            raise NotFound
        record.tenant_id = job.tenant_id
        async with self._admitted(principal, job.tenant_id, 0, record) as settle:
            await settle()
            await send_json(send, job, headers=HEADERS)
        return "unasked"


class DeleteEndpoint(BodilessEndpoint):
    """`DELETE /documents/{document_id}`: orders a job that removes the document."""

    async def _answer(
        self, principal: Principal, scope: Scope, receive: Receive, send: Send, record: QueryRecord
    ) -> End:
        ingestor = self._require_ingestor()
        self._require_own_page(Headers(scope=scope))
        tenant_id, document_id = _read_tenant(scope["query_string"], record), scope["path_params"]["document_id"]
        principal.require(tenant_id)
        if not _DOCUMENT_ID.fullmatch(document_id):
            raise NotFound
        _, stored = await self._documents.lists.documents(tenant_id)
        if all(each.document_id != document_id for each in _seen_by(principal, stored)):
            raise NotFound("There is no document of this id.")
        order = JobOrder(
            kind="remove",
            tenant_id=tenant_id,
            principal_id=principal.id,
            caller_groups=sorted(principal.groups),
            trace_id=record.trace_id,
            document_id=document_id,
        )
        job = await self._submit(ingestor, principal, order)
        await _send_job(job, scope, receive, send)
        return "unasked"


class UploadEndpoint(DocumentEndpoint):
    """`POST /documents`: sends the files on while they arrive, then orders a job that adds them."""

    def __init__(self, desk: QueryDesk, documents: DocumentDesk, *, model_version: str) -> None:
        super().__init__(desk, documents, model_version=model_version, timeout_s=documents.upload_timeout_s)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, record: QueryRecord, deadline: Deadline) -> End:
        headers = Headers(scope=scope)
        principal = await self._identify_writer(headers, record)
        ingestor = self._require_ingestor()
        self._require_own_page(headers)
        _read_query(scope["query_string"], ())
        boundary = read_boundary(headers)
        intake = _Intake(Form(principal), ingestor, record.trace_id, self._documents.upload_max_bytes, deadline)
        try:
            async with self._documents.uploads.hold(), deadline.enforced():
                await intake.receive(boundary, receive)
                order = read_order(intake.form, intake.sent, trace_id=record.trace_id)
                record.tenant_id = order.tenant_id
                job = await self._submit(ingestor, principal, order)
        except BaseException:
            await intake.undo()
            raise
        await _send_job(job, scope, receive, send)
        return "unasked"


class _Intake:
    """The parts of one request: fields into the form, files to the Ingestor."""

    def __init__(self, form: Form, ingestor: IngestorClient, trace_id: str, max_bytes: int, deadline: Deadline) -> None:
        self.form: Final = form
        self.sent: Final[list[SentFile]] = []
        self._ingestor = ingestor
        self._trace_id = trace_id
        self._max_bytes = max_bytes
        self._deadline = deadline
        self._stream: FileStream | None = None
        self._size_bytes = 0

    async def receive(self, boundary: bytes, receive: Receive) -> None:
        """Take all parts.

        Raises: RagError: what is wrong with them; ClientDisconnect.
        """
        async for event in read_parts(boundary, receive):
            match event:
                case PartBegin(name, filename):
                    if self.form.begin(name, filename):
                        self._begin_file()
                case PartData(data):
                    await self._add(data)
                case _:
                    await self._end()

    async def undo(self) -> None:
        """Remove what has been sent."""
        if self._stream is not None:
            await self._stream.abort()
        for each in self.sent:
            await self._ingestor.discard(each.token)

    def _begin_file(self) -> None:
        self._size_bytes = 0
        self._stream = self._ingestor.send_file(trace_id=self._trace_id, timeout_s=max(0.001, self._deadline.left_s()))

    async def _add(self, data: bytes) -> None:
        if self._stream is None:
            self.form.add(data)
            return
        self._size_bytes += len(data)
        if self._size_bytes > self._max_bytes:
            raise PayloadTooLarge(f"A file is larger than {self._max_bytes} bytes.")
        await self._stream.write(data)

    async def _end(self) -> None:
        if self._stream is None:
            self.form.end()
            return
        if not self._size_bytes:
            raise InvalidRequest([FieldError(path="file", reason="is empty")])
        await self._stream.finish()
        self.sent.append(SentFile(token=self._stream.token, name=self.form.end_file()))
        self._stream = None


async def _send_job(job: Job, scope: Scope, receive: Receive, send: Send) -> None:
    headers = {"location": f"/jobs/{job.id}", **{name.decode(): value.decode() for name, value in HEADERS}}
    response = Response(job.model_dump_json(), 202, headers=headers, media_type="application/json")
    await response(scope, receive, send)


def _seen_by(principal: Principal, stored: Iterable[DocumentEntry]) -> list[DocumentEntry]:
    return [each for each in stored if not each.groups or not principal.groups.isdisjoint(each.groups)]


def _read_tenant(query_string: bytes, record: QueryRecord) -> str:
    """Return the parameter `tenant_id`, the only one there is.

    Raises: BadRequest, InvalidRequest.
    """
    tenant_id = _read_query(query_string, ("tenant_id",)).get("tenant_id", DEFAULT_TENANT)
    if not _TENANT.fullmatch(tenant_id):
        raise InvalidRequest([FieldError(path="tenant_id", reason="has 1 to 64 characters of A-Za-z0-9._-")])
    record.tenant_id = tenant_id
    return tenant_id


def _read_query(query_string: bytes, known: tuple[str, ...]) -> Mapping[str, str]:
    """Return the parameters.

    Raises: BadRequest: the query string is not percent-encoded UTF-8. InvalidRequest: one is unknown, or given twice.
    """
    try:
        pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise BadRequest("The query string is not percent-encoded UTF-8.") from error
    names = [name for name, _ in pairs]
    unknown = [name[:100] for name in dict.fromkeys(names) if name not in known]
    problems = [FieldError(path=name, reason="is not a parameter of this path") for name in unknown[:20]]
    problems += [FieldError(path=name, reason="is given more than once") for name in known if names.count(name) > 1]
    if problems:
        raise InvalidRequest(problems)
    return dict(pairs)
