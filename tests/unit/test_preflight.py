"""Each condition of production is recognised both if it holds and if it does not, and no secret is shown."""

import hashlib
import json
import resource
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from rag.config.environment import load_settings
from rag.config.settings import Settings
from rag.index.store import IndexStore
from rag.models import describe
from rag.preflight import host
from rag.preflight.assets import check_index, check_models
from rag.preflight.command import parse_arguments, run
from rag.preflight.configuration import SERVICES, check_identities, check_serving, check_tenants_file, read_settings
from rag.preflight.dependencies import check_redis, check_services, judge_clocks, judge_redis
from rag.preflight.deployment import deployment_checks, judge_stream, judge_url, read_events
from rag.preflight.finding import Finding, place_of, run_checks
from tests.scripted_model import Reply, ScriptedModel
from tests.unit.index_fakes import change

FAKES = {"RAG_EMBEDDER_MODEL": "fake:", "RAG_RERANKER_MODEL": "fake:", "RAG_GENERATOR_MODEL": "fake:"}
PRINCIPAL = f'principals: [{{id: a, key_sha256: "{hashlib.sha256(b"key").hexdigest()}", tenants: [demo]}}]'
SECRET = "s3cr3t"
DOCUMENTS = {"parking": ["Visitors park behind the building."]}
ROOMY = {"redis_version": "7.2.4", "maxmemory": 1 << 28, "maxmemory_policy": "noeviction"}


def make_settings(**environ: str) -> Settings:
    return load_settings({**FAKES, **environ})


def states(findings: Iterable[Finding]) -> dict[str, str]:
    return {finding.name: finding.state for finding in findings}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "configuration.yaml"
    path.write_text("services:\n" + "".join(f"  {name}: {{workers: 1}}\n" for name in SERVICES))
    return path


class TestFindings:
    def test_a_check_that_breaks_is_a_finding(self) -> None:
        """And hides none of the others; what it said may hold a secret and is not shown."""

        def break_() -> Iterator[Finding]:
            yield Finding("ok", "first", "fine")
            raise RuntimeError(SECRET)

        findings = list(run_checks({"broken": break_, "next": lambda: [Finding("ok", "next", "fine")]}))

        assert states(findings) == {"first": "ok", "broken": "missing", "next": "ok"}
        assert SECRET not in "".join(finding.line() for finding in findings)

    @pytest.mark.parametrize(
        ("url", "place"),
        [
            (f"redis://user:{SECRET}@limits:6379/0", "limits:6379"),
            (f"https://{SECRET}@host/v1?key={SECRET}", "host"),
            ("unix:///run/redis.sock", "/run/redis.sock"),
        ],
    )
    def test_a_url_is_shown_without_its_credentials(self, url: str, place: str) -> None:
        """Where it leads is all that helps."""
        assert place_of(url) == place


class TestConfiguration:
    def test_settings_that_stop_the_start_are_missing(self) -> None:
        """One finding for each problem, without its value."""
        settings, findings = read_settings({"RAG_ENV": "production", "RAG_NO_SUCH": SECRET, **FAKES})

        assert settings is None
        assert len(findings) == 6  # the unknown name, no identities, no Redis, three fakes
        assert {finding.state for finding in findings} == {"missing"}
        assert SECRET not in "".join(finding.line() for finding in findings)

    def test_settings_of_another_purpose_are_seen(self) -> None:
        """Not production, content in the log, unverified sentences: each would serve in silence."""
        _, findings = read_settings({**FAKES, "RAG_LOG_CONTENT_SAMPLE": "0.5", "RAG_VERIFICATION": "mark"})

        assert states(findings) == {"settings": "missing", "log content": "warning", "verification": "warning"}

    @pytest.mark.parametrize(("content", "state"), [(PRINCIPAL, "ok"), ("principals: []", "missing"), ("{", "missing")])
    def test_the_identities_file_must_name_somebody(self, tmp_path: Path, content: str, state: str) -> None:
        """One that is broken stops a start, and one that is empty lets nobody in."""
        (tmp_path / "identities.yaml").write_text(content)

        findings = check_identities(make_settings(RAG_IDENTITIES_FILE=str(tmp_path / "identities.yaml")))

        assert states(findings) == {"identities": state}

    def test_nobody_and_nothing_there_is_missing(self, tmp_path: Path) -> None:
        """Neither identities nor the file that should hold them."""
        assert states(check_identities(make_settings())) == {"identities": "missing"}
        lost = make_settings(RAG_IDENTITIES_FILE=str(tmp_path / "lost"))
        assert states(check_identities(lost)) == {"identities": "missing"}

    @pytest.mark.parametrize(("keys", "state"), [([{"kty": "oct", "k": "A" * 43}], "ok"), ([], "missing")])
    def test_the_key_set_must_hold_keys(self, tmp_path: Path, keys: list[object], state: str) -> None:
        """An empty one is valid, and no token is accepted."""
        path = tmp_path / "keys.json"
        path.write_text(json.dumps({"keys": keys}))

        settings = make_settings(RAG_JWT_JWKS=str(path), RAG_JWT_AUDIENCE="a", RAG_JWT_ISSUER="i")

        assert states(check_identities(settings)) == {"key set": state}

    @pytest.mark.parametrize(("content", "state"), [("tenants: {acme: {verification: drop}}", "ok"), ("[]", "missing")])
    def test_the_tenants_file_is_read(self, tmp_path: Path, content: str, state: str) -> None:
        """As at the start."""
        (tmp_path / "tenants.yaml").write_text(content)

        findings = check_tenants_file(make_settings(RAG_TENANTS_FILE=str(tmp_path / "tenants.yaml")))

        assert states(findings) == {"tenants file": state}

    def test_serving_knobs_are_applied(self, config: Path) -> None:
        """The file that BentoML reads is there, and names the services by their names."""
        environ = {"BENTOML_CONFIG": str(config), "BENTOML_DO_NOT_TRACK": "True"}

        assert states(check_serving(environ)) == {"BENTOML_CONFIG": "ok"}

    def test_the_bentos_own_knobs_need_no_variable(self) -> None:
        """service.py names configuration.yaml to BentoML."""
        assert states(check_serving({"BENTOML_DO_NOT_TRACK": "True"})) == {"BENTOML_CONFIG": "ok"}

    @pytest.mark.parametrize(("content", "state"), [("services: {Rag: {}}", "warning"), ("{", "missing")])
    def test_serving_knobs_that_are_not_applied_are_seen(self, config: Path, content: str, state: str) -> None:
        """BentoML takes unknown names in silence."""
        config.write_text(content)
        environ = {"BENTOML_CONFIG": str(config)}

        assert states(check_serving(environ)) == {"BENTOML_CONFIG": state, "usage reports": "warning"}


class TestHost:
    @pytest.mark.parametrize(
        ("files", "limit_bytes"),
        [
            ({}, None),
            ({"memory.max": "max"}, None),
            ({"memory.max": "1073741824\n"}, 1 << 30),
            ({"memory/memory.limit_in_bytes": "1073741824"}, 1 << 30),
            ({"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
        ],
    )
    def test_the_memory_limit_is_that_of_the_container(
        self, tmp_path: Path, files: dict[str, str], limit_bytes: int | None
    ) -> None:
        """Of both versions of control groups."""
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(content)

        assert host.read_memory_limit(tmp_path) == limit_bytes

    @pytest.mark.parametrize(("limit_gib", "state"), [(None, "warning"), (5, "missing"), (6, "ok")])
    def test_memory_must_hold_what_runs_here(self, limit_gib: int | None, state: str) -> None:
        """Less is killed, and none at all kills others."""
        limit_bytes = limit_gib and limit_gib * host.GIB

        assert host.judge_memory(limit_bytes, 6 * host.GIB).state == state

    @pytest.mark.parametrize(
        ("environ", "gib"),
        [
            ({"RAG_GENERATOR_MODEL": "bento:any:1"}, 6),
            ({"RAG_GENERATOR_MODEL": "none"}, 3),
            ({"RAG_EMBEDDER_URL": "http://e", "RAG_RERANKER_URL": "http://r", "RAG_GENERATOR_URL": "http://g/v1"}, 1),
        ],
        ids=["all", "no generator", "all elsewhere"],
    )
    def test_what_runs_here_decides_how_much_that_is(self, environ: dict[str, str], gib: int) -> None:
        """A generator needs most of it."""
        assert host.needed_memory(load_settings(environ)) == gib * host.GIB

    @pytest.mark.parametrize(("limit", "state"), [(1024, "warning"), (4096, "ok"), (resource.RLIM_INFINITY, "ok")])
    def test_streams_need_open_files(self, limit: int, state: str) -> None:
        """Two for each."""
        assert host.judge_open_files(limit).state == state

    @pytest.mark.parametrize(("uid", "state"), [(0, "warning"), (1034, "ok")])
    def test_root_is_not_needed(self, uid: int, state: str) -> None:
        """The image has a user of its own."""
        assert host.judge_user(uid).state == state

    def test_folders_are_asked_and_not_tried(self, tmp_path: Path) -> None:
        """Nothing is left behind in them."""
        assert host.judge_folder("tmp", tmp_path).state in ("ok", "warning")
        assert host.judge_folder("tmp", tmp_path / "lost").state == "missing"
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("gpu", "device", "state"), [(False, "cpu", "ok"), (True, "cuda", "ok"), (True, "cpu", "warning")]
    )
    def test_a_gpu_that_is_there_is_used(
        self, monkeypatch: pytest.MonkeyPatch, gpu: bool, device: str, state: str
    ) -> None:
        """An image without CUDA would serve on the processor, and slowly."""
        monkeypatch.setattr(host, "best_device", lambda: device)

        assert host.judge_device(has_gpu=gpu).state == state


class TestAssets:
    @pytest.mark.parametrize(
        ("model", "files", "state"),
        [
            ("fake:", [], "missing"),
            ("hf:Qwen/Qwen3-8B", [], "missing"),
            ("path:{}/lost", [], "missing"),
            ("path:{}", ["config.json"], "missing"),
            ("path:{}", ["config.json", "model.safetensors"], "ok"),
            ("none", [], "ok"),
        ],
        ids=["fake", "unpinned", "not there", "without weights", "whole", "none wanted"],
    )
    def test_models_are_pinned_and_whole(self, tmp_path: Path, model: str, files: list[str], state: str) -> None:
        """What is found out here is not found out by the first query."""
        for name in files:
            (tmp_path / name).write_text("{}")

        findings = check_models(make_settings(RAG_GENERATOR_MODEL=model.format(tmp_path)))

        assert states(findings)["generator model"] == state

    def test_weights_may_be_on_another_host(self, tmp_path: Path) -> None:
        """Its description is needed here all the same."""
        (tmp_path / "config.json").write_text("{}")
        settings = make_settings(RAG_GENERATOR_MODEL=f"path:{tmp_path}", RAG_GENERATOR_URL="http://generator/v1")

        assert states(check_models(settings))["generator model"] == "ok"

    def test_no_index_is_missing(self, tmp_path: Path) -> None:
        """Neither the folder, nor a tenant in it."""
        assert states(check_index(make_settings(RAG_INDEX_DIR=str(tmp_path / "lost")))) == {"index": "missing"}
        assert states(check_index(make_settings(RAG_INDEX_DIR=str(tmp_path))))["index"] == "missing"

    def test_a_damaged_index_is_missing_and_a_whole_one_is_not(self, tmp_path: Path) -> None:
        """Every byte is read."""
        stored = change(IndexStore(tmp_path), DOCUMENTS, tenant_id="acme")
        settings = make_settings(RAG_INDEX_DIR=str(tmp_path))
        whole = states(check_index(settings))["index of acme"]
        (stored.folder / stored.manifest.files[0].name).write_bytes(b"\0" * stored.manifest.files[0].size_bytes)

        assert whole == "ok"
        assert states(check_index(settings))["index of acme"] == "missing"

    def test_an_index_of_another_embedder_is_missing(self, tmp_path: Path) -> None:
        """Its vectors mean nothing to the one that is set."""
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "config.json").write_text("{}")
        change(IndexStore(tmp_path / "index"), DOCUMENTS, tenant_id="acme")
        settings = make_settings(RAG_INDEX_DIR=str(tmp_path / "index"), RAG_EMBEDDER_MODEL=f"path:{tmp_path}/model")

        assert states(check_index(settings))["index of acme"] == "missing"


class TestRedis:
    def test_one_that_takes_reservations_is_there(self, valkey_url: str) -> None:
        """Asked as a request would ask it, and for its version and its clock."""
        found = states(check_redis(make_settings(RAG_REDIS_URL=valkey_url)))

        assert found == {"clock": "ok", "redis": "ok", "redis memory": "warning", "redis persistence": "ok"}

    def test_one_that_is_away_is_missing(self) -> None:
        """And its password is not shown."""
        (finding,) = check_redis(make_settings(RAG_REDIS_URL=f"redis://:{SECRET}@127.0.0.1:1/0"))

        assert finding.state == "missing"
        assert "127.0.0.1:1" in finding.found
        assert SECRET not in finding.line()

    def test_none_is_missing(self) -> None:
        """Each process would count alone."""
        assert states(check_redis(make_settings())) == {"redis": "missing"}

    @pytest.mark.parametrize(
        ("info", "name", "state"),
        [
            ({}, "redis eviction", "ok"),
            ({"redis_version": "5.0.14"}, "redis", "missing"),
            ({"maxmemory_policy": "allkeys-lru"}, "redis eviction", "warning"),
            ({"maxmemory": 0}, "redis memory", "warning"),
            ({"rdb_last_bgsave_status": "err"}, "redis persistence", "missing"),
            ({"aof_last_write_status": "err"}, "redis persistence", "missing"),
            ({"aof_enabled": 1}, "redis persistence", "ok"),
        ],
    )
    def test_one_that_forgets_or_refuses_one_day_is_seen(self, info: dict[str, Any], name: str, state: str) -> None:
        """It takes reservations today."""
        assert states(judge_redis("limits", ROOMY | info))[name] == state

    @pytest.mark.parametrize(("theirs", "state"), [(100.5, "ok"), (102.9, "ok"), (97, "warning"), (104, "warning")])
    def test_clocks_agree(self, theirs: float, state: str) -> None:
        """Within two seconds, the time of asking not counted."""
        assert judge_clocks(theirs, 100, 101).state == state


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedModel]:
    with ScriptedModel().running() as running:
        yield running


class TestServices:
    @pytest.mark.parametrize(
        ("reply", "state"),
        [
            (Reply(pieces=(b'{"data": [{"id": "fake"}]}',)), "ok"),
            (Reply(pieces=(b'{"data": [{"id": "another"}]}',)), "missing"),
            (Reply(pieces=(b"[]",)), "warning"),
            (Reply(404), "missing"),
            (Reply(401), "missing"),
        ],
        ids=["serves it", "serves another", "says nothing known", "has no such path", "wants a key"],
    )
    def test_the_generator_serves_the_model(self, server: ScriptedModel, reply: Reply, state: str) -> None:
        """Under the name that every prompt gives; it is asked with the key, which is not shown."""
        server.script("", reply)

        (finding,) = check_services(make_settings(RAG_GENERATOR_URL=server.url, RAG_GENERATOR_API_KEY=SECRET))

        assert finding.state == state
        assert server.seen("")[-1].headers["authorization"] == f"Bearer {SECRET}"
        assert SECRET not in finding.line()

    @pytest.mark.parametrize(
        ("reply", "state"),
        [
            (Reply(503), "missing"),
            (Reply(pieces=(b"[]",)), "missing"),
            (Reply(pieces=(b"<html>",)), "warning"),
            (Reply(pieces=(b'[{"name": "model", "revision": "REVISION", "dimension": 0}]',)), "ok"),
        ],
        ids=["still loads", "other models", "another service", "ours"],
    )
    def test_a_service_on_another_host_has_our_models(
        self, tmp_path: Path, server: ScriptedModel, reply: Reply, state: str
    ) -> None:
        """Loaded, by BentoML's own readiness, and of the revision that is set here."""
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "config.json").write_text("{}")
        model = f"path:{tmp_path}/model"
        revision = describe(model).revision.encode()
        server.script("", replace(reply, pieces=tuple(each.replace(b"REVISION", revision) for each in reply.pieces)))

        findings = check_services(make_settings(RAG_EMBEDDER_URL=server.url, RAG_EMBEDDER_MODEL=model))

        assert states(findings) == {"embedder": state}

    @pytest.mark.parametrize(("status", "state"), [(200, "ok"), (503, "missing")])
    def test_the_ingestor_takes_documents(self, server: ScriptedModel, status: int, state: str) -> None:
        """It has its folder, and no other process has it."""
        server.script("", Reply(status, pieces=(b"[]",)))

        findings = check_services(make_settings(RAG_INGESTOR_URL=server.url))

        assert states(findings) == {"ingestor": state}

    def test_a_service_that_is_away_is_missing(self, server: ScriptedModel) -> None:
        """Each by its name."""
        with server.unreachable():
            urls = {f"RAG_{name}_URL": server.url for name in ("RERANKER", "GENERATOR", "INGESTOR")}
            findings = check_services(make_settings(**urls))

            assert states(findings) == {"reranker": "missing", "generator": "missing", "ingestor": "missing"}


META = 'event: meta\nid: 0\ndata: {"trace_id": "a"}\n\n'
TOKEN = 'event: token\nid: 1\ndata: {"text": "Twelve"}\n\n'
DONE = 'event: done\nid: 2\ndata: {"latency_ms": {"generation": 800}}\n\n'
ERROR = 'event: error\nid: 2\ndata: {"code": "STREAM_TIMEOUT"}\n\n'

Handler = Callable[[httpx.Request], httpx.Response]


def serve(request: httpx.Request) -> httpx.Response:
    """A deployment as it should be, all of it sent at once."""
    known = request.headers.get("x-api-key") == "key"
    match request.url.path:
        case "/health":
            return httpx.Response(200, json={"status": "ok", "version": "1.0.0"})
        case "/ready":
            return httpx.Response(200, json={"dependencies": {"index": "ok"}})
        case "/models/current" if known:
            return httpx.Response(200, json={"model_version": "rag-v1+0", "runtime": "vLLM"})
        case "/query/stream" if known:
            return httpx.Response(200, text=META + TOKEN + DONE.replace("800", "8"))
        case "/metrics":
            return httpx.Response(404)
        case _:
            return httpx.Response(401)


def look_at(handler: Handler, key: str | None = "key") -> dict[str, str]:
    with httpx.Client(base_url="https://rag.example", transport=httpx.MockTransport(handler)) as client:
        return states(run_checks(deployment_checks(client, key, "demo")))


def instead(path: str, response: httpx.Response) -> Handler:
    return lambda request: response if request.url.path == path else serve(request)


class TestDeployment:
    def test_a_good_one_is_ok(self) -> None:
        """Whether events are held back is not to be told from a short answer, and that is said."""
        assert look_at(serve) == {
            "tls": "ok", "health": "ok", "ready": "ok", "models/current": "ok", "unknown callers": "ok",
            "stream": "warning", "metrics": "ok",
        }  # fmt: skip

    def test_without_a_key_less_is_seen(self) -> None:
        """And that is said."""
        found = look_at(serve, key=None)

        assert (found["models/current"], found["stream"], found["unknown callers"]) == ("warning", "warning", "ok")

    @pytest.mark.parametrize(
        ("path", "response", "name", "state"),
        [
            ("/health", httpx.Response(200, text="<html>"), "health", "missing"),
            ("/ready", httpx.Response(503, json={"dependencies": {"index": "loading"}}), "ready", "missing"),
            ("/ready", httpx.Response(200, json={"dependencies": {"limiter": "local"}}), "ready", "warning"),
            ("/models/current", httpx.Response(401), "models/current", "missing"),
            ("/query", httpx.Response(200, json={"answer": "hello"}), "unknown callers", "missing"),
            ("/query", httpx.Response(403), "unknown callers", "warning"),
            ("/query/stream", httpx.Response(503), "stream", "missing"),
            ("/metrics", httpx.Response(200, text="rag_places 8"), "metrics", "warning"),
        ],
    )
    def test_what_is_wrong_is_seen(self, path: str, response: httpx.Response, name: str, state: str) -> None:
        """Each alone, and the rest is still looked at."""
        found = look_at(instead(path, response))

        assert found[name] == state
        assert len(found) == 7

    def test_nobody_there_is_missing(self) -> None:
        """In every line that needs somebody."""

        def refuse(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("refused")

        assert look_at(refuse)["health"] == "missing"

    @pytest.mark.parametrize(
        ("chunks", "state"),
        [
            ([META, TOKEN, DONE], "ok"),
            ([META[:10], META[10:] + TOKEN[:9], TOKEN[9:] + DONE], "ok"),
            ([META + TOKEN + DONE], "missing"),
            ([META, ": ping\n\n", TOKEN + ERROR], "missing"),
            ([], "missing"),
        ],
        ids=["one by one", "cut anywhere", "held back", "an error", "nothing"],
    )
    def test_events_come_as_they_are_made(self, chunks: list[str], state: str) -> None:
        """Half a second goes by between two reads: a proxy that holds events back hands on all in one."""
        seconds = iter(range(10))

        assert judge_stream(list(read_events(chunks, lambda: next(seconds) / 2))).state == state

    @pytest.mark.parametrize(
        ("url", "state"),
        [("https://rag.example", "ok"), ("http://127.0.0.1:3000", "ok"), ("http://rag.example", "warning")],
    )
    def test_keys_do_not_travel_readable(self, url: str, state: str) -> None:
        """On one machine nobody reads along."""
        assert judge_url(url).state == state


class TestCommand:
    def test_lines_and_json_say_the_same(self, capsys: pytest.CaptureFixture[str], config: Path) -> None:
        """One line for each finding; the exit status is 1 where one is missing."""
        environ = {**FAKES, "BENTOML_CONFIG": str(config), "RAG_INDEX_DIR": str(config.parent)}
        statuses = [run(parse_arguments(argv), environ) for argv in ([], ["--json"])]

        *lines, last = capsys.readouterr().out.splitlines()
        report = json.loads(last)
        assert statuses == [1, 1]
        assert report["ready"] is False
        assert [line.split(maxsplit=1)[0] for line in lines] == [each["state"] for each in report["findings"]]

    def test_a_deployment_that_is_not_named_cannot_be_looked_at(self, capsys: pytest.CaptureFixture[str]) -> None:
        """One line, and status 2."""
        with pytest.raises(SystemExit, match="2"):
            parse_arguments(["--only-url"])

        assert "--only-url needs --url" in capsys.readouterr().err
