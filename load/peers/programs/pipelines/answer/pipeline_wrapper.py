"""A question answered by Haystack's pipeline, deployed by Hayhooks: embed, find, write the prompt, generate.

The embedder and the generator are those of all that are compared; they are named by the environment, and so is the
file with the chunks.
"""

import json
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

import httpx
from hayhooks import BasePipelineWrapper, async_streaming_generator
from haystack import Document, Pipeline, component
from haystack.components.builders import ChatPromptBuilder
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.dataclasses import ChatMessage
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.utils import Secret

TOP_K: Final = 6
PROMPT: Final = """{% for document in documents %}[S{{ loop.index }}] {{ document.content }}

{% endfor %}Question: {{ question }}"""


@component
class RemoteEmbedder:
    """Asks the Embedder for the vector of a question."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.AsyncClient()

    @component.output_types(embedding=list[float])  # type: ignore[untyped-decorator]
    def run(self, text: str) -> dict[str, list[float]]:
        """Ask without an event loop; Haystack wants both."""
        told = httpx.post(self._url, json={"texts": [text]})
        return {"embedding": told.raise_for_status().json()[0]}

    @component.output_types(embedding=list[float])  # type: ignore[untyped-decorator]
    async def run_async(self, text: str) -> dict[str, list[float]]:
        told = await self._client.post(self._url, json={"texts": [text]})
        return {"embedding": told.raise_for_status().json()[0]}


def read_documents(path: Path) -> list[Any]:
    """Read the chunks with their vectors."""
    return [Document(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]


class PipelineWrapper(BasePipelineWrapper):  # type: ignore[misc]  # its types are not installed
    """What Hayhooks deploys from this folder."""

    def setup(self) -> None:
        """Connect the stages."""
        store = InMemoryDocumentStore(embedding_similarity_function="cosine")
        store.write_documents(read_documents(Path(os.environ["PEER_CHUNKS"])))
        pipeline = Pipeline()
        pipeline.add_component("embedder", RemoteEmbedder(os.environ["PEER_EMBEDDER"]))
        pipeline.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=TOP_K))
        template = [ChatMessage.from_user(PROMPT)]
        pipeline.add_component("prompt", ChatPromptBuilder(template, required_variables="*"))
        generator = OpenAIChatGenerator(
            api_key=Secret.from_token("none"), model="any", api_base_url=os.environ["PEER_GENERATOR"]
        )
        pipeline.add_component("generator", generator)
        pipeline.connect("embedder.embedding", "retriever.query_embedding")
        pipeline.connect("retriever", "prompt.documents")
        pipeline.connect("prompt.prompt", "generator.messages")
        self.pipeline = pipeline

    async def run_api_async(self, question: str) -> AsyncGenerator[str, None]:
        """Stream the answer."""
        asked = {"embedder": {"text": question}, "prompt": {"question": question}}
        streamed: AsyncGenerator[str, None] = async_streaming_generator(pipeline=self.pipeline, pipeline_run_args=asked)
        return streamed
