"""Check a running deployment as its clients see it, through all proxies in front of it."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from rag.preflight.finding import Check, Finding

# Longer than the default limit of a whole stream, 60 s.
TIMEOUT_S: Final = 90.0
QUESTION: Final = {"question": "How many days of annual leave do full-time staff have?"}
# A generation that took less time is too short to tell whether the events came one by one.
SLOW_MS: Final = 100
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event, and the time at which its last bytes arrived."""

    at_s: float
    name: str
    data: dict[str, Any]  # Any: JSON


def deployment_checks(
    client: httpx.Client, key: str | None, tenant_id: str, *, clock: Callable[[], float] = time.monotonic
) -> dict[str, Check]:
    """Return the checks by name; `client` has the deployment's base URL, `key` is an API key that some checks need."""
    return {
        "tls": lambda: [judge_url(str(client.base_url))],
        "health": partial(check_health, client),
        "ready": partial(check_ready, client),
        "models/current": partial(check_models, client, key),
        "unknown callers": partial(check_strangers, client, tenant_id),
        "stream": partial(check_stream, client, key, tenant_id, clock),
        "metrics": partial(check_metrics, client),
    }


def judge_url(url: str) -> Finding:
    """Judge whether traffic to the URL is encrypted, or stays on this machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        return Finding("warning", "tls", "keys and questions travel readable", "serve it behind https://")
    return Finding("ok", "tls", "encrypted" if parts.scheme == "https" else "not needed on this machine")


def check_health(client: httpx.Client) -> Iterator[Finding]:
    """Check that /health answers, and that the answer is the service's own."""
    try:
        response = client.get("/health")
        health = _read_object(response)
    except httpx.HTTPError as error:
        yield Finding("missing", "health", f"no answer: {type(error).__name__}", "is it running, and the URL right?")
        return
    if response.is_success and health.get("status") == "ok":
        yield Finding("ok", "health", f"version {health.get('version')}")
    else:
        todo = "does the proxy hand on every path?"
        yield Finding("missing", "health", f"{response.status_code}, not the service's answer", todo)


def check_ready(client: httpx.Client) -> Iterator[Finding]:
    """Check /ready, and name the dependencies that are not `ok`."""
    response = client.get("/ready")
    states = _read_object(response).get("dependencies", {})
    shown = ", ".join(f"{name} {state}" for name, state in states.items() if state != "ok")
    if not response.is_success:
        yield Finding("missing", "ready", f"{response.status_code}: {shown or 'no reason'}", "see to what it names")
    elif shown:
        yield Finding("warning", "ready", shown, "limits hold per process until Redis is back")
    else:
        yield Finding("ok", "ready", "every dependency answers")


def check_models(client: httpx.Client, key: str | None) -> Iterator[Finding]:
    """Check /models/current, which needs credentials."""
    if key is None:
        yield Finding("warning", "models/current", "not asked: there is no key", "give one, see --key-from")
        return
    response = client.get("/models/current", headers={"x-api-key": key})
    if response.is_success:
        current = _read_object(response)
        yield Finding("ok", "models/current", f"{current.get('model_version')}, {current.get('runtime')}")
    else:
        yield Finding("missing", "models/current", f"{response.status_code}", "is the key in the identities file?")


def check_strangers(client: httpx.Client, tenant_id: str) -> Iterator[Finding]:
    """Check that a query without credentials is refused."""
    name = "unknown callers"
    status = client.post("/query", json={**QUESTION, "tenant_id": tenant_id}).status_code
    if status == httpx.codes.UNAUTHORIZED:
        yield Finding("ok", name, "refused")
    elif status == httpx.codes.OK:
        yield Finding("missing", name, "answered", "set RAG_IDENTITIES_FILE or RAG_JWT_JWKS")
    else:
        yield Finding("warning", name, f"{status} instead of 401", "who answers there: the service or a proxy?")


def check_stream(
    client: httpx.Client, key: str | None, tenant_id: str, clock: Callable[[], float]
) -> Iterator[Finding]:
    """Stream the answer to one question, and check its events and how far apart they arrive."""
    headers = {} if key is None else {"x-api-key": key}
    body = {**QUESTION, "tenant_id": tenant_id}
    with client.stream("POST", "/query/stream", json=body, headers=headers) as response:
        if response.status_code == httpx.codes.UNAUTHORIZED and key is None:
            yield Finding("warning", "stream", "not asked: there is no key", "give one, see --key-from")
        elif not response.is_success:
            yield Finding("missing", "stream", f"{response.status_code}", "see /ready, the key and the tenant")
        else:
            yield judge_stream(list(read_events(response.iter_text(), clock)))


def read_events(chunks: Iterable[str], clock: Callable[[], float]) -> Iterator[Arrival]:
    """Yield the events of a stream with the arrival times of their last chunks."""
    buffer = ""
    for chunk in chunks:
        at_s = clock()
        *blocks, buffer = (buffer + chunk).split("\n\n")
        for block in blocks:
            fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
            if "data" in fields:
                yield Arrival(at_s, fields.get("event", ""), json.loads(fields["data"]))


def judge_stream(events: list[Arrival]) -> Finding:
    """Detect buffering: `meta` is sent before generation and `done` after it; a buffering proxy sends both together."""
    names = [event.name for event in events]
    if not names or names[0] != "meta" or names[-1] != "done":
        code = events[-1].data.get("code", "no last event") if events else "no event at all"
        return Finding("missing", "stream", f"it does not end with done: {code}", "try the service without its proxy")
    first, last = events[0], events[-1]
    spread_ms, generation_ms = (last.at_s - first.at_s) * 1000, last.data["latency_ms"]["generation"]
    if generation_ms < SLOW_MS:
        todo = "ask something that is answered at length"
        return Finding("warning", "stream", f"done within {generation_ms} ms: too soon to tell buffering", todo)
    if spread_ms < generation_ms / 2:
        todo = "turn off the proxy's buffering and compression for /query/stream"
        return Finding(
            "missing", "stream", f"held back: {generation_ms} ms of events came within {spread_ms:.0f}", todo
        )
    return Finding("ok", "stream", f"{len(events)} events over {spread_ms:.0f} ms")


def check_metrics(client: httpx.Client) -> Iterator[Finding]:
    """Check that /metrics cannot be read from here: it shows how much and how the service is used."""
    if client.get("/metrics").is_success:
        yield Finding("warning", "metrics", "/metrics can be read from here", "keep the path from the outside")
    else:
        yield Finding("ok", "metrics", "not to be seen from here")


def _read_object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
