"""The preflight as a command, against a server with fake models: its findings are true and contain no secret."""

import json
from pathlib import Path

import pytest

from load.server import Server
from tests.servers import FAKE_MODELS, make_environment, run_module

pytestmark = pytest.mark.integration


def test_a_running_deployment_is_looked_at_from_outside(guarded_server: Server) -> None:
    """It is there, knows its callers, streams, and shows its metrics to whoever asks on this machine."""
    environment = make_environment(PREFLIGHT_API_KEY="reader")

    done = run_module("rag.preflight", "--json", "--only-url", "--url", guarded_server.url, environment=environment)

    found = {each["name"]: each["state"] for each in json.loads(done.stdout)["findings"]}
    # The fakes answer too soon to tell whether something holds events back.
    assert found.pop("stream") in ("ok", "warning"), done.stdout
    assert found.pop("metrics") == "warning"
    assert found == dict.fromkeys(("tls", "health", "ready", "models/current", "unknown callers"), "ok")
    assert (done.returncode, done.stderr) == (0, "")


def test_what_production_lacks_is_said_without_secrets(tmp_path: Path) -> None:
    """Settings that start a server for work on clients are not ready: exit status 1, and what is to be done."""
    secret = "s3cr3t"
    environment = make_environment(
        **FAKE_MODELS,
        RAG_INDEX_DIR=str(tmp_path),
        RAG_REDIS_URL=f"redis://:{secret}@127.0.0.1:1/0",
        RAG_GENERATOR_URL=f"http://user:{secret}@127.0.0.1:1/v1",
        RAG_GENERATOR_API_KEY=secret,
    )

    done = run_module("rag.preflight", environment=environment)

    missing = {
        line.split(maxsplit=1)[1].split(":")[0] for line in done.stdout.splitlines() if line.startswith("missing")
    }
    models = {"embedder model", "reranker model", "generator model"}
    assert missing == {"settings", "identities", "index", "redis", "generator", *models}, done.stdout
    assert (done.returncode, done.stderr) == (1, "")
    assert secret not in done.stdout
