"""Run vLLM in our own process: its `AsyncLLM` engine and its OpenAI-compatible app, which a service mounts.

The front uses its chat completions like those of any other server, so one adapter serves all generators. Only
`complete_all`, for batch jobs, calls the engine directly.
"""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from rag.engines.device import best_dtype, count_cores
from schemas.services import Completion

if TYPE_CHECKING:
    from fastapi import FastAPI

# vLLM reads these during its import. They are set here, not in the Makefile, because an image has no Makefile.
ENVIRONMENT: Final = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_CONFIG_PATH": str(Path(__file__).with_name("vllm_logging.json")),
    # Otherwise torch reports the missing Triton without using the logging configuration.
    "TORCH_LOGS": "-torch._library",
    # vLLM's spans go to our collector; by default it would use gRPC and an unknown service name.
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
    "OTEL_SERVICE_NAME": "Generator",
}
# For the engine's process on a CPU: all cores, unbound, as a bound thread waits for its core while another is free.
# Threads that sleep while they wait (OMP_WAIT_POLICY=PASSIVE) help beside programs that never pause, but made an answer
# of the whole service take 12 s instead of 4.
CPU_ENVIRONMENT: Final = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(count_cores())}

# On a CPU the model runs in the engine's own process. By default vLLM starts a process for each, and the engine's waits
# for the model's by polling, which occupies a core: with two cores that halves the speed.
IN_PROCESS: Final = "rag.engines.vllm_executor.PrivateExecutor"

# With the local model a token takes 46 KB in float32, so this holds 10 000 tokens: eight questions with their passages.
CPU_KV_CACHE_BYTES: Final = 448 << 20
ENGINE_POLL_S: Final = 0.5

# What clients of the engine ask for; the other paths of its app (health, metrics) are the service's own.
ENGINE_PATHS: Final = ("/v1/",)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The options of the engine.

    `context_tokens` limits prompt and output together; `gpu_memory_fraction` (0–1) is ignored on a CPU;
    `batch_tokens` limits one step, None means vLLM's default; `collector` is the URL that takes spans, if any.
    """

    model_path: str
    model_name: str
    context_tokens: int
    gpu_memory_fraction: float
    max_running: int
    batch_tokens: int | None = None
    collector: str | None = None

    def arguments(self, *, on_cpu: bool, dtype: str) -> list[str]:
        """Return the options as arguments of `vllm serve`."""
        common = [
            f"--model={self.model_path}",
            f"--served-model-name={self.model_name}",
            f"--max-model-len={self.context_tokens}",
            f"--max-num-seqs={self.max_running}",
            f"--dtype={dtype}",
            "--enable-prefix-caching",
            "--disable-uvicorn-access-log",
            "--no-use-tqdm-on-load",
            # Thinking models (Qwen3) would spend the output budget before the first sentence.
            '--default-chat-template-kwargs={"enable_thinking": false}',
        ]
        if self.batch_tokens is not None:
            common.append(f"--max-num-batched-tokens={self.batch_tokens}")
        if self.collector is not None:
            common.append(f"--otlp-traces-endpoint={self.collector}")
        if not on_cpu:
            return [*common, f"--gpu-memory-utilization={self.gpu_memory_fraction}"]
        return [
            *common,
            # Compiling adds 55 s to the start and gains only 18 % on a CPU; on a GPU the graphs are worth it.
            "--enforce-eager",
            f"--kv-cache-memory-bytes={CPU_KV_CACHE_BYTES}",
            f"--distributed-executor-backend={IN_PROCESS}",
        ]


class VllmServer:
    """One engine: call `start` once inside a running event loop, and `stop` at the end."""

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._engine: Any = None  # AsyncLLM, imported late
        self._tokenizer: Any = None

    async def start(self) -> "FastAPI":
        """Load the weights and return vLLM's own app with its state initialised.

        Raises: whatever vLLM raises if it cannot load the model.
        """
        _set_defaults(ENVIRONMENT)
        from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415
        from vllm.entrypoints.launchers.api_server.app_state import init_app_state  # noqa: PLC0415
        from vllm.entrypoints.launchers.app import build_app  # noqa: PLC0415
        from vllm.entrypoints.launchers.cli_args import make_arg_parser  # noqa: PLC0415
        from vllm.platforms import current_platform  # noqa: PLC0415
        from vllm.utils.argparse_utils import FlexibleArgumentParser  # noqa: PLC0415
        from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415

        on_cpu = current_platform.is_cpu()
        if on_cpu:
            _set_defaults(CPU_ENVIRONMENT)
        arguments = self._options.arguments(on_cpu=on_cpu, dtype=best_dtype())
        parsed = make_arg_parser(FlexibleArgumentParser()).parse_args(arguments)
        engine_args = AsyncEngineArgs.from_cli_args(parsed)
        # In a thread: it takes many seconds and would block the event loop, which must answer probes.
        config = await asyncio.to_thread(engine_args.create_engine_config)
        # With vLLM's statistics: its metrics and spans are derived from them.
        self._engine = AsyncLLM.from_vllm_config(vllm_config=config)
        tasks = await self._engine.get_supported_tasks()
        app: FastAPI = build_app(parsed, tasks, self._engine.model_config)
        await init_app_state(self._engine, app.state, parsed, tasks)
        self._tokenizer = self._engine.get_tokenizer()
        if asyncio.iscoroutine(self._tokenizer):
            self._tokenizer = await self._tokenizer
        # vLLM does it in the lifespan of its app, and nobody runs the lifespan of an app that is mounted: without this
        # the collector looks again and again at all that was loaded, while the tokens wait.
        gc.collect()
        gc.freeze()
        return app

    @property
    def is_running(self) -> bool:
        """Whether the engine can take requests."""
        return self._engine is not None and not self._engine.errored

    async def died(self) -> None:
        """Wait until the engine has failed for good."""
        while not self._engine.errored:  # noqa: ASYNC110  # the engine gives no notification
            await asyncio.sleep(ENGINE_POLL_S)
        logger.error("engine_died")

    async def complete_all(self, requests: Sequence[Completion]) -> list[str]:
        """Complete the conversations with greedy decoding, and return the answers in order; vLLM batches them."""
        return list(await asyncio.gather(*(self._complete(request) for request in requests)))

    async def _complete(self, request: Completion) -> str:
        from vllm import SamplingParams  # noqa: PLC0415
        from vllm.sampling_params import RequestOutputKind  # noqa: PLC0415

        token_ids = self._tokenizer.apply_chat_template(
            [message.model_dump() for message in request.messages],
            add_generation_prompt=True,
            enable_thinking=False,
            return_dict=True,
        )["input_ids"]
        sampling = SamplingParams(
            temperature=0.0, max_tokens=request.max_tokens, output_kind=RequestOutputKind.FINAL_ONLY
        )
        text = ""
        async for output in self._engine.generate({"prompt_token_ids": token_ids}, sampling, uuid4().hex):
            text = output.outputs[0].text
        return text

    def stop(self) -> None:
        """Stop the engine and its worker processes."""
        if self._engine is not None:
            self._engine.shutdown()
            self._engine = None


def _set_defaults(environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        os.environ.setdefault(name, value)


@contextmanager
def dying_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the process at once during the block, because no request is served while weights are loaded.

    The server itself would handle the signal only after loading, a minute later on a slow machine. The supervisor
    signals the engine's process too.
    """
    handler = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
