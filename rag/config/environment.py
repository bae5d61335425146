"""Read the settings from the environment and check all of them before the service starts: one line per problem.

The environment is an argument, so that nothing else reads it and tests cannot affect each other.
"""

from collections.abc import Mapping
from typing import Final, Literal, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource

from rag.config.model_ref import ModelRef
from rag.config.settings import INDEX_SCHEMES, LOCAL_RERANKER, OURS, PREFIX, Settings

_MODEL_FORMS: Final = "bento:<tag>, hf:<repo>[@revision], path:<dir> or fake:"
_NAME: Final = "1 to 256 characters without white space around them"
_KEY: Final = "a key of printable ASCII characters"
_HTTP_URL: Final = "an http:// or https:// URL"
# Descriptions of ranges that cannot be derived from the annotations.
_RANGES: Final[Mapping[str, str]] = {
    "model_version": "1 to 64 characters of A-Za-z0-9._-",
    "embedder_model": _MODEL_FORMS,
    "reranker_model": _MODEL_FORMS,
    "verifier_model": _MODEL_FORMS,
    "generator_model": f"{_MODEL_FORMS}, or none",
    "generator_url": f"{_HTTP_URL} that ends in /v1",
    "generator_api_key": _KEY,
    "generator_name": _NAME,
    "embedder_name": _NAME,
    "reranker_name": _NAME,
    "embedder_api_key": _KEY,
    "reranker_api_key": _KEY,
    "generator_headers": "a JSON object of header names and their values or null, none of ours and none twice",
    "generator_body": "a JSON object without a name twice, and without messages, model, n and stream",
    "embedder_url": _HTTP_URL,
    "reranker_url": _HTTP_URL,
    "ingestor_url": _HTTP_URL,
    "cors_origins": "origins as https://example.org, parted by commas, or *",
    "public_url": f"{_HTTP_URL} without credentials, query or fragment",
    "index_url": "a URL that begins with " + " or ".join(f"{each}:" for each in INDEX_SCHEMES),
    "redis_url": "a redis://, rediss:// or unix:// URL",
}


class SettingsError(Exception):
    """The settings are invalid; `problems` has one line per problem and shows no values."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Load the settings from this environment; an empty variable counts as unset.

    Raises: SettingsError: a name is unknown, a value is out of range, settings contradict each other, or production
        lacks a setting.
    """
    known = {environment_name(field) for field in Settings.model_fields}
    problems = [
        f"{name}: there is no setting of this name"
        for name in sorted(environ)
        if name.startswith(PREFIX) and name not in known
    ]
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): value for name, value in environ.items() if name in known and value}
    try:
        settings = Settings(**source())
    except ValidationError as error:
        fields = dict.fromkeys(str(each["loc"][0]) for each in error.errors(include_input=False))
        problems += [f"{environment_name(field)}: must be {value_range(field)}" for field in fields]
    else:
        problems += _contradictions(settings) + _missing_in_production(settings)
        if not problems:
            return settings
    raise SettingsError(problems)


def read_port(environ: Mapping[str, str]) -> int:
    """Return the port of `bentoml serve`, PORT or 3000; platforms set PORT, which BentoML itself does not read.

    Raises: SettingsError: it is no port.
    """
    text = environ.get("PORT") or "3000"
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 1 << 16):
        raise SettingsError(["PORT: must be a whole number from 1 to 65535"])
    return int(text)


def _contradictions(settings: Settings) -> list[str]:
    found = []
    jwt = (settings.jwt_jwks, settings.jwt_audience, settings.jwt_issuer)
    if any(jwt) and not all(jwt):
        found.append("RAG_JWT_JWKS, RAG_JWT_AUDIENCE, RAG_JWT_ISSUER: must be set together or not at all")
    if settings.uploads == "off" and settings.ingestor_url is not None:
        found.append("RAG_INGESTOR_URL: is of no use where RAG_UPLOADS is off; unset one of the two")
    if settings.generator_url is None:
        found += [
            f"{environment_name(field)}: is of no use without RAG_GENERATOR_URL; unset it"
            for field in ("generator_name", "generator_body")  # not the credentials: deployments may share one secret
            if getattr(settings, field) is not None
        ]
    found += _contradictions_of_runtimes(settings)
    if settings.generator_model is None:
        if settings.generator_url is not None:
            found.append("RAG_GENERATOR_MODEL: must not be none beside RAG_GENERATOR_URL; unset one of the two")
        if settings.verification != "repair":
            found.append(
                "RAG_VERIFICATION: must be repair where RAG_GENERATOR_MODEL is none: quotations are the answer"
            )
        if settings.history == "rewrite":
            found.append("RAG_HISTORY: must not be rewrite where RAG_GENERATOR_MODEL is none; terms needs no generator")
    elif settings.generator_url is None and settings.passage_tokens >= settings.generator_context_tokens:
        found.append("RAG_CONTEXT_TOKENS: must be less than RAG_GENERATOR_CONTEXT_TOKENS, which holds the answer too")
    return found


def _contradictions_of_runtimes(settings: Settings) -> list[str]:
    found = []
    for role in ("embedder", "reranker"):
        name, is_ours = f"{PREFIX}{role.upper()}", getattr(settings, f"{role}_protocol") == OURS
        if is_ours and getattr(settings, f"{role}_name") is not None:
            found.append(f"{name}_NAME: is of no use while {name}_PROTOCOL is {OURS}; unset it")
        if not is_ours and getattr(settings, f"{role}_url") is None:
            found.append(f"{name}_URL: must be set where {name}_PROTOCOL is not {OURS}")
        if not is_ours and ModelRef.parse(getattr(settings, f"{role}_model")).kind == "fake":
            found.append(f"{name}_MODEL: must not be fake where {name}_PROTOCOL is not {OURS}")
    if settings.reranker_protocol != OURS:
        if settings.verifier_model is not None and ModelRef.parse(settings.verifier_model).kind != "fake":
            found.append(f"RAG_VERIFIER_MODEL: needs our own Reranker, and RAG_RERANKER_PROTOCOL is not {OURS}")
        if settings.reranker_name is None and settings.reranker_model == LOCAL_RERANKER:
            found.append("RAG_RERANKER_NAME: must name the cross-encoder that is served; or set RAG_RERANKER_MODEL")
    return found


def _missing_in_production(settings: Settings) -> list[str]:
    if settings.env != "production":
        return []
    missing = []
    if settings.identities_file is None and settings.jwt_jwks is None:
        missing.append("RAG_IDENTITIES_FILE: production needs identities, here or by RAG_JWT_JWKS")
    if settings.redis_url is None:
        missing.append("RAG_REDIS_URL: production needs limits that hold over all processes")
    for field in ("embedder_model", "reranker_model", "verifier_model", "generator_model"):
        if getattr(settings, field) is None:
            continue
        ref = ModelRef.parse(getattr(settings, field))
        if ref.kind == "fake":
            missing.append(f"{environment_name(field)}: production takes no fake model")
        elif not ref.pinned:
            missing.append(f"{environment_name(field)}: production needs a pinned revision")
    return missing


def environment_name(field: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + field.upper()


def value_range(field: str) -> str:
    """Describe the valid values of a setting, for the line that reports a bad one."""
    info = Settings.model_fields[field]
    if field in _RANGES:
        return _RANGES[field]
    if get_origin(info.annotation) is Literal:
        return "one of " + ", ".join(get_args(info.annotation))
    least = next((each.ge for each in info.metadata if isinstance(each, Ge)), None)
    most = next((each.le for each in info.metadata if isinstance(each, Le)), None)
    if least is None or most is None:
        return "a non-empty text"
    kind = "a whole number" if info.annotation is int else "a number"
    return f"{kind} from {least} to {most}" + (" (seconds)" if field.endswith("_s") else "")
