"""BentoML's adaptive batching with its worst habit taken off: making a lone request wait for company that is gone.

Its optimizer keeps the average wait of the last 50 batches as the time to hold the next one back, so after a burst a
lone request waits as long as the burst's did: 55 ms instead of 15 with a model of 10 ms. With a wait of 0 a batch is
whatever has queued up while the model was busy.
"""

from _bentoml_sdk.service.factory import Service
from bentoml._internal.marshal.dispatcher import Optimizer
from starlette.types import ASGIApp


class PromptOptimizer(Optimizer):  # type: ignore[misc]  # BentoML has no types here
    """Learns a batch's duration as ever, but never holds a batch back."""

    @property
    def wait(self) -> float:
        return 0.0

    @wait.setter
    def wait(self, _: float) -> None:
        """Refused: the average wait of the past says nothing about the next request."""


class PromptService(Service):  # type: ignore[misc]  # BentoML has no types here
    """A service whose batchable APIs start a batch as soon as the model is free."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        # Late: the process that only starts the others does not need the second that this takes.
        from _bentoml_impl.server.app import ServiceAppFactory  # noqa: PLC0415

        self.inject_config()
        factory = ServiceAppFactory(self, is_main=is_main)
        for dispatcher in factory.dispatchers.values():
            dispatcher.optimizer = PromptOptimizer(dispatcher.max_latency)
        app: ASGIApp = factory()
        return app
