"""Check the dependencies on other hosts: Redis for the limits, and remote services."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import httpx
from pydantic import SecretStr
from redis import Redis
from redis.exceptions import RedisError

from rag import models
from rag.clients.runtime_identity import SERVER_PATH, ServedElsewhere, read_json, without_metadata
from rag.clients.runtime_protocols import base_url
from rag.config.model_ref import ModelRef
from rag.config.settings import OURS, Settings
from rag.model_card import served_embedder, served_reranker
from rag.preflight.finding import Finding, place_of
from rag.quotas.server import QuotaServer, ServerLostError

TIMEOUT_S: Final = 3.0
REDIS_LEAST: Final = 6
# The quota windows use only Redis' clock, but JWTs and certificates are checked with ours.
CLOCK_APART_S: Final = 2.0


def check_redis(settings: Settings) -> Iterator[Finding]:
    """Check Redis by making a reservation, as /ready does; it belongs to no tenant and expires within a second."""
    if settings.redis_url is None:
        yield Finding("missing", "redis", "none: each process has limits of its own", "set RAG_REDIS_URL")
        return
    url = settings.redis_url.get_secret_value()
    try:
        asyncio.run(_reserve(url))
    except ServerLostError as error:
        found = f"{place_of(url)} takes no reservation: {type(error.__cause__).__name__}"
        yield Finding("missing", "redis", found, "is it there, is its password right, is it no replica, is it full?")
        return
    with Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, protocol=2) as client:
        asked_at = time.time()
        seconds, microseconds = client.time()
        yield judge_clocks(seconds + microseconds / 1e6, asked_at, time.time())
        try:
            info: Any = client.info()  # typed for both the awaited and the plain client
        except RedisError:
            yield Finding("warning", "redis", f"{place_of(url)} says nothing of itself", "look at its version by hand")
            return
    yield from judge_redis(place_of(url), info)


async def _reserve(url: str) -> None:
    server = QuotaServer(url)
    try:
        await server.probe()
    finally:
        await server.aclose()


def judge_redis(place: str, info: Mapping[str, Any]) -> Iterator[Finding]:  # Any: texts and numbers
    """Judge the reply to INFO: a server that accepts reservations now may still evict or refuse them later."""
    version, valkey = str(info.get("redis_version", "0")), info.get("valkey_version")
    name = f"Valkey {valkey}" if valkey else f"Redis {version}"
    if int(version.partition(".")[0]) < REDIS_LEAST:
        yield Finding("missing", "redis", f"{place}, {name}", f"Redis {REDIS_LEAST} or Valkey is needed")
    else:
        yield Finding("ok", "redis", f"{place}, {name}")
    policy, limit_bytes = info.get("maxmemory_policy", "noeviction"), info.get("maxmemory", 0)
    if policy != "noeviction":
        todo = "set maxmemory-policy noeviction, or give the limits a server of their own"
        yield Finding("warning", "redis eviction", f"{policy}: what was used may be forgotten", todo)
    elif not limit_bytes:
        yield Finding("warning", "redis memory", "no maxmemory: it grows until it is killed", "set maxmemory")
    else:
        yield Finding("ok", "redis eviction", f"noeviction, maxmemory {limit_bytes >> 20} MiB")
    if info.get("rdb_last_bgsave_status", "ok") != "ok" or info.get("aof_last_write_status", "ok") != "ok":
        todo = "make room on its disk; it refuses writes when saving fails"
        yield Finding("missing", "redis persistence", "the last save failed", todo)
    else:
        # Snapshots are enough: if a restart loses the windows of one minute, everybody starts a new one.
        saved = "append-only file" if info.get("aof_enabled") else "snapshots at most, which is enough"
        yield Finding("ok", "redis persistence", saved)


def judge_clocks(theirs: float, asked_at: float, answered_at: float) -> Finding:
    """Compare the clocks; `theirs` was read between `asked_at` and `answered_at`, all in seconds since 1970."""
    apart_s = max(asked_at - theirs, theirs - answered_at, 0.0)
    if apart_s > CLOCK_APART_S:
        return Finding("warning", "clock", f"{apart_s:.0f} s apart from that of Redis", "run NTP on both hosts")
    return Finding("ok", "clock", "agrees with that of Redis")


def check_services(settings: Settings) -> Iterator[Finding]:
    """Check the Embedder, the Reranker, the generator and the Ingestor, each if it runs on another host."""
    with httpx.Client(timeout=TIMEOUT_S) as client:
        if settings.embedder_url is not None and settings.embedder_protocol != OURS:
            yield _judge_embedder_elsewhere(client, settings)
        elif settings.embedder_url is not None:
            yield _judge_service(client, "embedder", settings.embedder_url, [settings.embedder_model])
        if settings.reranker_url is not None and settings.reranker_protocol != OURS:
            served_there = ServedElsewhere(settings.reranker_protocol, served_reranker(settings))
            yield judge_runtime(client, "reranker", settings.reranker_url, served_there, settings.reranker_api_key)
        elif settings.reranker_url is not None:
            served = [settings.reranker_model, settings.verifier_model]
            yield _judge_service(client, "reranker", settings.reranker_url, served)
        if settings.generator_url is not None:
            yield _judge_generator(client, settings)
        if settings.ingestor_url is not None:
            yield _judge_ingestor(client, settings.ingestor_url)


def _judge_embedder_elsewhere(client: httpx.Client, settings: Settings) -> Finding:
    url = str(settings.embedder_url)
    try:
        info, name = models.describe(settings.embedder_model), served_embedder(settings)
    except FileNotFoundError:
        todo = "bring its files, without the weights: the tokenizer cuts the chunks"
        return Finding("missing", "embedder", f"{place_of(url)} was not asked: the model is not here", todo)
    served = ServedElsewhere(settings.embedder_protocol, name, info.revision, info.dimension)
    return judge_runtime(client, "embedder", url, served, settings.embedder_api_key)


def judge_runtime(client: httpx.Client, name: str, url: str, served: ServedElsewhere, key: SecretStr | None) -> Finding:
    """Check what /ready will ask of another model server; the revision is known if the server says it."""
    place, prefix = place_of(url), f"RAG_{name.upper()}"
    headers = {} if key is None else {"authorization": f"Bearer {key.get_secret_value()}"}
    described: object = None
    try:
        for path in served.paths:
            response = client.get(base_url(served.protocol, url) + path, headers=headers)
            status, described = response.status_code, read_json(response)
            if served.may_lack(path, status):
                server = read_json(client.get(base_url(served.protocol, url) + SERVER_PATH, headers=headers))
                status, described = without_metadata(status, server)
            if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
                found = f"{place} does not let us in ({status})"
                return Finding("missing", name, found, f"set {prefix}_API_KEY")
            if not served.accepts(status):
                found = f"{place} answers {path} with {status}"
                return Finding("missing", name, found, f"wait until it has loaded, or mend {prefix}_PROTOCOL or _NAME")
    except httpx.HTTPError as error:
        found = f"{place} does not answer: {type(error).__name__}"
        return Finding("missing", name, found, f"start it, or mend {prefix}_URL")
    if not served.is_described_by(described):
        return Finding("missing", name, f"{place} serves another model than {served.name!r}", f"set {prefix}_NAME")
    return Finding("ok", name, f"{place} is ready with {served.name} ({served.protocol})")


def _judge_service(client: httpx.Client, name: str, url: str, expected: Sequence[str | None]) -> Finding:
    """Check that the service is ready and serves exactly the models set here; other vectors would not match."""
    place = place_of(url)
    try:
        status = client.get(f"{url}/readyz").status_code
        if status != httpx.codes.OK:
            return Finding("missing", name, f"{place} answers /readyz with {status}", "wait until it has loaded")
        served = client.post(f"{url}/describe", json={}).raise_for_status().json()
        ours = [asdict(models.describe(model)) for model in expected if model and ModelRef.parse(model).kind != "fake"]
    except httpx.HTTPError as error:
        found = f"{place} does not answer: {type(error).__name__}"
        return Finding("missing", name, found, f"start it, or mend RAG_{name.upper()}_URL")
    except (ValueError, FileNotFoundError):
        return Finding("warning", name, f"{place} is ready; whether its models are ours is not known", "see the models")
    if served != ours:
        return Finding("missing", name, f"{place} serves other models", "give every pod the same model settings")
    return Finding("ok", name, f"{place} is ready, with the models that are set here")


def _judge_ingestor(client: httpx.Client, url: str) -> Finding:
    """Check that the service that takes documents is ready: it has its folder, and no other process has it."""
    place = place_of(url)
    try:
        status = client.get(f"{url}/readyz").status_code
    except httpx.HTTPError as error:
        found = f"{place} does not answer: {type(error).__name__}"
        return Finding("missing", "ingestor", found, "start it, or mend RAG_INGESTOR_URL")
    if status != httpx.codes.OK:
        todo = "its log says what it waits for: another Ingestor, or a volume that it may write"
        return Finding("missing", "ingestor", f"{place} answers /readyz with {status}", todo)
    return Finding("ok", "ingestor", f"{place} takes documents")


def _judge_generator(client: httpx.Client, settings: Settings) -> Finding:
    """Ask the generator for its models, with the key; the model that requests will name must be among them."""
    name, url = "generator", str(settings.generator_url)
    headers = {header: value for header, value in settings.upstream_headers.items() if value is not None}
    try:
        response = client.get(f"{url}/models", headers=headers)
    except httpx.HTTPError as error:
        found = f"{place_of(url)} does not answer: {type(error).__name__}"
        return Finding("missing", name, found, "start it, or mend RAG_GENERATOR_URL")
    if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        found = f"{place_of(url)} does not let us in ({response.status_code})"
        return Finding("missing", name, found, "set RAG_GENERATOR_API_KEY, or RAG_GENERATOR_HEADERS")
    if not response.is_success:
        found = f"{place_of(url)} answers /models with {response.status_code}"
        return Finding("missing", name, found, "/ready wants 200 from it: put a gateway before it that has this path")
    # With a URL there is always a model: the settings do not allow `none` together with it.
    asked = settings.generator_name or _name_of(str(settings.generator_model))
    return _judge_served_models(place_of(url), response, asked)


def _judge_served_models(place: str, response: httpx.Response, asked: str) -> Finding:
    try:
        served = [str(each["id"]) for each in response.json()["data"]]
    except (ValueError, TypeError, KeyError):
        return Finding("warning", "generator", f"{place} lists its models in no known form", "ask a question")
    if asked not in served:
        todo = f"serve it under that name (vLLM: --served-model-name {asked}), or set RAG_GENERATOR_NAME"
        return Finding("missing", "generator", f"{place} does not serve {asked!r}", todo)
    return Finding("ok", "generator", f"{place} serves {asked}")


def _name_of(model: str) -> str:
    try:
        return models.describe(model).name
    except FileNotFoundError:
        return ModelRef.parse(model).name  # a fake model, or a missing one, which `check_models` reports
