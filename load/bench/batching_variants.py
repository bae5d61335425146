"""Build the Embedder and the Reranker in three variants: BentoML's batching, the same tuned, and ours as served.

An Embedder with BentoML's batching exists only here, for the comparison. "Tuned" means small batches, no waiting for
company, and no work for callers that have disconnected.
"""

import asyncio
from typing import Any, Final

import bentoml
import numpy as np
from bentoml._internal.marshal.dispatcher import CorkDispatcher, Optimizer
from starlette.types import ASGIApp

import service
from rag import models
from rag.engines.device import share_cores
from rag.engines.late_interaction import LateInteractionScorer
from rag.engines.sentence_transformer import SentenceEncoder
from rag.serving.bento_batching import WhileWaiting
from schemas.services import Pair

# BentoML refuses requests that it expects to take longer than `max_latency_ms`.
_DECLARED: Final[dict[str, Any]] = {"batchable": True, "max_batch_size": 64, "max_latency_ms": 60_000}
# Better than 64 for texts of mixed lengths; in process, larger batches gain nothing either.
_TUNED_ITEMS: Final = 4


class _Embedder:
    def __init__(self) -> None:
        share_cores()
        tag = service.SETTINGS.embedder_model
        self._encoder = SentenceEncoder(models.locate(tag), models.describe(tag))

    @bentoml.api(**_DECLARED)  # type: ignore[untyped-decorator]  # BentoML has no types here
    async def embed(self, texts: list[str]) -> np.ndarray:
        return await asyncio.to_thread(self._encoder.encode_passages, texts)


class _Reranker:
    def __init__(self) -> None:
        share_cores()
        tag = service.SETTINGS.reranker_model
        assert tag is not None, "there is one by default"
        self._scorer = LateInteractionScorer(SentenceEncoder(models.locate(tag), models.describe(tag)))

    @bentoml.api(**_DECLARED)  # type: ignore[untyped-decorator]  # BentoML has no types here
    async def rerank(self, pairs: list[Pair]) -> np.ndarray:
        return np.asarray(await asyncio.to_thread(self._scorer.score, pairs))


class _PromptOptimizer(Optimizer):  # type: ignore[misc]  # BentoML has no types here
    """Learns the duration of batches as BentoML's does, but never delays a batch."""

    @property
    def wait(self) -> float:
        return 0.0

    @wait.setter
    def wait(self, _: float) -> None:
        """Ignore the average wait of the past, which says nothing about the next request."""


class _PromptDispatcher(CorkDispatcher):  # type: ignore[misc]  # BentoML has no types here
    """Removes the work of a cancelled caller from the queue."""

    async def inbound_call(self, data: Any) -> Any:  # Any: what the API takes and returns
        try:
            return await super().inbound_call(data)
        except asyncio.CancelledError:
            waiting = [job for job in self._queue if not job.future.done()]
            self._queue.clear()
            self._queue.extend(waiting)
            raise


class _TunedService(bentoml.Service):  # type: ignore[misc]  # BentoML has no types here
    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        from _bentoml_impl.server.app import ServiceAppFactory  # noqa: PLC0415

        self.inject_config()
        self.add_asgi_middleware(WhileWaiting)
        factory = ServiceAppFactory(self, is_main=is_main)
        for dispatcher in factory.dispatchers.values():
            dispatcher.__class__ = _PromptDispatcher
            dispatcher.optimizer = _PromptOptimizer(dispatcher.max_latency)
            dispatcher.max_batch_size = _TUNED_ITEMS
        app: ASGIApp = factory()
        return app


def open_embedder_adaptive() -> ASGIApp:
    """Return the Embedder with BentoML's batching."""
    return _open(bentoml.service(name="Embedder")(_Embedder))


def open_embedder_tuned() -> ASGIApp:
    """Return the Embedder with BentoML's batching, tuned."""
    return _open(bentoml.service(name="Embedder", service_class=_TunedService)(_Embedder))


def open_embedder_budget() -> ASGIApp:
    """Return the Embedder as it is served."""
    return _open(service.Embedder)


def open_reranker_adaptive() -> ASGIApp:
    """Return the Reranker with BentoML's batching."""
    return _open(bentoml.service(name="Reranker")(_Reranker))


def open_reranker_tuned() -> ASGIApp:
    """Return the Reranker with BentoML's batching, tuned."""
    return _open(bentoml.service(name="Reranker", service_class=_TunedService)(_Reranker))


def open_reranker_budget() -> ASGIApp:
    """Return the Reranker as it is served."""
    return _open(service.Reranker)


def _open(served: Any) -> ASGIApp:  # Any: BentoML has no types here
    app: ASGIApp = served.to_asgi(is_main=True)
    return app
