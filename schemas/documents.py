"""Define the documents of a tenant, the jobs that change them, and what the front orders from the Ingestor."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from schemas.request import DocumentId, TenantId

JobStatus = Literal["queued", "running", "succeeded", "failed"]
JobKind = Literal["add", "remove"]
JOB_ID_PATTERN: Final = r"^job_[0-9a-f]{32}\Z"
TOKEN_PATTERN: Final = r"^[0-9a-f]{32}$"  # noqa: S105  # names a file
TITLE_MAX_CHARS: Final = 500
# Of one request.
UPLOAD_FILES_MAX: Final = 20


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class JobFile(_Body):
    """One file that was sent; `name` is the cleaned last part of the name that the client gave it."""

    name: str
    size_bytes: int
    sha256: str


class JobProgress(_Body):
    """How far the running step is: `done` of `total` files that are read, or of chunks that are embedded."""

    step: str
    done: int
    total: int


class Job(_Body):
    """One change of a tenant's documents, from its acceptance to its end; times are UTC in ISO 8601.

    `succeeded` is said if all of it was done. A `failed` job has a `reason` for a person; if only some of the files
    could be read, it has a `result` too.
    """

    id: str
    status: JobStatus
    kind: JobKind
    tenant_id: str
    document_id: str | None = Field(description="As it was given; null: the id comes from each file's name.")
    files: list[JobFile]
    created_at: str
    started_at: str | None
    ended_at: str | None
    progress: JobProgress | None
    result: dict[str, Any] | None = Field(description="What the command `add` or `remove` prints.")
    reason: str | None
    trace_id: str = Field(description="Of the request that ordered the job.")


class ListedDocument(_Body):
    """One document that the caller sees; `chunks` are the pieces that it is searched by."""

    document_id: str
    title: str
    document_version: int
    chunks: int
    groups: list[str]
    metadata: dict[str, list[str]]


class DocumentList(_Body):
    """The documents of a tenant, sorted by id; `version` is that of the index, null if there is none."""

    tenant: str
    version: str | None
    documents: list[ListedDocument]
    may_write: bool = Field(description="Whether this service takes and removes documents over HTTP.")


class SentFile(_Body):
    """A file that the Ingestor has received under this token."""

    token: Annotated[str, StringConstraints(pattern=TOKEN_PATTERN)]
    name: str


class JobOrder(_Body):
    """What the front orders from the Ingestor, checked: who wants which change of what.

    `caller_groups` are the groups of the caller: it changes no document that it does not see. Of a document's `groups`
    and `metadata`, None means that they stay as they are.
    """

    kind: JobKind
    tenant_id: TenantId
    principal_id: str
    caller_groups: list[str]
    trace_id: str
    files: list[SentFile] = Field(default_factory=list, max_length=UPLOAD_FILES_MAX)
    document_id: DocumentId | None = None
    title: str | None = None
    groups: list[str] | None = None
    metadata: dict[str, list[str]] | None = None
