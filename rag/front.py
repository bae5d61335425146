"""The front service put together from its settings: what it is made of, what it connects to, how long it lives."""

import gc
import os
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Final

from fastapi import FastAPI

from rag import VERSION, models
from rag.api.app import create_app
from rag.api.documents import DocumentDesk
from rag.api.exchange import QueryDesk
from rag.api.probes import ModelProbe, RuntimeProbe, ServiceProbe, wait_until_ok
from rag.api.readiness import READY_STATES, DependencyWatch, Probe, check
from rag.api.routes import GOOD_ENDS
from rag.background import Work, kept_running
from rag.clients.bento_client import (
    BentoEmbedder,
    BentoEntailment,
    BentoQuestionEncoder,
    BentoScorer,
    address_of,
    open_http_client,
    open_service_client,
)
from rag.clients.ingestor_client import IngestorClient
from rag.clients.openai_client import OpenAIGenerator
from rag.clients.runtime_client import RuntimeEmbedder, RuntimeScorer, list_secrets, open_runtime
from rag.clients.runtime_identity import ServedElsewhere
from rag.clients.runtime_protocols import embedding_protocol, rerank_protocol
from rag.clients.socket_client import ServiceClient
from rag.config.settings import ANY_ORIGIN, OURS, Settings
from rag.engines.device import multiply_alone
from rag.engines.fake import FakeCounter, FakeEmbedder, FakeEntailment, FakeGenerator, FakeScorer
from rag.engines.stored_interaction import SharedPass, StoredInteraction
from rag.engines.tokenizer import FileTokenCounter
from rag.errors import NotReady
from rag.identity import open_authenticator
from rag.index.opening import open_engine
from rag.limits import Gate, Places
from rag.model_card import FAKE, is_fake, make_card, served_embedder, served_reranker
from rag.observability import metrics
from rag.observability.tracing import Tracer
from rag.observability.tracing.model_calls import CalledModel, TracedEmbedder, TracedGenerator
from rag.pipeline import Pipeline, StageLimits
from rag.ports import EntailmentModel, PassageScorer, TextEmbedder, TextGenerator, TokenCounter
from rag.quotas import Quotas, open_limiter
from rag.serving.orphans import stop_front_when_orphaned
from rag.serving.stopping import draining_on_sigterm
from rag.tenants import load_policies
from rag.types import ModelInfo, RelevanceScale
from rag.verification import LATE_INTERACTION, ZERO_TO_ONE, AnswerModel, Verifier
from rag.warm_up import TRIED_WHATEVER_IT_SAYS, AnyIndex, warm_up, with_patience
from schemas.response import DependencyState

LOADING_RETRY_AFTER_S: Final = 5.0
RANKING: Final = ("embedder", "reranker")
GENERATOR: Final = "generator"
MIN_SECRET_CHARS: Final = 4
GC_YOUNG_OBJECTS: Final = 20_000


class Front:
    """The parts of the front service; the pipeline exists once every model has loaded."""

    def __init__(self, settings: Settings, *, collector: str | None = None) -> None:
        """`collector` is the URL to which spans are sent.

        Raises: FileNotFoundError: a model is not there; SourceError, TenantsError: what a file says is broken.
        """
        multiply_alone()
        self._tracer = Tracer("RagService", collector)
        self._settings = settings
        self._policies = load_policies(settings)
        self._card = make_card(settings, self._policies)
        engine = open_engine(settings.secret_index_url, settings.index_dir)
        self._indexes = engine.serve(self._card.embedder, metrics.note_indexes)
        self._limiter = open_limiter(
            Quotas(settings.rate_limit_window_s, settings.rate_limit_requests, settings.rate_limit_tokens),
            redis_url=settings.redis_url.get_secret_value() if settings.redis_url else None,
            redis_lost=settings.redis_lost,
            on_local=metrics.LIMITED_LOCALLY.inc,
        )
        self._gate = Gate()
        self._probes: dict[str, Probe] = {}
        self._watch: DependencyWatch | None = None
        self._pipeline: Pipeline | None = None
        self._ingestor: IngestorClient | None = None
        self._search_pipeline: Pipeline | None = None  # the same one, there as soon as the models of a search are
        self.app: Final = self._make_app()

    async def check(self) -> bool:
        """Whether the service takes queries, and every dependency answers."""
        return not self._gate.is_closed and READY_STATES.issuperset((await check(self._probes)).values())

    def _make_app(self) -> FastAPI:
        settings = self._settings
        authenticator = open_authenticator(
            identities_file=settings.identities_file,
            jwt_jwks=settings.jwt_jwks,
            jwt_audience=settings.jwt_audience,
            jwt_issuer=settings.jwt_issuer,
        )
        desk = QueryDesk(
            pipeline=self._ready_pipeline,
            search_pipeline=self._ready_search_pipeline,
            indexes=self._indexes,
            authenticator=authenticator,
            limiter=self._limiter,
            places=Places(
                settings.max_concurrent_requests,
                queue_timeout_s=settings.queue_timeout_s,
                waiting=metrics.QUEUED.track_inprogress,
                running=metrics.RUNNING.track_inprogress,
            ),
            gate=self._gate,
            request_timeout_s=settings.request_timeout_s,
            stream_timeout_s=settings.stream_timeout_s,
            public_url=settings.public_url,
            log_content_sample=settings.log_content_sample,
            tracer=self._tracer,
            names_tenant=authenticator.names_tenant if settings.tenant_metrics == "on" else _names_none,
        )
        documents = DocumentDesk(
            ingestor=lambda: self._ingestor,
            lists=self._indexes,
            upload_max_bytes=settings.upload_max_bytes,
            upload_timeout_s=settings.upload_timeout_s,
            origins=settings.allowed_origins - {ANY_ORIGIN},
        )
        app = create_app(
            desk,
            card=self._card,
            index_versions=self._indexes.versions,
            probes=self._probes,
            documents=documents,
        )
        app.router.lifespan_context = self._running
        return app

    def _ready_pipeline(self) -> Pipeline:
        """Raises: NotReady: a model is still loading, or a service of ours does not answer."""
        return _require(self._pipeline, down=self._watch.down if self._watch else frozenset())

    def _ready_search_pipeline(self) -> Pipeline:
        """Return the pipeline, for searches alone: a generator that is loading or down does not matter.

        Raises: NotReady: as `_ready_pipeline`, for the other models.
        """
        down = self._watch.down if self._watch else frozenset[str]()
        return _require(self._search_pipeline, down=down - {GENERATOR})

    @asynccontextmanager
    async def _running(self, _: FastAPI) -> AsyncIterator[None]:
        """Connects to the other services, and holds the connections for as long as the server runs."""
        metrics.begin(
            version=VERSION,
            model_version=self._card.model_version,
            prompt_version=self._card.prompt_version,
            places=self._settings.max_concurrent_requests,
            good_ends=GOOD_ENDS,
        )
        async with AsyncExitStack() as stack:
            stack.enter_context(self._tracer.running())
            pipeline, first = await self._connect(stack)
            if self._settings.uploads == "on":
                url = self._settings.ingestor_url or address_of("Ingestor")
                self._ingestor = IngestorClient(await stack.enter_async_context(open_http_client(url)))
            # A generator of somebody else's may be down for good: its failures are answered per request.
            ours = [*RANKING, *([GENERATOR] if self._settings.generator_url is None else [])]
            self._watch = DependencyWatch({name: self._probes[name] for name in ours})
            self._probes.update(self._watch.probes)
            background: dict[str, Work] = {
                "indexes": self._indexes.watch,
                "dependencies": self._watch.run,
                "start": partial(self._open_when_loaded, pipeline, first, ours),
            }
            for name, work in background.items():
                await stack.enter_async_context(kept_running(name, work))
            stack.enter_context(draining_on_sigterm(self._gate))
            stop_front_when_orphaned(os.environ)
            yield

    async def _connect(self, stack: AsyncExitStack) -> tuple[Pipeline, Pipeline]:
        """What answers, and what warms it up: the same without thresholds, and without somebody else's generator."""
        embedder, scorer = await self._connect_ranking(stack)
        if self._tracer.is_on:
            embedder = TracedEmbedder(embedder, self._tracer, self._called_embedder())
        entailment = await self._connect_verifier(stack)
        generator = await self._connect_generator(stack)
        if generator is not None and self._tracer.is_on:
            generator = TracedGenerator(generator, self._tracer, self._called_generator())
        self._probes["index"] = self._index_state
        self._probes["limiter"] = self._limiter_state
        stack.push_async_callback(self._limiter.aclose)
        stack.push_async_callback(self._indexes.aclose)
        limits, scale = self._stage_limits(), self._relevance_scale()
        make = partial(
            Pipeline,
            embedder=embedder,
            scorer=scorer,
            counter=self._counter(),
            entailment=entailment,
            history=self._settings.history,
            model_version=self._card.model_version,
        )
        answers = self._answer_model()
        pipeline = make(
            generator=generator,
            indexes=self._indexes,
            verifier=Verifier(scale, answers),
            policies=self._policies,
            limits=limits,
        )
        first = make(
            generator=generator if self._settings.generator_url is None else None,
            indexes=AnyIndex(self._indexes),
            verifier=Verifier(replace(scale, floor=-1.0), answers),
            policies=TRIED_WHATEVER_IT_SAYS,
            limits=with_patience(limits),
        )
        return pipeline, first

    async def _connect_other_embedder(self, stack: AsyncExitStack) -> TextEmbedder:
        settings = self._settings
        protocol, name = settings.embedder_protocol, served_embedder(settings)
        url, key = str(settings.embedder_url), settings.embedder_api_key
        client = await stack.enter_async_context(open_runtime(protocol, url, key))
        revision = models.describe(settings.embedder_model).revision
        self._probes["embedder"] = RuntimeProbe(
            client, ServedElsewhere(protocol, name, revision, self._card.embedder.dimension)
        )
        query_prompt, _ = models.read_prompts(models.locate(settings.embedder_model, weights=False))
        return RuntimeEmbedder(
            client,
            embedding_protocol(protocol, name),
            dimension=self._card.embedder.dimension,
            query_prompt=query_prompt,
            secrets=list_secrets(key),
        )

    async def _connect_other_reranker(self, stack: AsyncExitStack) -> PassageScorer:
        settings = self._settings
        protocol, name, key = settings.reranker_protocol, served_reranker(settings), settings.reranker_api_key
        client = await stack.enter_async_context(open_runtime(protocol, str(settings.reranker_url), key))
        self._probes["reranker"] = RuntimeProbe(client, ServedElsewhere(protocol, name))
        return RuntimeScorer(client, rerank_protocol(protocol, name), secrets=list_secrets(key))

    async def _connect_ranking(self, stack: AsyncExitStack) -> tuple[TextEmbedder, PassageScorer]:
        """The models of retrieval and of reranking; if they are one, one pass gives what both need of a question."""
        settings, dimension = self._settings, self._card.embedder.dimension
        if is_fake(settings.embedder_model):
            self._probes["embedder"] = always_ok
            return FakeEmbedder(), await self._connect_scorer(stack, None)
        if settings.embedder_protocol != OURS:
            return await self._connect_other_embedder(stack), await self._connect_scorer(stack, None)
        url = settings.embedder_url or address_of("Embedder")
        client, self._probes["embedder"] = await _open_service(stack, url, [self._card.embedder])
        scorer = await self._connect_scorer(stack, client)
        if not settings.keeps_tokens:
            return BentoEmbedder(client, dimension), scorer
        shared = SharedPass(BentoQuestionEncoder(client, dimension))
        return shared, StoredInteraction(shared, scorer)

    async def _connect_scorer(self, stack: AsyncExitStack, embedder: ServiceClient | None) -> PassageScorer:
        """What scores passages: the Embedder, if it can, else the Reranker."""
        if is_fake(self._settings.reranker_model):
            self._probes["reranker"] = always_ok
            return FakeScorer()
        if self._settings.reranker_protocol != OURS:
            return await self._connect_other_reranker(stack)
        if embedder is not None and self._settings.embedder_reranks:
            self._probes["reranker"] = self._probes["embedder"]
            return BentoScorer(embedder)
        return BentoScorer(await self._open_reranker(stack))

    async def _connect_verifier(self, stack: AsyncExitStack) -> EntailmentModel | None:
        """What judges a sentence after the closed form has; after `_connect_ranking`, whose probe it may replace."""
        model = self._settings.verifier_model
        if model is None:
            return None
        return FakeEntailment() if is_fake(model) else BentoEntailment(await self._open_reranker(stack))

    async def _open_reranker(self, stack: AsyncExitStack) -> ServiceClient:
        url = self._settings.reranker_url or address_of("Reranker")
        served = (self._settings.reranker_model, self._settings.verifier_model)
        expected = [models.describe(model) for model in served if model is not None and not is_fake(model)]
        client, self._probes["reranker"] = await _open_service(stack, url, expected)
        return client

    async def _connect_generator(self, stack: AsyncExitStack) -> TextGenerator | None:
        settings = self._settings
        self._probes["generator"] = always_ok
        if settings.generator_model is None:
            return None
        if settings.generator_url is None and is_fake(settings.generator_model):
            return FakeGenerator()
        if settings.generator_url is None:
            client = await stack.enter_async_context(open_http_client(address_of("Generator")))
            self._probes["generator"] = ServiceProbe(client, "/readyz", ours=True)
            return OpenAIGenerator(client, path="/v1/chat/completions", model_name=self._card.generator.name)
        client = await stack.enter_async_context(open_http_client(settings.generator_url))
        for name, value in settings.upstream_headers.items():
            client.headers.pop(name, None)
            if value is not None:
                client.headers[name] = value
        self._probes["generator"] = ServiceProbe(client, "/models", ours=False)
        return OpenAIGenerator(
            client,
            model_name=settings.generator_name or self._card.generator.name,
            body=settings.upstream_body,
            secrets=[part for value in settings.upstream_headers.values() for part in _secret_parts(value)],
        )

    def _called_embedder(self) -> CalledModel:
        settings, name = self._settings, self._card.embedder.name
        if is_fake(settings.embedder_model):
            return CalledModel(name, FAKE)
        if settings.embedder_protocol == OURS:
            return CalledModel(name, "bentoml", settings.embedder_url)
        return CalledModel(served_embedder(settings), settings.embedder_protocol, settings.embedder_url)

    def _called_generator(self) -> CalledModel:
        settings, name = self._settings, self._card.generator.name
        if settings.generator_url is not None:  # named by its API: who runs it is not known
            return CalledModel(settings.generator_name or name, "openai", settings.generator_url)
        return CalledModel(name, FAKE if is_fake(settings.generator_model or "") else "vllm")

    async def _open_when_loaded(self, pipeline: Pipeline, first: Pipeline, ours: list[str]) -> None:
        await wait_until_ok([self._probes[name] for name in RANKING])
        is_real = not is_fake(self._settings.embedder_model)  # `make dev` is to be up at once
        if is_real:
            # The first index to be opened takes two seconds of imports, as long as retrieval may take.
            await self._indexes.open_all()
        self._search_pipeline = pipeline
        await wait_until_ok([self._probes[name] for name in ours])
        if is_real:
            await warm_up(first)
        self._pipeline = pipeline
        await check(self._probes)  # for the metrics: nobody may ask for readiness
        # What is there now stays: without this the collector looks at all of it again and again, 100 ms each time. And
        # the young objects of one query need not be looked at five times while it runs.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_YOUNG_OBJECTS)

    def _counter(self) -> TokenCounter:
        model = self._settings.counting_model
        return FakeCounter() if is_fake(model) else FileTokenCounter(models.locate(model, weights=False))

    def _stage_limits(self) -> StageLimits:
        settings = self._settings
        return StageLimits(
            retrieve_k=settings.retrieve_k,
            rerank_k=settings.rerank_k,
            context_tokens=settings.passage_tokens,
            draft_tokens=settings.draft_limit_tokens,
            retrieval_timeout_s=settings.retrieval_timeout_s,
            rerank_timeout_s=settings.rerank_timeout_s,
            generation_timeout_s=settings.generation_timeout_s,
            rewrite_timeout_s=settings.rewrite_timeout_s,
        )

    def _relevance_scale(self) -> RelevanceScale:
        settings = self._settings
        if settings.reranker_protocol != OURS:
            scale = models.CROSS_ENCODER_SCALE
        elif is_fake(settings.reranker_model):
            scale = RelevanceScale(FakeScorer.relevance_floor)
        else:
            scale = models.relevance_scale(models.locate(settings.reranker_model, weights=False))
        return scale if settings.abstain_relevance is None else replace(scale, floor=settings.abstain_relevance)

    def _answer_model(self) -> AnswerModel:
        model = self._settings.reranker_model
        is_ours = self._settings.reranker_protocol == OURS
        if not is_ours or is_fake(model) or models.is_cross_encoder(models.locate(model, weights=False)):
            return ZERO_TO_ONE
        return LATE_INTERACTION

    async def _limiter_state(self, _: str | None) -> DependencyState:
        return await self._limiter.state()

    async def _index_state(self, _: str | None) -> DependencyState:
        """Loading until the first queries are answered too: they wait for all models and all indexes."""
        return self._indexes.state() if self._pipeline else "loading"


def _require(pipeline: Pipeline | None, *, down: Collection[str]) -> Pipeline:
    if pipeline is None:
        raise NotReady("A model is still loading.", retry_after_s=LOADING_RETRY_AFTER_S)
    if down:
        raise NotReady("A model service is down.", retry_after_s=LOADING_RETRY_AFTER_S)
    return pipeline


async def _open_service(
    stack: AsyncExitStack, url: str, expected: Sequence[ModelInfo]
) -> tuple[ServiceClient, ModelProbe]:
    """Open the clients for a service's calls and for its probe, which must see these models."""
    probe = ModelProbe(await stack.enter_async_context(open_http_client(url)), expected)
    return await stack.enter_async_context(open_service_client(url)), probe


async def always_ok(_: str | None) -> DependencyState:
    return "ok"


def _secret_parts(value: str | None) -> list[str]:
    """A header's value, and what stands in it behind `Bearer` or the like; what is short is no secret."""
    return [part for part in (value or "", *(value or "").split()) if len(part) >= MIN_SECRET_CHARS]


def _names_none(tenant_id: str) -> bool:
    return False
