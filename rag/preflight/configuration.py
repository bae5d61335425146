"""Check the configuration: settings, identities, tenants file, BentoML's configuration."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import httpx

from rag.config.environment import SettingsError, load_settings
from rag.config.settings import Settings
from rag.config.strict_yaml import FileError, load_yaml
from rag.identity.api_keys import parse_identities
from rag.identity.key_sets import fetch, parse_key_set
from rag.identity.sources import SourceError
from rag.preflight.finding import Finding
from rag.tenants import TenantsError, load_policies

SERVICES: Final = ("RagService", "Embedder", "Reranker", "Generator")


def read_settings(environ: Mapping[str, str]) -> tuple[Settings | None, list[Finding]]:
    """Return the settings, or None if the service would not start with them, and the findings about them."""
    try:
        settings = load_settings(environ)
    except SettingsError as error:
        return None, [Finding("missing", "settings", problem, "set it right") for problem in error.problems]
    findings = [Finding("ok", "settings", f"RAG_ENV={settings.env}, RAG_PROFILE={settings.profile}")]
    if settings.env != "production":
        todo = "set RAG_ENV=production: it refuses to start without identities, shared limits and pinned models"
        findings = [Finding("missing", "settings", f"RAG_ENV={settings.env}", todo)]
    if settings.log_content_sample:
        todo = "set RAG_LOG_CONTENT_SAMPLE=0"
        findings.append(Finding("warning", "log content", "questions and answers are logged now and then", todo))
    if settings.verification == "mark":
        todo = "set RAG_VERIFICATION=repair or drop"
        findings.append(Finding("warning", "verification", "unsupported sentences reach the client", todo))
    return settings, findings


def check_identities(settings: Settings) -> Iterator[Finding]:
    """Check the identities file and the key set for JWTs, each if it is configured."""
    if settings.identities_file is None and settings.jwt_jwks is None:
        yield Finding("missing", "identities", "none: everybody may ask", "set RAG_IDENTITIES_FILE or RAG_JWT_JWKS")
    try:
        if settings.identities_file is not None:
            yield _judge_principals(settings.identities_file)
        if settings.jwt_jwks is not None:
            yield _judge_key_set(settings.jwt_jwks)
    except (SourceError, OSError, httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) if isinstance(error, SourceError) else type(error).__name__
        yield Finding("missing", "identities", f"cannot be read: {reason}", "mend or mount it")


def _judge_principals(path: Path) -> Finding:
    holders = parse_identities(path.read_bytes())
    if not holders:
        return Finding("missing", "identities", "the file names nobody", "add a key: python -m rag.identity new-key")
    everywhere = sum(holder.principal.tenants is None for holder in holders)
    return Finding("ok", "identities", f"{len(holders)} principals with keys, {everywhere} of them for all tenants")


def _judge_key_set(jwks: str) -> Finding:
    is_remote = jwks.startswith(("http://", "https://"))
    data = asyncio.run(fetch(httpx.URL(jwks))) if is_remote else Path(jwks).read_bytes()
    keys = parse_key_set(data, allow_secrets=not is_remote)
    if not keys:
        return Finding("missing", "key set", "it is empty: no token is accepted", "ask its issuer")
    if jwks.startswith("http://"):
        return Finding("warning", "key set", f"{len(keys)} keys, fetched without TLS", "use an https:// URL")
    return Finding("ok", "key set", f"{len(keys)} keys")


def check_tenants_file(settings: Settings) -> Iterator[Finding]:
    """Check that the tenants file, if there is one, can be loaded."""
    if settings.tenants_file is None:
        return
    try:
        count = len(load_policies(settings).tenants)
    except TenantsError as error:
        yield Finding("missing", "tenants file", str(error), "mend or mount it")
    else:
        yield Finding("ok", "tenants file", f"{count} tenants have thresholds of their own")


def check_serving(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Check BENTOML_CONFIG, and that BentoML's usage reports are off."""
    yield _judge_bentoml_config(environ.get("BENTOML_CONFIG"))
    if environ.get("BENTOML_DO_NOT_TRACK", "").lower() != "true":
        yield Finding("warning", "usage reports", "BentoML may send them", "set BENTOML_DO_NOT_TRACK=True")


def _judge_bentoml_config(path: str | None) -> Finding:
    name = "BENTOML_CONFIG"
    if not path:
        return Finding("ok", name, "not set: the Bento's configuration.yaml applies")
    try:
        content = load_yaml(Path(path).read_bytes())
    except (OSError, FileError) as error:
        return Finding("missing", name, f"{path} cannot be read: {type(error).__name__}", "mount or mend the file")
    services = content.get("services") if isinstance(content, dict) else None
    unnamed = [service for service in SERVICES if not isinstance(services, dict) or service not in services]
    if unnamed:
        # BentoML accepts unknown service names without a warning.
        return Finding("warning", name, f"{path} says nothing of {', '.join(unnamed)}", "compare the names")
    return Finding("ok", name, path)
