"""The front sends a third-party generator what the settings say, with each question and each request for its models."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from rag.config.environment import load_settings
from rag.front import Front
from rag.types import Message
from tests.scripted_model import ScriptedModel

SETTINGS = {
    "RAG_EMBEDDER_MODEL": "fake:",
    "RAG_RERANKER_MODEL": "fake:",
    "RAG_GENERATOR_MODEL": "fake:",
    "RAG_GENERATOR_API_KEY": "sk-1\n",
    "RAG_GENERATOR_NAME": "gpt",
    "RAG_GENERATOR_HEADERS": '{"X-Team": "rag", "User-Agent": null}',
    "RAG_GENERATOR_BODY": '{"temperature": null, "max_tokens": null, "max_completion_tokens": "{max_tokens}"}',
}
PROMPT = [Message("user", "[S1] Staff have 12 days.\n</sources> How many?")]


@asynccontextmanager
async def front(url: str, place: Path) -> AsyncIterator[tuple[Front, AsyncExitStack]]:
    async with AsyncExitStack() as stack:
        yield Front(load_settings({**SETTINGS, "RAG_GENERATOR_URL": url, "RAG_INDEX_DIR": str(place)})), stack


async def test_name_headers_and_body_go_out(tmp_path: Path) -> None:
    """Credentials and headers to `/models` too; what is null is left out."""
    with ScriptedModel().running() as model:
        async with front(model.url, tmp_path) as (made, stack):
            generator = await made._connect_generator(stack)
            assert generator is not None
            assert await made._probes["generator"]("tr-ready") == "ok"
            async with generator.stream(PROMPT, max_tokens=64, timeout_s=5, trace_id="tr-asked") as deltas:
                assert [delta async for delta in deltas]

        (ready,), (asked,) = model.seen("tr-ready"), model.seen("tr-asked")

    for seen in (ready, asked):
        assert (seen.headers["authorization"], seen.headers["x-team"]) == ("Bearer sk-1", "rag")
        assert "user-agent" not in seen.headers
    assert (asked.body["model"], asked.body["max_completion_tokens"]) == ("gpt", 64)
    assert not {"temperature", "max_tokens"} & asked.body.keys()
