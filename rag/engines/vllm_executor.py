"""vLLM's executor in the engine's own process, whose ports let nobody in.

Each group of processes, be it one process alone, has a gloo device that listens on loopback, and nothing turns that off
(torch 2.13: neither a file store nor `TORCH_GLOO_LAZY_INIT`). It waits for nobody, but it takes every connection and
keeps it, and when the process has no file left for one, gloo aborts: any user of the machine could end the engine.

Imported by the engine's process alone, which vLLM gives the name of the class.
"""

from vllm.v1.executor.uniproc_executor import UniProcExecutor

from rag.engines.shut_ports import shut_ports


class PrivateExecutor(UniProcExecutor):  # type: ignore[misc]  # vLLM has no types here
    """One process, with all its devices open to itself alone."""

    def _init_executor(self) -> None:
        super()._init_executor()
        shut_ports()
