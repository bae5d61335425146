"""llama.cpp's own server, which the package `xllamacpp` holds as a library, until it is ended.

    python tests/upstreams/llama_cpp.py MODEL.gguf PORT KEY NAME

One thread: llama.cpp's wait for each other by spinning, which on a busy machine takes seconds a token.
"""

import signal
import sys
from importlib import import_module
from typing import Any


def serve(path: str, port: str, key: str, name: str) -> None:
    xllamacpp: Any = import_module("xllamacpp")  # stands outside the environment, without types
    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.model_alias = {name}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = int(port)
    parameters.api_keys = [key]
    parameters.n_ctx = 4096
    parameters.n_parallel = 2
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(parameters)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    del server


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    serve(*sys.argv[1:])
