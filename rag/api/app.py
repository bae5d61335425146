"""Define the routes of the front service; `exchange` handles the query routes."""

from collections.abc import Callable, Collection, Mapping

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from starlette.responses import Response
from starlette.routing import Route

from rag import VERSION
from rag.api import routes
from rag.api.chunks import ChunkEndpoint
from rag.api.documents import DeleteEndpoint, DocumentDesk, JobEndpoint, ListEndpoint, UploadEndpoint
from rag.api.exchange import QueryDesk, QueryEndpoint
from rag.api.mcp import McpEndpoint
from rag.api.openai_routes import ChatEndpoint, ModelsEndpoint
from rag.api.openapi import describe_api
from rag.api.page import PAGE, PAGE_HEADERS
from rag.api.readiness import READY_STATES, Probe, check
from rag.api.rendering import RequestState, render
from rag.api.search import SearchEndpoint
from rag.errors import NotReady, RagError
from rag.identity import OpenAuthenticator
from rag.model_card import ModelCard
from rag.types import IndexVersion
from schemas.response import CurrentModels, EmbedderInfo, Health, IndexInfo, Ready, RerankerInfo

# Returns the serving version of each of these tenants, or of all tenants if the argument is None, with the sizes that a
# caller with these groups sees.
IndexVersions = Callable[[Collection[str] | None, Collection[str]], Mapping[str, IndexVersion]]


def create_app(
    desk: QueryDesk,
    *,
    card: ModelCard,
    index_versions: IndexVersions,
    probes: Mapping[str, Probe],
    documents: DocumentDesk,
) -> FastAPI:
    """Create the application that BentoML mounts at `/`, behind `ContractEdge`; `probes` decide whether it is ready."""
    app = FastAPI(
        title="RAG", version=VERSION, docs_url=None, redoc_url=None, redirect_slashes=False, exception_handlers={}
    )
    app.openapi_schema = describe_api(is_open=isinstance(desk.authenticator, OpenAuthenticator))
    app.add_exception_handler(RagError, _render_error)
    _add_status_routes(app, desk, card, index_versions, probes)
    _add_query_routes(app, desk, card)
    _add_document_routes(app, desk, documents, card)
    return app


async def _render_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RagError)
    return render(error, RequestState.of(request.scope))


def _add_status_routes(
    app: FastAPI,
    desk: QueryDesk,
    card: ModelCard,
    index_versions: IndexVersions,
    probes: Mapping[str, Probe],
) -> None:
    healthy = Health(version=VERSION).model_dump_json()

    @app.get(routes.HEALTH.path)
    async def health() -> Response:
        return Response(healthy, media_type="application/json")

    @app.get(routes.READY.path)
    async def ready(request: Request) -> Response:
        states = await check(probes, RequestState.of(request.scope).trace_id)
        if desk.gate.is_closed or not READY_STATES.issuperset(states.values()):
            return render(NotReady(), RequestState.of(request.scope), dependencies=states)
        body = Ready(model_version=card.model_version, dependencies=states)
        return Response(body.model_dump_json(), media_type="application/json")

    @app.get(routes.CURRENT_MODELS.path)
    async def current_models(request: Request) -> Response:
        principal = await desk.authenticator.authenticate(request.headers)
        body = _describe_models(card, index_versions(principal.tenants, principal.groups))
        return Response(body.model_dump_json(), media_type="application/json")

    models = ModelsEndpoint(desk, card=card, index_versions=index_versions)
    app.add_route(routes.CHAT_MODELS.path, models.__call__, methods=["GET"])

    @app.get(routes.PAGE.path)
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE, headers=dict(PAGE_HEADERS))


def _add_query_routes(app: FastAPI, desk: QueryDesk, card: ModelCard) -> None:
    # Not FastAPI path operations: a query endpoint reads the raw request and writes the response itself.
    app.router.routes += [
        Route(routes.QUERY.path, QueryEndpoint(desk, streams=False), methods=[*routes.QUERY.methods]),
        Route(routes.STREAM.path, QueryEndpoint(desk, streams=True), methods=[*routes.STREAM.methods]),
        Route(routes.CHAT.path, ChatEndpoint(desk), methods=[*routes.CHAT.methods]),
        Route(routes.SEARCH.path, SearchEndpoint(desk), methods=[*routes.SEARCH.methods]),
        Route(
            routes.CHUNK.path,
            ChunkEndpoint(desk, model_version=card.model_version),
            methods=[*routes.CHUNK.methods],
        ),
        Route(routes.MCP.path, McpEndpoint(desk, model_version=card.model_version), methods=[*routes.MCP.methods]),
    ]


def _add_document_routes(app: FastAPI, desk: QueryDesk, documents: DocumentDesk, card: ModelCard) -> None:
    version = card.model_version
    app.router.routes += [
        Route(routes.DOCUMENTS.path, ListEndpoint(desk, documents, model_version=version), methods=["GET"]),
        Route(routes.DOCUMENTS.path, UploadEndpoint(desk, documents, model_version=version), methods=["POST"]),
        Route(routes.DOCUMENT.path, DeleteEndpoint(desk, documents, model_version=version), methods=["DELETE"]),
        Route(routes.JOB.path, JobEndpoint(desk, documents, model_version=version), methods=["GET"]),
    ]


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
