"""The routes of the front service; the queries among them are `exchange`'s."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from starlette.responses import Response

from rag import VERSION
from rag.api import openapi
from rag.api.exchange import QueryDesk, QueryExchange
from rag.api.page import PAGE, PAGE_HEADERS
from rag.api.readiness import READY_STATES, Probe, check
from rag.api.rendering import RequestState, render
from rag.errors import NotReady, RagError
from rag.types import IndexVersion, ModelInfo
from schemas.errors import ErrorCode
from schemas.response import CurrentModels, EmbedderInfo, Health, IndexInfo, QueryResponse, Ready, RerankerInfo


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What answers now; `deployed_at` is UTC in ISO 8601."""

    model_version: str
    runtime: str
    prompt_version: str
    deployed_at: str
    generator: ModelInfo
    embedder: ModelInfo
    reranker: ModelInfo


# The serving version of each of these tenants, or of all where the argument is None.
IndexVersions = Callable[[Collection[str] | None], Mapping[str, IndexVersion]]


def create_app(
    desk: QueryDesk, *, card: Callable[[], ModelCard], index_versions: IndexVersions, probes: Mapping[str, Probe]
) -> FastAPI:
    """The application that BentoML mounts at `/`, behind `ContractEdge`.

    `card` and `desk.pipeline` raise NotReady until every model has said what it is.
    """
    app = FastAPI(
        title="RAG", version=VERSION, docs_url=None, redoc_url=None, redirect_slashes=False, exception_handlers={}
    )
    app.add_exception_handler(RagError, _render_error)
    _add_status_routes(app, desk, card, index_versions, probes)
    _add_query_routes(app, desk)
    return app


async def _render_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RagError)
    return render(error, RequestState.of(request.scope))


def _add_status_routes(
    app: FastAPI,
    desk: QueryDesk,
    card: Callable[[], ModelCard],
    index_versions: IndexVersions,
    probes: Mapping[str, Probe],
) -> None:
    healthy = Health(version=VERSION).model_dump_json()

    @app.get("/health", response_model=Health, summary="Liveness; touches no dependency.")
    async def health() -> Response:
        return Response(healthy, media_type="application/json")

    @app.get(
        "/ready",
        response_model=Ready,
        responses=openapi.describe_errors([ErrorCode.NOT_READY, *openapi.ANYWHERE]),
        summary="Readiness: every dependency answered within a second, and the index matches the embedder.",
    )
    async def ready(request: Request) -> Response:
        states = await check(probes)
        if not READY_STATES.issuperset(states.values()):
            return render(NotReady(), RequestState.of(request.scope), dependencies=states)
        body = Ready(model_version=card().model_version, dependencies=states)
        return Response(body.model_dump_json(), media_type="application/json")

    @app.get(
        "/models/current",
        response_model=CurrentModels,
        responses=openapi.describe_errors([ErrorCode.NOT_READY, *openapi.IDENTIFIED]),
        summary="Exact versions of what answers now.",
    )
    async def current_models(request: Request) -> Response:
        principal = await desk.authenticator.authenticate(request.headers)
        body = _describe_models(card(), index_versions(principal.tenants))
        return Response(body.model_dump_json(), media_type="application/json")

    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE, headers=dict(PAGE_HEADERS))


def _add_query_routes(app: FastAPI, desk: QueryDesk) -> None:
    errors = openapi.describe_errors(openapi.QUERY)

    @app.post(
        "/query",
        response_model=QueryResponse,
        responses=errors,
        openapi_extra=openapi.describe_body(),
        summary="One question, the whole answer.",
    )
    async def query() -> Response:
        return QueryExchange(desk, streams=False)

    @app.get(
        "/query/stream",
        response_class=Response,
        responses=openapi.describe_stream() | errors,
        openapi_extra=openapi.describe_parameters(),
        summary="One question, the answer as events; for a browser's EventSource.",
    )
    async def stream_for_browser() -> Response:
        return QueryExchange(desk, streams=True)

    @app.post(
        "/query/stream",
        response_class=Response,
        responses=openapi.describe_stream() | errors,
        openapi_extra=openapi.describe_body(),
        summary="One question, the answer as events.",
    )
    async def stream() -> Response:
        return QueryExchange(desk, streams=True)


def _describe_models(card: ModelCard, versions: Mapping[str, IndexVersion]) -> CurrentModels:
    return CurrentModels(
        model_version=card.model_version,
        runtime=card.runtime,
        model_name=card.generator.name,
        prompt_version=card.prompt_version,
        deployed_at=card.deployed_at,
        embedder=EmbedderInfo(
            name=card.embedder.name, dimension=card.embedder.dimension, revision=card.embedder.revision
        ),
        reranker=RerankerInfo(name=card.reranker.name, revision=card.reranker.revision),
        index={
            tenant_id: IndexInfo(version=each.version, chunks=each.chunks, built_at=each.built_at)
            for tenant_id, each in versions.items()
        },
    )
