"""Every setting of the service in one frozen class: its name, its default, its range, and what it is for.

`rag.config.environment` reads them, once at start.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, StringConstraints, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from rag.config.model_ref import ModelRef
from rag.config.strict_json import require_distinct

PREFIX: Final = "RAG_"
# What `make setup` imports for those who want drafts. By default nothing is drafted: nearly every sentence of this
# model is replaced by a quotation, which is there many times sooner.
LOCAL_GENERATOR: Final = "bento:smollm2-135m-instruct:q4"
LOCAL_RERANKER: Final = "bento:multilingual-e5-small:q4"
# Two English passages or one Vietnamese one, and two sentences: what the local generator reads and writes in 6 s on
# one core. The best passage alone holds the answer to 97 % of questions; quotation makes up for a short draft.
LOCAL_CONTEXT_TOKENS: Final = 640
LOCAL_DRAFT_TOKENS: Final = 40
REMOTE_CONTEXT_TOKENS: Final = 3072
# Chunks of each of the two searches; all measurements were made with it.
RETRIEVED: Final = 50
# What `RAG_PROFILE=offline` puts in the place of defaults: a batch job cares for answers an hour and for none of them.
# Patience; docs/benchmarks.md has the tables. More places at once and larger batches gave nothing on a CPU.
OFFLINE: Final[Mapping[str, object]] = {
    "queue_timeout_s": 60,
    "retrieval_timeout_s": 20,
    "rerank_timeout_s": 30,
    "generation_timeout_s": 120,
    "request_timeout_s": 200,
    "stream_timeout_s": 200,
}
# How a URL of an index may begin: what `rag.index.opening` opens.
INDEX_SCHEMES: Final = ("file", "postgres", "postgresql", "milvus+http", "milvus+https")
ANY_ORIGIN: Final = "*"
# What a parser reads of one file.
UPLOAD_MAX_BYTES: Final = 50 * 2**20
# The protocol of our own services.
OURS: Final = "bento"
# What frames a request, and what the contract promises of it.
_OUR_HEADERS: Final = frozenset({"connection", "content-length", "content-type", "transfer-encoding", "x-trace-id"})
_OUR_FIELDS: Final = frozenset({"messages", "model", "n", "stream"})
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, section 5.6.2
_HEADER_VALUE: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_ORIGIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#@*,]+")


def _check_model(text: str) -> str:
    ModelRef.parse(text)
    return text


def _read_none(text: str | None) -> str | None:
    return None if text == "none" else text


def _strip_slash(url: str) -> str:
    return url.rstrip("/")


def _check_origins(text: str) -> str:
    """As a browser sends them: no path, no slash at the end."""
    origins = split_list(text)
    if not origins or not all(origin == ANY_ORIGIN or _ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError("names no origins")
    return text


def split_list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _strip_key(key: object) -> object:
    """Without the line break with which many a file of secrets ends."""
    return (key.strip() or None) if isinstance(key, str) else key


def _check_key(key: SecretStr) -> SecretStr:
    if not _HEADER_VALUE.fullmatch(key.get_secret_value()):
        raise ValueError("cannot stand in a header")
    return key


def _parse_object(text: str) -> dict[str, object]:
    try:
        found = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=require_distinct)
    except RecursionError as error:
        raise ValueError("is nested too deep") from error
    if not isinstance(found, dict):
        raise ValueError("is no JSON object")
    return found


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _check_headers(text: SecretStr) -> SecretStr:
    given = _parse_object(text.get_secret_value())
    require_distinct([(name.lower(), value) for name, value in given.items()])
    for name, value in given.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OUR_HEADERS:
            raise ValueError("names no header that may be set")
        if value is not None and not (isinstance(value, str) and _HEADER_VALUE.fullmatch(value.strip())):
            raise ValueError("holds no value of a header")
    return text


def _check_body(text: str) -> str:
    """In one form, so that white space makes no other deployment."""
    fields = _parse_object(text)
    if _OUR_FIELDS & fields.keys():
        raise ValueError("names a field that is ours")
    json.dumps(fields, ensure_ascii=False).encode()  # as it is sent: half a surrogate pair never could be
    return json.dumps(fields, sort_keys=True, allow_nan=False)


def _check_index(url: SecretStr) -> SecretStr:
    if urlsplit(url.get_secret_value()).scheme not in INDEX_SCHEMES:
        raise ValueError("no engine is known by this scheme")
    return url


def _check_redis(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("is no Redis URL")
    return url


Model = Annotated[str, AfterValidator(_check_model)]
OptionalModel = Annotated[Model | None, BeforeValidator(_read_none)]
HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+(/\S*)?$"), AfterValidator(_strip_slash)]
# Only what may stand in an address as it is: it goes into answers. No credentials, query or fragment.
PublicUrl = Annotated[
    str,
    StringConstraints(
        pattern=r"^https?://([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?(/[A-Za-z0-9._~%!$&'()*+,;=:@/-]*)?\z",
        max_length=1000,
    ),
    AfterValidator(_strip_slash),
]
# Gemini's is the one face of OpenAI's API that ends otherwise.
OpenAiUrl = Annotated[
    str, StringConstraints(pattern=r"^https?://[^\s/]+(/\S*)?/v1(beta/openai)?/?$"), AfterValidator(_strip_slash)
]
ServedName = Annotated[str, StringConstraints(pattern=r"^\S(.{0,254}\S)?$")]
Origins = Annotated[str, AfterValidator(_check_origins)]
HeaderKey = Annotated[SecretStr, AfterValidator(_check_key)]
Headers = Annotated[SecretStr, AfterValidator(_check_headers)]
Body = Annotated[str, AfterValidator(_check_body)]
RedisUrl = Annotated[SecretStr, AfterValidator(_check_redis)]
IndexUrl = Annotated[SecretStr, AfterValidator(_check_index)]
# The contract lets times be as low as a millisecond; ten minutes is beyond any answer that somebody waits for.
Seconds = Annotated[float, Field(ge=0.001, le=600)]
Share = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseSettings):
    """One field per environment variable: `request_timeout_s` is `RAG_REQUEST_TIMEOUT_S`. Empty means unset."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True, protected_namespaces=()
    )

    env: Literal["local", "production"] = Field(
        "local", description="`production` refuses to start open, unlimited, on fake models or on unpinned ones."
    )
    profile: Literal["interactive", "offline"] = Field(
        "interactive",
        description="What the settings are tuned for that are not given: people who wait, or batch jobs.",
    )
    model_version: str = Field(
        "rag-v1",
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="The configured part of `model_version`; change it to name a release.",
    )
    index_dir: Path = Field(Path(".data/index"), description="Where the tenants' indexes are; shared with ingestion.")
    index_url: IndexUrl | None = Field(
        None, description="The engine that keeps the indexes, shared with ingestion; unset: files in RAG_INDEX_DIR."
    )

    uploads: Literal["on", "off"] = Field(
        "on",
        description="Whether documents are taken over HTTP; in production the default is off without RAG_INGESTOR_URL.",
    )
    ingestor_url: HttpUrl | None = Field(None, description="The Ingestor on another host; unset: spawned here.")
    upload_dir: Path | None = Field(
        None, description="Where the Ingestor keeps files and jobs; unset: `.uploads` in RAG_INDEX_DIR."
    )
    upload_max_bytes: int = Field(
        UPLOAD_MAX_BYTES, ge=1, le=UPLOAD_MAX_BYTES, description="Bytes of one file that is sent over HTTP."
    )
    upload_timeout_s: Seconds = Field(600, description="Seconds for sending all files of one request.")
    job_timeout_s: float = Field(
        3600, ge=0.001, le=86_400, description="Seconds for reading and embedding the files of one request."
    )

    history: Literal["rewrite", "terms", "off"] = Field(
        "terms",
        description="How a follow-up is made a standalone question: `rewrite` by the generator (or by rules if that "
        "fails), `terms` by rules alone; `off`: earlier turns are checked and ignored.",
    )
    embedder_model: Model = Field(
        "bento:multilingual-e5-small:q4", description="Makes the vectors; after a change, ingest everything again."
    )
    reranker_model: Model = Field(
        LOCAL_RERANKER,
        description="Scores passages: a cross-encoder, or an embedder's token vectors by late interaction.",
    )
    verifier_model: Model | None = Field(
        None,
        description="Judges the sentences that the closed form lets pass: a sequence or token classifier, served "
        "beside the reranker; unset: the closed form alone.",
    )
    generator_model: OptionalModel = Field(
        None,
        description="Drafts the answers, and its tokenizer counts the context; `none`: every answer is a quotation, "
        "nothing is drafted, and the embedder's tokenizer counts; unset: none, or the local model's name and tokenizer "
        "beside RAG_GENERATOR_URL.",
    )
    generator_url: OpenAiUrl | None = Field(
        None, description="Base URL of an OpenAI-compatible server; unset: our own Generator service."
    )
    generator_api_key: Annotated[HeaderKey | None, BeforeValidator(_strip_key)] = Field(
        None, description="Bearer key for the generator; goes nowhere else."
    )
    generator_name: ServedName | None = Field(
        None, description="The model's name at RAG_GENERATOR_URL; unset: its card's."
    )
    generator_headers: Headers | None = Field(
        None, description="JSON object of headers for RAG_GENERATOR_URL; null leaves one out. As secret as a key."
    )
    generator_body: Body | None = Field(
        None,
        description="JSON object of fields for RAG_GENERATOR_URL beside ours; null leaves one out, and the value "
        '"{max_tokens}" becomes the bound of the draft.',
    )
    generator_context_tokens: int = Field(
        8192, ge=1024, le=1_000_000, description="Tokens of prompt and output that our own Generator can hold."
    )
    generator_gpu_memory_fraction: float = Field(
        0.7, ge=0.1, le=0.95, description="Share of the GPU for our own Generator; the other models need the rest."
    )
    generator_max_running: int = Field(
        16, ge=1, le=1024, description="Answers that our own Generator drafts at once; the next ones wait."
    )
    generator_batch_tokens: int | None = Field(
        None,
        ge=64,
        le=1_048_576,
        description="Tokens that our own Generator computes in one step; unset: what vLLM finds right.",
    )
    batch_tokens: int = Field(
        512, ge=1, le=1_048_576, description="Tokens of one batch of the Embedder or the Reranker, padding counted."
    )
    batch_wait_ms: float = Field(
        0, ge=0, le=1000, description="Milliseconds that a text waits for company before a batch that is not full."
    )
    batch_pass_tokens: int = Field(
        16,
        ge=0,
        le=1_048_576,
        description="What a forward pass costs before its first token, in tokens; a GPU's are many more than a CPU's.",
    )
    embedder_url: HttpUrl | None = Field(None, description="The Embedder on another host; unset: spawned here.")
    reranker_url: HttpUrl | None = Field(
        None, description="The Reranker on another host; unset: spawned here if needed."
    )
    embedder_protocol: Literal["bento", "oip", "tei", "openai"] = Field(
        "bento", description="What RAG_EMBEDDER_URL speaks; other than `bento`, ingestion embeds there too."
    )
    reranker_protocol: Literal["bento", "oip", "tei", "cohere"] = Field(
        "bento", description="What RAG_RERANKER_URL speaks; other than `bento`, it serves a cross-encoder."
    )
    embedder_name: ServedName | None = Field(None, description="The model's name there; unset: its card's.")
    reranker_name: ServedName | None = Field(None, description="The model's name there; unset: its reference's.")
    embedder_api_key: Annotated[HeaderKey | None, BeforeValidator(_strip_key)] = Field(
        None, description="Bearer key for another embedder; goes nowhere else."
    )
    reranker_api_key: Annotated[HeaderKey | None, BeforeValidator(_strip_key)] = Field(
        None, description="Bearer key for another reranker; goes nowhere else."
    )
    docling_url: HttpUrl | None = Field(
        None,
        description="Base URL of a docling-serve, which reads the PDF of an ingestion: scans and hard tables; unset: "
        "their text layer is read here.",
    )

    request_timeout_s: Seconds = Field(20, description="Seconds for a whole POST /query; raise it on slow hardware.")
    stream_timeout_s: Seconds = Field(60, description="Seconds for a whole stream; raise it for long answers.")
    retrieval_timeout_s: Seconds = Field(2, description="Seconds for embedding the question and both searches.")
    rerank_timeout_s: Seconds = Field(5, description="Seconds for reranking; raise it with RAG_RERANK_K.")
    generation_timeout_s: Seconds = Field(15, description="Seconds for drafting one answer; raise it on a slow model.")
    rewrite_timeout_s: Seconds = Field(
        5,
        description="Seconds for rewriting a follow-up (RAG_HISTORY=rewrite); then the rules do it, so the answer may "
        "be another.",
    )
    queue_timeout_s: Seconds = Field(0.2, description="Seconds that a request waits for a place before its 503.")
    max_concurrent_requests: int = Field(8, ge=1, le=10_000, description="Queries in flight per front process.")
    max_connections: int = Field(
        1000, ge=1, le=100_000, description="Open connections per process; at most half of its open files."
    )

    rate_limit_window_s: Seconds = Field(60, description="Seconds of the sliding window of both quotas.")
    rate_limit_requests: int = Field(
        60, ge=1, le=1_000_000_000, description="Requests per principal and tenant in the window."
    )
    rate_limit_tokens: int = Field(
        120_000, ge=1, le=1_000_000_000_000, description="Tokens (prompt and completion) per tenant in the window."
    )
    redis_url: RedisUrl | None = Field(
        None, description="Redis >= 6 or Valkey that holds the limits of all processes; unset: limits per process."
    )
    redis_lost: Literal["fail_closed", "fail_local"] = Field(
        "fail_local",
        description="When Redis is lost: refuse, or limit per process. In production the default is fail_closed.",
    )

    identities_file: Path | None = Field(
        None, description="YAML with principals, digests of keys, tenants, groups, quotas."
    )
    jwt_jwks: str | None = Field(None, min_length=1, description="Path or URL of the key set that signs JWTs.")
    jwt_audience: str | None = Field(None, min_length=1, description="The `aud` that a JWT must have.")
    jwt_issuer: str | None = Field(None, min_length=1, description="The `iss` that a JWT must have.")

    cors_origins: Origins | None = Field(
        None,
        description="Origins whose pages may read the answers in a browser, by commas; `*` for all, unset: none.",
    )

    public_url: PublicUrl | None = Field(
        None,
        description="Where clients reach the service, for the addresses in citations; unset: scheme and Host of the "
        "request, which behind a proxy may be others.",
    )

    store_token_vectors: bool = Field(
        True,
        description="Ingestion keeps every token's vector for a reranker of the embedder's model, 60 KB a chunk; "
        "false: passages are read when they are asked about.",
    )
    rerank_k: int = Field(30, ge=1, le=200, description="Fused candidates that are reranked; costs time linearly.")
    context_tokens: int | None = Field(
        None,
        ge=64,
        le=1_000_000,
        description="Tokens of the passages in the prompt, by the generator's tokenizer; unset: 640 for our own "
        "Generator, whose local model reads 300 a second on a core, and 3072 for RAG_GENERATOR_URL.",
    )
    draft_tokens: int | None = Field(
        None,
        ge=16,
        le=2048,
        description="Bound of a draft below the request's own; unset: 40 for our own Generator, whose local model "
        "writes 14 a second on a core, and none for RAG_GENERATOR_URL.",
    )
    abstain_relevance: float | None = Field(
        None,
        ge=-1,
        le=1,
        description="Relevance below which nothing is an answer; unset: what was measured for the reranker's kind.",
    )
    verification: Literal["repair", "drop", "mark"] = Field(
        "repair",
        description="Unsupported sentences are replaced by a quotation, left out, or kept and shown in the trace.",
    )
    unsupported_below: Share = Field(
        0.22, description="Support (G) below which a sentence is unsupported; raise it to send less of the generator's."
    )
    supported_from: Share = Field(
        0.45, description="Support (G) from which a passage may be given to a sentence that did not cite it."
    )
    entailed_from: Share = Field(
        0.5, description="Support by RAG_VERIFIER_MODEL below which a sentence is unsupported; raise it to send less."
    )
    answerable_from: Share = Field(
        0.3,
        description="Probability, by the signs that passages answer a question, below which the answer is that there "
        "is none; raise it where a wrong answer costs more than a missing one, 0 to try always.",
    )
    quoted_enough: Share = Field(
        0.65,
        description="Probability of holding the answer at which an answer by quotation is long enough; raise it for "
        "longer and more complete answers.",
    )
    translated_answers: bool = Field(
        False,
        description="The generator can translate: its sentence on a passage in another language goes out beside the "
        "quotation, if figures and names stand there and the reranker finds both alike; false: the quotation alone.",
    )
    tenants_file: Path | None = Field(
        None, description="YAML with tenants that have verification thresholds of their own."
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", description="Least severe level that is logged."
    )
    log_content_sample: float = Field(
        0, ge=0, le=1, description="Share of requests whose log line may hold redacted text; for debugging only."
    )
    tenant_metrics: Literal["on", "off"] = Field(
        "off", description="on: rag_tokens_total names the tenants that the identities file names."
    )

    @model_validator(mode="before")
    @classmethod
    def _choose_defaults(cls, values: dict[str, object]) -> dict[str, object]:
        chosen: dict[str, object] = {}
        if values.get("env") == "production":
            chosen["redis_lost"] = "fail_closed"
            # A front of production has no folder that it may write to, unless somebody gives it one and says so.
            if not values.get("ingestor_url"):
                chosen["uploads"] = "off"
        if values.get("generator_url"):
            chosen["generator_model"] = LOCAL_GENERATOR
        if values.get("profile") == "offline":
            chosen.update(OFFLINE)
        return chosen | values

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Takes arguments only: `load_settings` says which environment is read."""
        return (init_settings,)

    @property
    def upstream_headers(self) -> dict[str, str | None]:
        """Of `RAG_GENERATOR_URL`, the key among them; names in small letters, None for one that is left out."""
        headers: dict[str, str | None] = {}
        if self.generator_api_key is not None:
            headers["authorization"] = f"Bearer {self.generator_api_key.get_secret_value()}"
        if self.generator_headers is not None:
            given = _parse_object(self.generator_headers.get_secret_value())
            headers |= {name.lower(): None if value is None else str(value).strip() for name, value in given.items()}
        return headers

    @property
    def upstream_body(self) -> dict[str, object]:
        """Fields beside ours, None for one that is left out."""
        return {} if self.generator_body is None else _parse_object(self.generator_body)

    @property
    def allowed_origins(self) -> frozenset[str]:
        """Of `cors_origins`, in small letters."""
        return frozenset(split_list((self.cors_origins or "").lower()))

    @property
    def secret_index_url(self) -> str | None:
        """Where the indexes are, with its password; None: in files."""
        return None if self.index_url is None else self.index_url.get_secret_value()

    @property
    def spool_dir(self) -> Path:
        """Where the Ingestor keeps files and jobs; no tenant's folder begins with a dot."""
        return self.upload_dir or self.index_dir / ".uploads"

    @property
    def retrieve_k(self) -> int:
        """Chunks taken by each of the two searches: no fewer than are reranked, if both find the same."""
        return max(RETRIEVED, self.rerank_k)

    @property
    def passage_tokens(self) -> int:
        """Tokens of the passages in the prompt."""
        default = LOCAL_CONTEXT_TOKENS if self.generator_url is None else REMOTE_CONTEXT_TOKENS
        return self.context_tokens or default

    @property
    def draft_limit_tokens(self) -> int | None:
        """Bound of every draft; None where the request's own is the only one."""
        return self.draft_tokens or (LOCAL_DRAFT_TOKENS if self.generator_url is None else None)

    @property
    def counting_model(self) -> str:
        """The model whose tokenizer counts."""
        return self.generator_model or self.embedder_model

    @property
    def keeps_tokens(self) -> bool:
        """Whether ingestion stores the vectors of tokens: only the embedder's own, which its passes give anyway."""
        return self.store_token_vectors and self.has_one_ranking_model

    @property
    def has_one_ranking_model(self) -> bool:
        """Whether the same real model embeds and reranks, both in services of ours."""
        if self.embedder_protocol != OURS or self.reranker_protocol != OURS:
            return False
        return self.embedder_model == self.reranker_model and ModelRef.parse(self.embedder_model).kind != "fake"

    @property
    def embedder_reranks(self) -> bool:
        """Whether the Embedder beside the front reranks too, with the one model that it holds for both.

        A Reranker with an address keeps its work, and one that has to run for a verifier model does too.
        """
        is_alone = self.embedder_url is None and self.reranker_url is None
        judges = self.verifier_model is not None and ModelRef.parse(self.verifier_model).kind != "fake"
        return self.has_one_ranking_model and is_alone and not judges

    def answer_settings(self) -> dict[str, str]:
        """The settings that can change an answer; a new setting counts as one until it is listed below."""
        return {name: str(getattr(self, name)) for name in sorted(type(self).model_fields.keys() - NEVER_IN_AN_ANSWER)}


# A time limit, a quota or a credential decides whether there is an answer, never which.
NEVER_IN_AN_ANSWER: Final = frozenset(
    {
        "env", "model_version", "index_dir", "index_url", "docling_url", "generator_api_key", "generator_headers",
        "embedder_api_key", "reranker_api_key",
        "uploads", "ingestor_url", "upload_dir", "upload_max_bytes", "upload_timeout_s", "job_timeout_s",
        "profile",  # what it chooses counts
        "generator_gpu_memory_fraction", "generator_max_running", "generator_batch_tokens",
        "batch_tokens", "batch_wait_ms", "batch_pass_tokens",
        "request_timeout_s", "stream_timeout_s", "retrieval_timeout_s", "rerank_timeout_s", "generation_timeout_s",
        "queue_timeout_s", "max_concurrent_requests", "max_connections",
        "rate_limit_window_s", "rate_limit_requests", "rate_limit_tokens", "redis_url", "redis_lost",
        "identities_file", "jwt_jwks", "jwt_audience", "jwt_issuer", "cors_origins", "public_url",
        "log_level", "log_content_sample", "tenant_metrics",
        "tenants_file",  # what it says counts, not where it stands (rag.model_card)
    }
)  # fmt: skip
