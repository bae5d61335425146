"""Serve the embedder by infinity-emb: `infinity_server.py MODEL PORT DTYPE`."""

import sys
from typing import Any

import uvicorn


def open_app(model: str, dtype: str) -> Any:  # its types are not installed
    """Return infinity's own application, with the engine for torch."""
    from infinity_emb import EngineArgs, create_server  # noqa: PLC0415

    arguments = EngineArgs(
        model_name_or_path=model,
        served_model_name="embedder",
        engine="torch",
        device="cpu",
        dtype=dtype,
        bettertransformer=False,  # no longer a part of transformers
        trust_remote_code=False,
    )
    return create_server(engine_args_list=[arguments])


if __name__ == "__main__":
    uvicorn.run(open_app(sys.argv[1], sys.argv[3]), port=int(sys.argv[2]), access_log=False, log_level="warning")
