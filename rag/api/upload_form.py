"""The fields of `POST /documents`, from their bytes to an order: each is checked as soon as it is there.

`groups` may be repeated; each is a JSON list of names, or names parted by commas. `metadata` is a JSON object whose
values are a text or a list of texts. An empty field counts as not given, as forms send it; `[]` and `{}` take away what
a document has.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

from rag.api.multipart import FIELDS_MAX_BYTES, clean_name
from rag.config.strict_json import require_distinct
from rag.errors import BadRequest, InvalidRequest, PayloadTooLarge
from rag.identity import Principal
from rag.text.document_ids import make_id
from rag.text.document_labels import LabelError, read_document_groups, read_metadata
from rag.text.labels import is_label, read_label
from schemas.documents import TITLE_MAX_CHARS, UPLOAD_FILES_MAX, JobOrder, SentFile
from schemas.errors import FieldError
from schemas.request import TENANT_PATTERN

FILE: Final = "file"
FIELDS: Final = ("tenant_id", "document_id", "title", "metadata", "groups")
_REPEATED: Final = "groups"
_GROUP_FIELDS_MAX: Final = 50
_TENANT: Final = re.compile(TENANT_PATTERN)
_DOCUMENT_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_DEFAULT_TENANT: Final = "demo"


class Form:
    """The fields of one request, and the names of its files."""

    def __init__(self, principal: Principal) -> None:
        self.principal: Final = principal
        self.values: Final[dict[str, list[str]]] = {}
        self._name = ""
        self._filename = ""
        self._files = 0
        self._value = bytearray()
        self._size_bytes = 0

    def begin(self, name: str, filename: str | None) -> bool:
        """Begin a part; return whether it is a file, whose data are not for the form.

        Raises: InvalidRequest: there is no such part, or no more of it.
        """
        if name == FILE:
            if not filename:
                raise _invalid(FILE, "has no file name")
            self._files += 1
            if self._files > UPLOAD_FILES_MAX:
                raise _invalid(FILE, f"is given more than {UPLOAD_FILES_MAX} times")
            self._filename = filename
            return True
        if name not in FIELDS:
            raise _invalid(name[:100], "is not a part of this form")
        if len(self.values.get(name, ())) >= (_GROUP_FIELDS_MAX if name == _REPEATED else 1):
            raise _invalid(name, "is given too often" if name == _REPEATED else "is given more than once")
        self._name = name
        self._value.clear()
        return False

    def add(self, data: bytes) -> None:
        """Raises: PayloadTooLarge: the fields are too large."""
        self._size_bytes += len(data)
        if self._size_bytes > FIELDS_MAX_BYTES:
            raise PayloadTooLarge("The fields of the form are larger than allowed.")
        self._value += data

    def end(self) -> None:
        """End a field.

        Raises: BadRequest: it is not UTF-8; Forbidden: it names a tenant that is not the caller's; InvalidRequest.
        """
        try:
            text = self._value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadRequest("A field of the form is not UTF-8.") from error
        self.values.setdefault(self._name, []).append(text)
        if self._name == "tenant_id":  # before files of a foreign tenant are read
            self.principal.require(self.tenant_id)

    def end_file(self) -> str:
        """Return the name under which the file is kept."""
        return clean_name(self._filename)

    @property
    def tenant_id(self) -> str:
        """Raises: InvalidRequest: it is none."""
        tenant_id = self.find("tenant_id") or _DEFAULT_TENANT
        if not _TENANT.fullmatch(tenant_id):
            raise _invalid("tenant_id", "has 1 to 64 characters of A-Za-z0-9._-")
        return tenant_id

    def find(self, name: str) -> str | None:
        """Return the value of a field that is given once; None if it is not given, or empty."""
        (value,) = self.values.get(name, [""])
        return value or None


def read_order(form: Form, files: Sequence[SentFile], *, trace_id: str) -> JobOrder:
    """Return what the form orders.

    Raises: InvalidRequest: with all problems; Forbidden: the tenant is not the caller's.
    """
    form.principal.require(form.tenant_id)
    problems: list[FieldError] = []
    document_id, title = _read_document_id(form, files, problems), _read_title(form, files, problems)
    groups, metadata = _read_groups(form, problems), _read_metadata(form, problems)
    if not files:
        problems.append(FieldError(path=FILE, reason="is required"))
    if document_id is None:
        _check_names(files, problems)
    if problems:
        raise InvalidRequest(problems)
    return JobOrder(
        kind="add",
        tenant_id=form.tenant_id,
        principal_id=form.principal.id,
        caller_groups=sorted(form.principal.groups),
        trace_id=trace_id,
        files=list(files),
        document_id=document_id,
        title=title,
        groups=groups,
        metadata=metadata,
    )


def _check_names(files: Sequence[SentFile], problems: list[FieldError]) -> None:
    """Each file's name gives its document's id."""
    ids = [make_id(PurePosixPath(each.name).stem) for each in files]
    if len(set(ids)) < len(ids):
        problems.append(FieldError(path=FILE, reason="two files have names that give the same document id"))


def _read_document_id(form: Form, files: Sequence[SentFile], problems: list[FieldError]) -> str | None:
    document_id = form.find("document_id")
    if document_id is None:
        return None
    if not _DOCUMENT_ID.fullmatch(document_id):
        problems.append(FieldError(path="document_id", reason="has 1 to 128 characters of A-Za-z0-9._-"))
    elif len(files) > 1:
        problems.append(FieldError(path="document_id", reason="names one document, and several files are given"))
    return document_id


def _read_title(form: Form, files: Sequence[SentFile], problems: list[FieldError]) -> str | None:
    title = form.find("title")
    if title is None:
        return None
    title = read_label(title)
    if not is_label(title, TITLE_MAX_CHARS):
        reason = f"has 1 to {TITLE_MAX_CHARS} characters, none of them a control character"
        problems.append(FieldError(path="title", reason=reason))
    elif len(files) > 1:
        problems.append(FieldError(path="title", reason="names one document, and several files are given"))
    return title


def _read_groups(form: Form, problems: list[FieldError]) -> list[str] | None:
    given = [value for value in form.values.get("groups", []) if value.strip()]
    if not given:
        return None
    try:
        return list(read_document_groups(name for value in given for name in _split_groups(value)))
    except LabelError as error:
        problems.append(FieldError(path="groups", reason=str(error)))
    except (ValueError, RecursionError):
        problems.append(FieldError(path="groups", reason="must be a JSON list of names, or names parted by commas"))
    return None


def _split_groups(value: str) -> list[str]:
    """Raises: ValueError, RecursionError: it begins as a JSON list and is none of texts."""
    if not value.lstrip().startswith("["):
        return [name for name in value.split(",") if name.strip()]
    names = json.loads(value)
    if not all(isinstance(name, str) for name in names):
        raise ValueError("not texts")
    return list(names)


def _read_metadata(form: Form, problems: list[FieldError]) -> dict[str, list[str]] | None:
    text = form.find("metadata")
    if text is None:
        return None
    try:
        found = json.loads(text, object_pairs_hook=require_distinct)
        pairs = [(key, value) for key, values in _list_values(found).items() for value in values]
        return {key: list(values) for key, values in read_metadata(pairs).items()}
    except LabelError as error:
        problems.append(FieldError(path="metadata", reason=str(error)))
    except (ValueError, RecursionError):
        reason = "must be a JSON object of texts or lists of texts, without a name twice"
        problems.append(FieldError(path="metadata", reason=reason))
    return None


def _list_values(found: object) -> Mapping[str, list[str]]:
    """Raises: ValueError: it is no object of texts and lists of texts."""
    if not isinstance(found, dict):
        raise ValueError("no object")
    listed = {key: [value] if isinstance(value, str) else value for key, value in found.items()}
    if not all(isinstance(each, list) and all(isinstance(text, str) for text in each) for each in listed.values()):
        raise ValueError("not texts")
    return listed


def _invalid(path: str, reason: str) -> InvalidRequest:
    return InvalidRequest([FieldError(path=path, reason=reason)])
