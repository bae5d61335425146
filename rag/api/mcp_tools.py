"""Describe the tools of `/mcp` for models and their clients; the schemas are those of the HTTP endpoints."""

from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from rag.api import routes
from rag.api.json_rpc import Json
from rag.api.openapi_components import WireSchemaGenerator
from rag.api.routes import ToolRoute
from schemas.request import QueryRequest, SearchRequest, SourceRequest
from schemas.response import ChunkText, QueryResponse, SearchResponse

INSTRUCTIONS: Final = (
    "Answers questions, in Vietnamese and English, from a tenant's documents. Use `ask` for an answer: each of its "
    "sentences is checked against the source that it cites, and every citation has an address for people. Use `search` "
    "for the passages themselves, and `get_source` for the whole text behind a `chunk_id`. A finish_reason of "
    "`no_answer` means that the documents do not answer the question."
)


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool: what it takes, and what its results hold."""

    route: ToolRoute
    title: str
    about: str
    takes: type[BaseModel]
    gives: type[BaseModel]

    def describe(self) -> Json:
        """Return the tool as `tools/list` shows it; all tools only read, and in these documents alone."""
        return {
            "name": self.route.name,
            "title": self.title,
            "description": self.about,
            "inputSchema": self.takes.model_json_schema(schema_generator=WireSchemaGenerator),
            "outputSchema": self.gives.model_json_schema(mode="serialization", schema_generator=WireSchemaGenerator),
            "annotations": {"title": self.title, "readOnlyHint": True, "openWorldHint": False},
        }


SEARCH: Final = Tool(
    routes.MCP_SEARCH,
    "Search the documents",
    "Find the passages of the documents that fit a question best, with their text and scores, without an answer.",
    SearchRequest,
    SearchResponse,
)
ASK: Final = Tool(
    routes.MCP_ASK,
    "Ask the documents",
    "Answer a question from the documents. Every sentence is checked against its source and cites it as [S1], [S2] "
    "and so on; `citations` names each source, with the quoted text and its address.",
    QueryRequest,
    QueryResponse,
)
GET_SOURCE: Final = Tool(
    routes.MCP_SOURCE,
    "Read a source",
    "Return the whole text of one passage by its `chunk_id`, exactly as it was cited, with the ids of its neighbours.",
    SourceRequest,
    ChunkText,
)
TOOLS: Final = (SEARCH, ASK, GET_SOURCE)
