"""The five BentoML services of the Bento: constructed, wired and mounted here; everything they do is in `rag`."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Any, Final

import bentoml
import numpy as np
from fastapi import FastAPI
from starlette.types import ASGIApp

from rag import models
from rag import packaging as image
from rag.api.edge import ContractEdge
from rag.background import start
from rag.config.environment import SettingsError, load_settings, read_port
from rag.config.settings import Settings
from rag.engines.batch_queue import BatchLimits
from rag.engines.batching import Batcher, estimate_entailment, estimate_text
from rag.engines.cross_encoder import CrossEncoderScorer
from rag.engines.device import share_cores
from rag.engines.entailment import EntailmentClassifier
from rag.engines.late_interaction import LateInteractionScorer
from rag.engines.sentence_transformer import SentenceEncoder
from rag.engines.vllm_server import ENGINE_PATHS, EngineOptions, VllmServer, dying_on_sigterm
from rag.errors import NotReady
from rag.front import Front
from rag.identity import SourceError
from rag.ingestor.app import PATHS
from rag.ingestor.service import open_ingestor
from rag.model_card import is_fake
from rag.observability import logs, metrics
from rag.observability.tracing import Tracer, find_collector
from rag.ports import Vectors
from rag.serving.bento_batching import BatchedService, Traced
from rag.serving.connection import bound_connections
from rag.serving.direct import answered_directly
from rag.serving.orphans import stop_service_when_orphaned
from rag.serving.past import past_middleware
from rag.serving.supervisor import listen_privately, stop_front_first
from rag.tenants import TenantsError
from rag.types import EncodedQuestion
from schemas.request import Filters, Turn
from schemas.response import QueryResponse
from schemas.services import Completion, Entailment, Pair, ServedModel


def read_settings() -> tuple[Settings, int]:
    """Return the settings of this process and its port; print one line for each bad one and end the process."""
    try:
        return load_settings(os.environ), read_port(os.environ)
    except SettingsError as error:
        for problem in error.problems:
            print(f"settings: {problem}", file=sys.stderr)
        raise SystemExit(1) from None


# BentoML reads this file when it starts a service, in every process anew.
os.environ.setdefault("BENTOML_CONFIG", str(image.ROOT / "configuration.yaml"))
SETTINGS, PORT = read_settings()
logs.configure_logging(SETTINGS.log_level)
# Here, for `bentoml serve` of a model service alone too: every supervisor and worker imports this file first.
listen_privately()
bound_connections(SETTINGS.max_connections)
# Where spans are sent; None, as it is by default, for nowhere.
COLLECTOR: Final = find_collector(os.environ)

# Above every deadline of ours, so that a timeout is answered in the contract's words; BentoML keeps a timer of this
# length per request, so not far above.
TIMEOUT_S: Final = max(SETTINGS.request_timeout_s, SETTINGS.stream_timeout_s) + 30
# The serving knobs are in configuration.yaml. These are no knobs: without them BentoML probes dependencies for a
# minute, refuses requests by prediction, and does not read PORT.
CALLED: Final[dict[str, Any]] = {
    "traffic": {"timeout": TIMEOUT_S},
    "runner_probe": {"enabled": False},
    "http": {"port": PORT},
}
MAX_LATENCY_MS: Final = int(TIMEOUT_S * 1000)


def served(model: str | None) -> str | None:
    """Return the model if a service has to hold it: the front itself plays the fake ones."""
    return None if model is None or is_fake(model) else model


def depend_on(service: Any, *models: str | None, url: str | None = None) -> Any:  # Any: BentoML has no types here
    """Make the service part of the Bento, and start it beside the front if it has a model to hold and no address."""
    is_needed = any(served(model) for model in models)
    # BentoML starts no dependency that has an address.
    return bentoml.depends(service, url=url or (None if is_needed else NOT_STARTED))


NO_FILTERS: Final = Filters()
NOT_STARTED: Final = "http://not-started.invalid"
BATCH_LIMITS: Final = BatchLimits(
    budget_tokens=SETTINGS.batch_tokens,
    wait_s=SETTINGS.batch_wait_ms / 1000,
    pass_tokens=SETTINGS.batch_pass_tokens,
)
ARGUMENTS: Final = image.read_arguments()
MODEL_SERVICE: Final[dict[str, Any]] = {**CALLED, **image.describe_resources(ARGUMENTS)}
# The two models of the Reranker service; it has the API of each that there is.
RERANKER: Final = served(SETTINGS.reranker_model)
VERIFIER: Final = served(SETTINGS.verifier_model)
# Those for which it is started beside the front.
RERANKERS_MODELS: Final = () if SETTINGS.embedder_reranks else (RERANKER, VERIFIER)


@bentoml.service(name="Embedder", service_class=BatchedService, **MODEL_SERVICE)
class Embedder:
    """Texts to vectors of unit length; if its model is the reranker's too, all that reranking needs of it."""

    def __init__(self) -> None:
        share_cores()
        stop_service_when_orphaned(os.environ, wait_s=TIMEOUT_S)
        self._info = models.describe(SETTINGS.embedder_model)
        self._encoder = SentenceEncoder(models.locate(SETTINGS.embedder_model), self._info)
        self._batcher = Batcher(BATCH_LIMITS, metrics.note_batch, metrics.note_waiting)
        self._scorer = LateInteractionScorer(self._encoder)

    @bentoml.api(batchable=True)
    async def embed(self, texts: list[str]) -> np.ndarray:
        """Passages: float32, (n, dim)."""
        return await self._embed(self._encoder.encode_passages, texts)

    @bentoml.api(batchable=True)
    async def embed_queries(self, texts: list[str]) -> np.ndarray:
        """Questions: float32, (n, dim)."""
        return await self._embed(self._encoder.encode_queries, texts)

    async def _embed(self, encode: Callable[[Sequence[str]], Vectors], texts: list[str]) -> Vectors:
        return await self._batcher.run(encode, texts, estimate_text, row_shape=(self._info.dimension,))

    if SETTINGS.has_one_ranking_model:

        @answered_directly
        async def encode_question(self, body: bytes) -> bytes:
            """A question in UTF-8 to an `EncodedQuestion`: one pass for its vector and the vectors of its tokens."""
            questions = [body.decode()]
            (encoded,) = await self._batcher.run(self._encoder.read_queries, questions, estimate_text, dtype=object)
            if not isinstance(encoded, EncodedQuestion):
                raise RuntimeError("the model failed on a question")
            return encoded.to_bytes()

        @bentoml.api(batchable=True)
        async def rerank(self, pairs: list[Pair]) -> np.ndarray:
            """Relevance: float32, (n,), higher is better."""
            return await self._batcher.run(self._scorer.score, pairs, self._scorer.estimate)

    @bentoml.api
    async def describe(self) -> list[ServedModel]:
        """What it embeds with, for fronts that must have the same."""
        return [ServedModel(**asdict(self._info))]


@bentoml.service(name="Reranker", service_class=BatchedService, **MODEL_SERVICE)
class Reranker:
    """Windows of passages to their relevance for a question; claims to their support by a text.

    Both run on one device, batch by batch in turn: neither waits for more than one batch of the other.
    """

    def __init__(self) -> None:
        share_cores()
        stop_service_when_orphaned(os.environ, wait_s=TIMEOUT_S)
        self._batcher = Batcher(BATCH_LIMITS, metrics.note_batch, metrics.note_waiting)
        self._infos = [models.describe(model) for model in (RERANKER, VERIFIER) if model is not None]
        if RERANKER is not None:
            folder, info = models.locate(RERANKER), models.describe(RERANKER)
            self._scorer = (
                CrossEncoderScorer(folder, info)
                if models.is_cross_encoder(folder)
                else LateInteractionScorer(SentenceEncoder(folder, info))
            )
        if VERIFIER is not None:
            self._classifier = EntailmentClassifier(models.locate(VERIFIER), models.describe(VERIFIER))

    if RERANKER is not None:

        @bentoml.api(batchable=True)
        async def rerank(self, pairs: list[Pair]) -> np.ndarray:
            """Relevance: float32, (n,), higher is better."""
            return await self._batcher.run(self._scorer.score, pairs, self._scorer.estimate)

    if VERIFIER is not None:

        @bentoml.api(batchable=True)
        async def entail(self, pairs: list[Entailment]) -> np.ndarray:
            """Support: float32, (n,), 0 to 1."""
            return await self._batcher.run(self._classifier.entail, pairs, estimate_entailment)

    @bentoml.api
    async def describe(self) -> list[ServedModel]:
        """What it scores with, and what it judges with, where there is one."""
        return [ServedModel(**asdict(info)) for info in self._infos]


if COLLECTOR is not None:
    traced: list[Any] = [Embedder, Reranker]  # Any: what BentoML has made of the classes
    for each in traced:
        each.add_asgi_middleware(Traced, tracer=Tracer(each.name, COLLECTOR))

GENERATOR_APP: Final = FastAPI(openapi_url=None)


class GeneratorService(bentoml.Service):  # type: ignore[misc]  # BentoML has no types here
    """vLLM's own paths go past BentoML's middleware, which takes CPU time from the model for each piece of a stream."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        return past_middleware(super().to_asgi(is_main=is_main), GENERATOR_APP, ENGINE_PATHS)


@bentoml.service(name="Generator", service_class=GeneratorService, **MODEL_SERVICE)
@bentoml.asgi_app(GENERATOR_APP, path="/")
class Generator:
    """vLLM's own OpenAI-compatible API, and whole completions for batch jobs."""

    def __init__(self) -> None:
        model = SETTINGS.generator_model
        if model is None:
            raise SystemExit("settings: RAG_GENERATOR_MODEL is none: there is nothing for a Generator to serve")
        stop_service_when_orphaned(os.environ, wait_s=TIMEOUT_S)
        self._server = VllmServer(
            EngineOptions(
                model_path=str(models.locate(model)),
                model_name=models.describe(model).name,
                context_tokens=SETTINGS.generator_context_tokens,
                gpu_memory_fraction=SETTINGS.generator_gpu_memory_fraction,
                max_running=SETTINGS.generator_max_running,
                batch_tokens=SETTINGS.generator_batch_tokens,
                collector=COLLECTOR,
            )
        )

    @bentoml.on_startup
    async def start(self) -> None:
        with dying_on_sigterm():
            GENERATOR_APP.mount("/", await self._server.start())
        self._ending = start("engine", self._end_with_engine())

    async def _end_with_engine(self) -> None:
        """A service without its engine cannot recover; ended, it is started again.

        At once: what it had begun is lost with the engine, and BentoML would wait for it for the whole timeout.
        """
        await self._server.died()
        self._server.stop()
        os._exit(1)

    @bentoml.on_shutdown
    async def stop(self) -> None:
        self._ending.cancel()
        self._server.stop()

    async def __is_ready__(self) -> bool:
        return self._server.is_running

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=MAX_LATENCY_MS)
    async def complete(self, requests: list[Completion]) -> list[str]:
        """The answers to whole conversations, in their order."""
        return await self._server.complete_all(requests)


INGESTOR: Final = open_ingestor(SETTINGS, os.environ)


class IngestorService(bentoml.Service):  # type: ignore[misc]  # BentoML has no types here
    """Its own paths go past BentoML's middleware, whose `traffic.timeout` is shorter than a file may take."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        return past_middleware(super().to_asgi(is_main=is_main), INGESTOR.app, PATHS)


@bentoml.service(name="Ingestor", service_class=IngestorService, **CALLED)
class Ingestor:
    """Files and orders to new versions of tenants' indexes; the one process that writes."""

    def __init__(self) -> None:
        stop_service_when_orphaned(os.environ, wait_s=TIMEOUT_S)
        self._stack = AsyncExitStack()

    @bentoml.on_startup
    async def start(self) -> None:
        await self._stack.enter_async_context(INGESTOR.running())

    @bentoml.on_shutdown
    async def stop(self) -> None:
        await self._stack.aclose()

    @bentoml.api
    async def is_ready(self) -> bool:
        """Whether it takes orders; BentoML starts no service without an API."""
        return INGESTOR.is_ready

    async def __is_ready__(self) -> bool:
        return INGESTOR.is_ready


class FrontService(bentoml.Service):  # type: ignore[misc]  # BentoML has no types here
    """The outermost layer of the server: BentoML's own answers are put into the contract's words."""

    @property
    def openapi_spec(self) -> dict[str, Any]:
        """What `bentoml build` writes into the Bento: the description that the server gives."""
        described: dict[str, Any] = json.loads(json.dumps(FRONT.app.openapi()))  # plain types, for YAML
        return described

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        return ContractEdge(super().to_asgi(is_main=is_main), ours=FRONT.app, origins=SETTINGS.allowed_origins)


def open_front() -> Front:
    """Ends the process with one line where a model is not there, or what a file says is broken."""
    try:
        return Front(SETTINGS, collector=COLLECTOR)
    except FileNotFoundError as error:
        reason = f"models: {error}"
    except SourceError as error:
        reason = f"identities: {error}"
    except TenantsError as error:
        reason = f"tenants: {error}"
    print(reason, file=sys.stderr)
    raise SystemExit(1)


FRONT: Final = open_front()


@bentoml.service(
    name="RagService",
    service_class=FrontService,
    image=image.make_image(ARGUMENTS),
    envs=image.list_environment(ARGUMENTS),
    **CALLED,
)
@bentoml.asgi_app(FRONT.app, path="/")
class RagService:
    """The front: contract, identity, limits, the pipeline, and the stream of events."""

    embedder = depend_on(Embedder, SETTINGS.embedder_model, url=SETTINGS.embedder_url)
    reranker = depend_on(Reranker, *RERANKERS_MODELS, url=SETTINGS.reranker_url)
    generator = depend_on(Generator, SETTINGS.generator_model, url=SETTINGS.generator_url)
    ingestor = bentoml.depends(
        Ingestor, url=SETTINGS.ingestor_url or (None if SETTINGS.uploads == "on" else NOT_STARTED)
    )

    @bentoml.api(route="/v1/query")
    async def query(  # noqa: PLR0917  # the fields of the contract
        self,
        question: str,
        tenant_id: str = "demo",
        top_k: int = 6,
        max_output_tokens: int = 512,
        include_trace: bool = False,
        filters: Filters = NO_FILTERS,
        history: list[Turn] | None = None,
    ) -> QueryResponse:
        """Declared so that BentoML's clients and documents see it; `ContractEdge` answers it as it does /query."""
        raise NotReady

    @bentoml.on_deployment
    @staticmethod
    def prepare_supervisor() -> None:
        stop_front_first()

    async def __is_ready__(self) -> bool:
        return await FRONT.check()
