"""The environment as settings, checked in full before anything serves: each bad name and value is one line.

It comes in as an argument, so that nothing else reads it and a test cannot leak into another.
"""

from collections.abc import Mapping
from typing import Final, Literal, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource

from rag.model_ref import ModelRef
from rag.settings import PREFIX, Settings

_MODEL_FORMS: Final = "bento:<tag>, hf:<repo>[@revision], path:<dir> or fake:"
_HTTP_URL: Final = "an http:// or https:// URL"
# Ranges that the annotations cannot say in words.
_RANGES: Final[Mapping[str, str]] = {
    "model_version": "1 to 64 characters of A-Za-z0-9._-",
    "embedder_model": _MODEL_FORMS,
    "reranker_model": _MODEL_FORMS,
    "verifier_model": _MODEL_FORMS,
    "generator_model": f"{_MODEL_FORMS}, or none",
    "generator_url": f"{_HTTP_URL} that ends in /v1",
    "generator_api_key": "a key of printable ASCII characters",
    "generator_name": "1 to 256 characters without white space around them",
    "generator_headers": "a JSON object of header names and their values or null, none of them a header of ours",
    "generator_body": "a JSON object, without messages, model, n and stream",
    "embedder_url": _HTTP_URL,
    "reranker_url": _HTTP_URL,
    "cors_origins": "origins as https://example.org, parted by commas, or *",
    "public_url": f"{_HTTP_URL} without credentials, query or fragment",
    "redis_url": "a redis://, rediss:// or unix:// URL",
}


class SettingsError(Exception):
    """The settings do not hold together; one line per problem, none of which shows a value."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


def load_settings(environ: Mapping[str, str]) -> Settings:
    """The settings of this environment.

    Raises: SettingsError: a name is unknown, a value is outside its range, or the settings do not hold together.
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


def _contradictions(settings: Settings) -> list[str]:
    found = []
    jwt = (settings.jwt_jwks, settings.jwt_audience, settings.jwt_issuer)
    if any(jwt) and not all(jwt):
        found.append("RAG_JWT_JWKS, RAG_JWT_AUDIENCE, RAG_JWT_ISSUER: must be set together or not at all")
    if settings.generator_url is None:
        found += [
            f"{environment_name(field)}: is of no use without RAG_GENERATOR_URL; unset it"
            for field in ("generator_name", "generator_body")  # credentials may lie in a secret of all deployments
            if getattr(settings, field) is not None
        ]
    if settings.generator_model is None:
        if settings.generator_url is not None:
            found.append("RAG_GENERATOR_MODEL: must not be none beside RAG_GENERATOR_URL; unset one of the two")
        if settings.verification != "repair":
            found.append(
                "RAG_VERIFICATION: must be repair where RAG_GENERATOR_MODEL is none: quotations are the answer"
            )
    elif settings.generator_url is None and settings.passage_tokens >= settings.generator_context_tokens:
        found.append("RAG_CONTEXT_TOKENS: must be less than RAG_GENERATOR_CONTEXT_TOKENS, which holds the answer too")
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
    return PREFIX + field.upper()


def value_range(field: str) -> str:
    """What a setting may be, in words, for the one line that names a bad value."""
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
