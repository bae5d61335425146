"""Read the tenants file once at start: verification thresholds for single tenants."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rag.config.settings import Settings
from rag.config.strict_yaml import FileError, explain, load_yaml
from rag.verification import Mode, Policies, Policy
from schemas.request import TenantId

Share = Annotated[float, Field(ge=0, le=1)]


class TenantsError(ValueError):
    """The tenants file cannot be used; the message is one line."""


class _Entry(BaseModel):
    """The values that one tenant overrides; None means the value of the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    verification: Mode | None = None
    unsupported_below: Share | None = None
    supported_from: Share | None = None
    entailed_from: Share | None = None
    answerable_from: Share | None = None
    quoted_enough: Share | None = None


_SHARE: Final = "a number from 0 to 1"
_RULES: Final = {
    "": "a mapping with the one field `tenants`",
    "[key]": "a tenant id, 1 to 64 characters of A-Za-z0-9._-",
    "tenants": "a mapping of tenant ids to mappings",
    "verification": "repair, drop or mark",
    **dict.fromkeys(_Entry.model_fields.keys() - {"verification"}, _SHARE),
}


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    tenants: dict[TenantId, _Entry]


def load_policies(settings: Settings) -> Policies:
    """Return the default policy of the settings, and the policies of the tenants that the file names.

    Raises: TenantsError: the file is missing or invalid, or asks for a mode that needs a generator when there is none.
    """
    default = Policy(
        mode=settings.verification,
        unsupported_below=settings.unsupported_below,
        supported_from=settings.supported_from,
        entailed_from=settings.entailed_from,
        answerable_from=settings.answerable_from,
        quoted_enough=settings.quoted_enough,
        translates=settings.translated_answers,
    )
    if settings.tenants_file is None:
        return Policies(default)
    entries = _parse(settings.tenants_file).tenants
    if settings.generator_model is None:
        _require_quotations(settings.tenants_file, entries)
    return Policies(default, {tenant_id: _override(default, entry) for tenant_id, entry in entries.items()})


def describe_policies(policies: Policies) -> str:
    """Return a digest of the tenants' policies, which is part of the fingerprint in `model_version`."""
    tenants = sorted((tenant_id, sorted(asdict(policy).items())) for tenant_id, policy in policies.tenants.items())
    return hashlib.sha256(repr(tenants).encode()).hexdigest()


def _parse(path: Path) -> _File:
    try:
        return _File.model_validate(load_yaml(path.read_bytes()))
    except OSError as error:
        raise TenantsError(f"{path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise TenantsError(f"{path}: {explain(error, _RULES)}") from None
    except FileError as error:
        raise TenantsError(f"{path}: {error}") from None


def _require_quotations(path: Path, entries: Mapping[str, _Entry]) -> None:
    for tenant_id, entry in entries.items():
        if entry.verification not in (None, "repair"):
            raise TenantsError(
                f"{path}: tenants.{tenant_id}.verification: must be repair where RAG_GENERATOR_MODEL is none"
            )


def _override(default: Policy, entry: _Entry) -> Policy:
    own = entry.model_dump(exclude_none=True)
    if "verification" in own:
        own["mode"] = own.pop("verification")
    return replace(default, **own)
