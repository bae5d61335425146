"""`/mcp` by the protocol's own SDKs, of Python (which vLLM brings) and of TypeScript, against a real server."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from load.processes import ROOT
from load.server import Server
from schemas.response import ChunkText, QueryResponse, SearchResponse
from tests.integration.asking import CLIENT_TIMEOUT_S, Rag, cited_in_order, make_trace_id, wait_for
from tests.scripted_model import PAUSE, Reply, ScriptedModel

pytestmark = pytest.mark.integration

CLIENT: Final = ROOT / "tests" / "clients" / "ask_mcp.mjs"
# Brought by the set-up, where there is npm.
TYPESCRIPT_SDK: Final = ROOT / ".data" / "tools" / "mcp-client"
TIMEOUT_S: Final = 60
QUESTION: Final = "How many days of annual leave do full-time staff have?"


@asynccontextmanager
async def connected(server: Server, key: str | None = "reader", **headers: str) -> AsyncIterator[Client]:
    """A client that has shaken hands."""
    credentials = {"x-api-key": key} if key else {}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        httpx2.AsyncClient(headers={**credentials, **named}, timeout=CLIENT_TIMEOUT_S) as http,
        Client(streamable_http_client(f"{server.url}/mcp", http_client=http)) as client,
    ):
        yield client


def read_error(result: CallToolResult) -> dict[str, Any]:
    assert result.is_error
    (content,) = result.content
    assert isinstance(content, TextContent)
    error: dict[str, Any] = json.loads(content.text)["error"]
    return error


async def test_the_three_tools_are_there(guarded_server: Server) -> None:
    """After the newest handshake that both know."""
    async with connected(guarded_server) as client:
        tools = (await client.list_tools()).tools

        assert client.protocol_version == "2025-11-25"
    assert {tool.name for tool in tools} == {"search", "ask", "get_source"}


async def test_an_answer_leads_to_its_sources(guarded: Rag, guarded_server: Server) -> None:
    """By the tools alone; the client checks each result against the tool's schema. One line under the tool's label."""
    trace_id = make_trace_id()
    async with connected(guarded_server, x_trace_id=trace_id) as client:
        asked = await client.call_tool("ask", {"question": QUESTION})
        answer = QueryResponse.model_validate(asked.structured_content)
        found = await client.call_tool("search", {"question": QUESTION, "top_k": 3})
        read = await client.call_tool("get_source", {"chunk_id": answer.citations[0].chunk_id})
    source = ChunkText.model_validate(read.structured_content)
    (citation, *_) = answer.citations
    lines = [json.loads(line) for line in guarded.log_path.read_text("utf-8").splitlines() if trace_id in line]

    assert cited_in_order(answer.answer) == [each.source_id for each in answer.citations]
    assert source.text[citation.quote_start : citation.quote_end] == citation.quote
    assert citation.url.startswith(f"{guarded_server.url}/chunks/")
    assert source.chunk_id in {
        each.chunk_id for each in SearchResponse.model_validate(found.structured_content).results
    }
    calls = [line for line in lines if line.get("route", "").startswith("/mcp/")]
    assert [line["route"] for line in calls] == ["/mcp/ask", "/mcp/search", "/mcp/get_source"]
    assert {(line["event"], line["principal_id"]) for line in calls} == {("query_ok", "key:reader")}


async def test_progress_is_heard(guarded_server: Server) -> None:
    """Before the answer, and growing."""
    heard: list[tuple[float, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, message))

    async with connected(guarded_server) as client:
        result = await client.call_tool("ask", {"question": QUESTION}, progress_callback=hear)

    assert not result.is_error
    assert [progress for progress, _ in heard] == list(range(1, len(heard) + 1))
    assert any(text is not None and text.startswith("[S1] ") for _, text in heard)


@pytest.mark.parametrize("key", [None, "stranger"])
async def test_nobody_connects_without_a_key(guarded: Rag, guarded_server: Server, key: str | None) -> None:
    """401, with how to say who one is, already for the handshake."""
    headers = {"x-api-key": key} if key else {}
    response = guarded.http.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "initialize"}, headers=headers)
    with pytest.raises(ExceptionGroup) as refused:
        async with connected(guarded_server, key):
            pass

    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert refused.group_contains(MCPError)


async def test_another_tenant_is_forbidden(guarded_server: Server) -> None:
    """As a result that the model can read."""
    async with connected(guarded_server) as client:
        for tool in ("ask", "search"):
            result = await client.call_tool(tool, {"question": QUESTION, "tenant_id": "acme"})
            assert read_error(result)["code"] == "FORBIDDEN"


async def test_a_spent_quota_says_when_to_come_again(guarded_server: Server) -> None:
    """Two calls in a window: the protocol's own messages do not count, the third call is RATE_LIMITED."""
    async with connected(guarded_server, "hasty") as client:
        arguments = {"question": QUESTION, "tenant_id": "hasty"}
        results = [await client.call_tool("search", arguments) for _ in range(3)]

    assert [each.is_error for each in results] == [False, False, True]
    assert read_error(results[-1])["code"] == "RATE_LIMITED"
    assert results[-1].meta is not None
    assert results[-1].meta["retry_after_s"] >= 1


async def test_a_cancelled_call_frees_its_place(guarded: Rag, guarded_server: Server, model: ScriptedModel) -> None:
    """The connection stays, the generator is left, and the line says that the call was cancelled."""
    trace_id = make_trace_id()
    model.script(trace_id, Reply(pieces=(PAUSE,), then="hang"))
    async with connected(guarded_server, x_trace_id=trace_id) as client:
        calling = asyncio.create_task(client.call_tool("ask", {"question": QUESTION}))
        await asyncio.to_thread(wait_for, lambda: model.seen(trace_id), within_s=20)
        calling.cancel()
        left = await asyncio.to_thread(model.seen(trace_id)[0].left.wait, 2)
        line = await asyncio.to_thread(wait_for, lambda: find_call(guarded, trace_id), within_s=10)

        assert left
        assert (line["event"], line["finish_reason"]) == ("query_cancelled", "client_disconnected")
        assert not (await client.call_tool("search", {"question": QUESTION})).is_error


def find_call(rag: Rag, trace_id: str) -> dict[str, Any] | None:
    """The line of the tool `ask`; the protocol's messages have the same trace id here."""
    for text in rag.log_path.read_text("utf-8", "replace").splitlines():
        if trace_id in text and '"/mcp/ask"' in text:
            found: dict[str, Any] = json.loads(text)
            return found
    return None


def test_the_sdk_of_typescript_gets_the_same(guarded_server: Server) -> None:
    """It checks results by the listed schemas, tries a GET and a DELETE that are not there, and cancels a call."""
    if shutil.which("node") is None or not (TYPESCRIPT_SDK / "node_modules").exists():
        pytest.skip("set-up found no node and npm to bring the SDK of TypeScript")
    command = ["node", str(CLIENT), str(TYPESCRIPT_SDK), f"{guarded_server.url}/mcp", "everyone", QUESTION]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    answer = QueryResponse.model_validate(seen["asked"]["structuredContent"])

    assert sorted(seen["tools"]) == ["ask", "get_source", "search"]
    assert seen["progress"] == list(range(1, len(seen["progress"]) + 1))
    assert seen["progress"]
    assert answer.citations[0].quote in seen["read"]["structuredContent"]["text"]
    assert len(seen["found"]["structuredContent"]["results"]) == 1
    assert seen["reason"] == "cancelled"
