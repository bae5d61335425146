"""The one table of paths: which methods each one takes, who answers it, and whether its requests are logged.

The edge lets nothing else through, the application registers its handlers by it, the API description has to name all of
it, and the label of logs, metrics and spans is the path (or the tool) as it stands here, never what a client sent.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

# query: answers a question. source: gives or changes what answers are made of. status: says what runs here, without
# limits and without log lines. bentoml: is left to BentoML's own server.
Kind = Literal["query", "source", "status", "bentoml"]

_GET: Final = ("GET", "HEAD")
_PARAMETER: Final = re.compile(r"\\\{\w+\\\}")  # as `re.escape` leaves it


@dataclass(frozen=True, slots=True)
class ToolRoute:
    """One tool: its name for clients, its label in logs and metrics, and how its good requests end, as a route's do."""

    name: str
    label: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class ApiRoute:
    """One path; `{name}` in it stands for one segment that is not empty.

    `handled_as` is the path whose handler answers, where it is another's. HEAD is GET without the body, unless the
    route `streams`: then the handler must see the method, to do no work. Where a route `checks_origin`, a page of an
    origin that is not allowed is refused. `tools` are what can be called by requests to this one path. Where a route
    `speaks_openai`, its errors have the form that OpenAI's clients read.
    """

    path: str
    methods: tuple[str, ...]
    kind: Kind
    handled_as: str | None = None
    streams: bool = False
    checks_origin: bool = False
    tools: tuple["ToolRoute", ...] = ()
    speaks_openai: bool = False

    @property
    def is_ours(self) -> bool:
        return self.kind != "bentoml"

    @property
    def is_logged(self) -> bool:
        """Whether each of its requests leaves a line in the log and is counted in the metrics of queries."""
        return self.kind in ("query", "source")

    @property
    def has_parameter(self) -> bool:
        return "{" in self.path


PAGE: Final = ApiRoute("/", _GET, "status")
HEALTH: Final = ApiRoute("/health", _GET, "status")
READY: Final = ApiRoute("/ready", _GET, "status")
CURRENT_MODELS: Final = ApiRoute("/models/current", _GET, "status")
QUERY: Final = ApiRoute("/query", ("POST",), "query")
STREAM: Final = ApiRoute("/query/stream", (*_GET, "POST"), "query", streams=True)
SEARCH: Final = ApiRoute("/search", ("POST",), "source")
CHUNK: Final = ApiRoute("/chunks/{chunk_id}", _GET, "source")
DOCUMENTS: Final = ApiRoute("/documents", (*_GET, "POST"), "source")
DOCUMENT: Final = ApiRoute("/documents/{document_id}", ("DELETE",), "source")
JOB: Final = ApiRoute("/jobs/{job_id}", _GET, "source")
# Each call of a tool counts as one request under the tool's label; the protocol's own messages, and what is refused
# before a tool is known, have the label of the path.
MCP_SEARCH: Final = ToolRoute("search", "/mcp/search", "source")
MCP_ASK: Final = ToolRoute("ask", "/mcp/ask", "query")
MCP_SOURCE: Final = ToolRoute("get_source", "/mcp/get_source", "source")
MCP: Final = ApiRoute("/mcp", ("POST",), "source", checks_origin=True, tools=(MCP_SEARCH, MCP_ASK, MCP_SOURCE))
CHAT_MODELS: Final = ApiRoute("/v1/models", _GET, "status", speaks_openai=True)
CHAT: Final = ApiRoute("/v1/chat/completions", ("POST",), "query", speaks_openai=True)
# BentoML declares these two and our own handlers answer: its native API exists so that its clients see it, and its
# description of the service knows other errors than ours and no events.
NATIVE: Final = ApiRoute("/v1/query", ("POST",), "query", handled_as=QUERY.path)
DOCS: Final = ApiRoute("/docs.json", _GET, "status", handled_as="/openapi.json")
OPENAPI: Final = ApiRoute("/openapi.json", _GET, "status")
LIVEZ: Final = ApiRoute("/livez", _GET, "bentoml")
HEALTHZ: Final = ApiRoute("/healthz", _GET, "bentoml")
READYZ: Final = ApiRoute("/readyz", _GET, "bentoml")
METRICS: Final = ApiRoute("/metrics", _GET, "bentoml")
SCHEMA: Final = ApiRoute("/schema.json", _GET, "bentoml")

# A closed list: the raw path is a label of BentoML's metrics, which would grow without end.
ROUTES: Final = (
    PAGE, HEALTH, READY, CURRENT_MODELS, OPENAPI, DOCS,
    QUERY, STREAM, NATIVE, CHAT, CHAT_MODELS, SEARCH, CHUNK, MCP,
    DOCUMENTS, DOCUMENT, JOB,
    LIVEZ, HEALTHZ, READYZ, METRICS, SCHEMA,
)  # fmt: skip
METHODS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({route.path: route.methods for route in ROUTES})
LOGGED: Final = frozenset(route.path for route in ROUTES if route.is_logged)
# The finish reason with which most good requests under each label end; sources have none.
GOOD_ENDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        label: "stop" if kind == "query" else ""
        for route in ROUTES
        if route.is_logged
        for label, kind in ((route.path, route.kind), *((tool.label, tool.kind) for tool in route.tools))
    }
)


def _to_pattern(path: str) -> re.Pattern[str]:
    return re.compile(_PARAMETER.sub("[^/]+", re.escape(path)))


_EXACT: Final[Mapping[str, ApiRoute]] = MappingProxyType(
    {route.path: route for route in ROUTES if not route.has_parameter}
)
_PATTERNS: Final = tuple((_to_pattern(route.path), route) for route in ROUTES if route.has_parameter)


def find_route(path: str) -> ApiRoute | None:
    """The route of a decoded path; None where there is none."""
    exact = _EXACT.get(path)
    if exact is not None:
        return exact
    return next((route for pattern, route in _PATTERNS if pattern.fullmatch(path)), None)
