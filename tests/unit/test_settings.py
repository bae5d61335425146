"""Settings are checked completely at start: every bad name and value gets one line, before anything serves."""

from pathlib import Path

import pytest

from rag.config.environment import SettingsError, environment_name, load_settings, read_port, value_range
from rag.config.model_ref import ModelRef
from rag.config.settings import LOCAL_GENERATOR, NEVER_IN_AN_ANSWER, OFFLINE, Settings
from rag.model_card import versioned

EXAMPLE = Path(__file__).parents[2] / ".env.example"
NUMBERS = [name for name, field in Settings.model_fields.items() if field.annotation in (int, float)]
PRODUCTION = {
    "RAG_ENV": "production",
    "RAG_IDENTITIES_FILE": "identities.yaml",
    "RAG_REDIS_URL": "redis://limits:6379/0",
}


def problems(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    return caught.value.problems


def read_example() -> dict[str, str]:
    lines = (line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def test_no_environment_gives_the_defaults_of_the_contract() -> None:
    """The defaults are those of the contract's table."""
    settings = load_settings({"PATH": "/bin", "PORT": "3000"})

    assert (settings.env, settings.model_version, settings.index_dir) == ("local", "rag-v1", Path(".data/index"))
    assert (settings.request_timeout_s, settings.stream_timeout_s) == (20, 60)
    assert (settings.retrieval_timeout_s, settings.rerank_timeout_s, settings.generation_timeout_s) == (2, 5, 15)
    assert (settings.queue_timeout_s, settings.max_concurrent_requests) == (0.2, 8)
    assert (settings.rate_limit_window_s, settings.rate_limit_requests, settings.rate_limit_tokens) == (60, 60, 120_000)
    assert (settings.redis_url, settings.redis_lost) == (None, "fail_local")
    assert (settings.verification, settings.log_level, settings.log_content_sample) == ("repair", "INFO", 0)


def test_the_example_file_lists_every_setting_and_changes_none() -> None:
    """`.env.example` lists all settings with their defaults."""
    example = read_example()

    assert set(example) == {environment_name(field) for field in Settings.model_fields}
    assert load_settings(example) == load_settings({})


def test_a_profile_chooses_the_defaults_and_nothing_that_is_given() -> None:
    """Batch jobs get room and patience; what the operator says stands; answers do not depend on it."""
    offline = load_settings({"RAG_PROFILE": "offline", "RAG_QUEUE_TIMEOUT_S": "3"})

    assert offline.queue_timeout_s == 3
    assert all(getattr(offline, name) == value for name, value in OFFLINE.items() if name != "queue_timeout_s")
    assert OFFLINE.keys() <= NEVER_IN_AN_ANSWER
    assert offline.answer_settings() == load_settings({}).answer_settings()


def test_an_empty_value_counts_as_unset() -> None:
    """Compose files and templates pass unset variables as empty ones."""
    environ = {environment_name(field): "" for field in Settings.model_fields}

    assert load_settings(environ) == load_settings({})


def test_settings_cannot_be_changed() -> None:
    """What was checked at start holds as long as the process lives."""
    settings = load_settings({})

    with pytest.raises(ValueError, match="frozen"):
        settings.rerank_k = 3  # type: ignore[misc]  # what the test is about


def test_the_searches_give_no_fewer_than_are_reranked() -> None:
    """Where both find the same, there would be fewer candidates than were asked for."""
    assert load_settings({}).retrieve_k == 50
    assert load_settings({"RAG_RERANK_K": "120"}).retrieve_k == 120


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, True),
        ({"RAG_STORE_TOKEN_VECTORS": "false"}, True),
        ({"RAG_VERIFIER_MODEL": "fake:"}, True),
        ({"RAG_VERIFIER_MODEL": "path:verifier"}, False),
        ({"RAG_RERANKER_MODEL": "path:other"}, False),
        ({"RAG_EMBEDDER_MODEL": "fake:", "RAG_RERANKER_MODEL": "fake:"}, False),
        ({"RAG_RERANKER_URL": "http://reranker:3000"}, False),
        ({"RAG_EMBEDDER_URL": "http://embedder:3000"}, False),
    ],
)
def test_one_process_holds_the_model_of_both_searches(environ: dict[str, str], expected: bool) -> None:
    """Beside the front the Embedder reranks too, unless the Reranker has another model, an address, or more to do."""
    assert load_settings(environ).embedder_reranks is expected


def test_a_service_may_do_without_a_generator() -> None:
    """`none` is no model: production takes it, and the embedder's tokenizer counts."""
    settings = load_settings({**PRODUCTION, "RAG_GENERATOR_MODEL": "none"})

    assert settings.generator_model is None
    assert settings.counting_model == settings.embedder_model
    assert load_settings({"RAG_GENERATOR_MODEL": LOCAL_GENERATOR}).counting_model == LOCAL_GENERATOR


def test_nothing_is_drafted_unless_somebody_names_who_drafts() -> None:
    """A model of our own, or a server; beside a server the local model's card stands for its name and tokenizer."""
    assert load_settings({}).generator_model is None
    assert load_settings({"RAG_GENERATOR_URL": "http://host/v1"}).generator_model == LOCAL_GENERATOR
    assert (
        load_settings({"RAG_GENERATOR_URL": "http://host/v1", "RAG_GENERATOR_MODEL": "fake:"}).generator_model
        == "fake:"
    )


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("RAG_GENERATOR_URL", "http://127.0.0.1:9/v1", "RAG_GENERATOR_MODEL"),
        ("RAG_VERIFICATION", "drop", "RAG_VERIFICATION"),
        ("RAG_VERIFICATION", "mark", "RAG_VERIFICATION"),
        ("RAG_HISTORY", "rewrite", "RAG_HISTORY"),
    ],
)
def test_what_needs_a_draft_cannot_be_set_beside_no_generator(name: str, value: str, named: str) -> None:
    """A server that nobody asks, or modes in which every answer would be none: said at start, not found out later."""
    (line,) = problems({"RAG_GENERATOR_MODEL": "none", name: value})

    assert line.startswith(f"{named}: ")


def test_an_unknown_name_stops_the_start() -> None:
    """A mistyped name would silently leave its default in force."""
    assert problems({"RAG_TOPK": "3", "RAG_RERANK_K": "10"}) == ["RAG_TOPK: there is no setting of this name"]


@pytest.mark.parametrize("field", NUMBERS)
def test_a_number_out_of_range_is_named_with_its_range(field: str) -> None:
    """A value outside its range stops the start with the name, the range and one line."""
    name = environment_name(field)
    found = {tuple(problems({name: value})) for value in ("-1e9", "1e99", "nan", "many")}

    assert len(found) == 1
    (line,) = found.pop()
    assert line.startswith(f"{name}: must be a ")
    assert " from " in line
    assert "\n" not in line


@pytest.mark.parametrize("field", [field for field in NUMBERS if field.endswith("_timeout_s")])
def test_a_time_may_be_a_millisecond(field: str) -> None:
    """Times may be as low as 0.001 s."""
    settings = load_settings({environment_name(field): "0.001"})

    assert getattr(settings, field) == 0.001


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("RAG_ENV", "staging", "one of local, production"),
        ("RAG_VERIFICATION", "off", "one of repair, drop, mark"),
        ("RAG_REDIS_LOST", "ignore", "one of fail_closed, fail_local"),
        ("RAG_LOG_LEVEL", "chatty", "one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
        ("RAG_MODEL_VERSION", "a b", "1 to 64 characters of A-Za-z0-9._-"),
        ("RAG_GENERATOR_URL", "http://host:8000", "an http:// or https:// URL that ends in /v1"),
        ("RAG_GENERATOR_URL", "ftp://host/v1", "an http:// or https:// URL that ends in /v1"),
        ("RAG_EMBEDDER_URL", "embedder:3001", "an http:// or https:// URL"),
        *(
            ("RAG_PUBLIC_URL", value, "an http:// or https:// URL without credentials, query or fragment")
            for value in (
                "rag.example.org",
                "ftp://rag.example.org",
                "https://",
                "https:///rag",
                "https://user:pw@rag.example.org",
                "https://rag.example.org?x=1",
                "https://rag.example.org/#x",
                "https://rag.example.org/a b",
                'https://rag.example.org/"><script>',
                "https://rag.example.org/\n",
                "https://rag.example.org:123456",
            )
        ),
        ("RAG_REDIS_URL", "http://:secret@host", "a redis://, rediss:// or unix:// URL"),
        ("RAG_EMBEDDER_MODEL", "e5", "bento:<tag>, hf:<repo>[@revision], path:<dir> or fake:"),
        ("RAG_GENERATOR_MODEL", "hf:", "bento:<tag>, hf:<repo>[@revision], path:<dir> or fake:, or none"),
        ("RAG_EMBEDDER_MODEL", "none", "bento:<tag>, hf:<repo>[@revision], path:<dir> or fake:"),
        ("RAG_RERANKER_MODEL", "hf:repo@", "bento:<tag>, hf:<repo>[@revision], path:<dir> or fake:"),
        ("RAG_VERIFIER_MODEL", "nli", "bento:<tag>, hf:<repo>[@revision], path:<dir> or fake:"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(name: str, value: str, allowed: str) -> None:
    """One line: the name and what it may be; never the value, which may be a secret."""
    assert problems({name: value}) == [f"{name}: must be {allowed}"]


def test_every_problem_is_listed_at_once() -> None:
    """Nobody should have to start a service five times to find five mistakes."""
    found = problems({"RAG_TOPK": "3", "RAG_ENV": "x", "RAG_RERANK_K": "0"})

    assert [line.partition(":")[0] for line in found] == ["RAG_TOPK", "RAG_ENV", "RAG_RERANK_K"]


@pytest.mark.parametrize("url", ["http://host:8000/v1", "http://host:8000/v1/", "https://host/openai/v1/"])
def test_the_generator_url_may_end_in_a_slash(url: str) -> None:
    """`/v1/` means `/v1`."""
    assert load_settings({"RAG_GENERATOR_URL": url}).generator_url == url.rstrip("/")


@pytest.mark.parametrize(
    ("value", "used"),
    [
        ("https://rag.example.org", "https://rag.example.org"),
        ("https://rag.example.org/", "https://rag.example.org"),
        ("http://10.0.0.1:3000/rag/", "http://10.0.0.1:3000/rag"),
        ("http://[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_the_public_url_is_what_paths_are_added_to(value: str, used: str) -> None:
    """Without the slash at its end; it makes no other model version, the answers are the same."""
    settings = load_settings({"RAG_PUBLIC_URL": value})

    assert settings.public_url == used
    assert settings.answer_settings() == load_settings({}).answer_settings()


def test_jwt_settings_come_together() -> None:
    """A key set without the audience and issuer to check would accept anybody's tokens."""
    (line,) = problems({"RAG_JWT_JWKS": "keys.json"})

    assert line.startswith("RAG_JWT_JWKS, RAG_JWT_AUDIENCE, RAG_JWT_ISSUER: ")


def test_the_passages_must_leave_room_in_the_generators_context() -> None:
    """Every query would fail; another's server may hold more than we know."""
    environ = {"RAG_CONTEXT_TOKENS": "9000", "RAG_GENERATOR_MODEL": LOCAL_GENERATOR}
    (line,) = problems(environ)

    assert line.startswith("RAG_CONTEXT_TOKENS: ")
    assert load_settings({**environ, "RAG_GENERATOR_URL": "http://host/v1"}).passage_tokens == 9000


def test_another_servers_drafts_are_bounded_by_the_request_alone() -> None:
    """How fast it is we do not know; our own local model is slow, and unset means what suits it."""
    ours, another = load_settings({}), load_settings({"RAG_GENERATOR_URL": "http://host/v1"})

    assert ours.draft_limit_tokens is not None
    assert another.draft_limit_tokens is None
    assert ours.passage_tokens < another.passage_tokens


def test_secrets_are_not_shown() -> None:
    """A printed settings object shows neither keys nor passwords."""
    settings = load_settings({"RAG_GENERATOR_API_KEY": "sk-1", "RAG_REDIS_URL": "redis://:pw-1@host"})

    assert "sk-1" not in repr(settings)
    assert "pw-1" not in repr(settings)


def test_production_starts_with_everything_in_place() -> None:
    """The conditions of production can be met, and Redis lost means closed then."""
    settings = load_settings(PRODUCTION)

    assert settings.redis_lost == "fail_closed"


def test_a_front_of_production_takes_documents_if_somebody_says_where() -> None:
    """It has no folder that it may write to: an Ingestor elsewhere, or in so many words the one beside it."""
    elsewhere = {"RAG_INGESTOR_URL": "http://ingestor:3000"}

    assert load_settings({}).uploads == "on"
    assert load_settings(PRODUCTION).uploads == "off"
    assert load_settings({**PRODUCTION, **elsewhere}).uploads == "on"
    assert load_settings({**PRODUCTION, "RAG_UPLOADS": "on"}).uploads == "on"
    assert problems({**elsewhere, "RAG_UPLOADS": "off"}) == [
        "RAG_INGESTOR_URL: is of no use where RAG_UPLOADS is off; unset one of the two"
    ]


def test_documents_wait_below_the_index_unless_a_folder_is_named() -> None:
    """On the same disk, where no tenant can have a folder of this name."""
    assert load_settings({"RAG_INDEX_DIR": "/data/index"}).spool_dir == Path("/data/index/.uploads")
    assert load_settings({"RAG_UPLOAD_DIR": "/spool"}).spool_dir == Path("/spool")


def test_production_lists_every_missing_condition_at_once() -> None:
    """No identities, no Redis, fake models and unpinned revisions are all named in one refusal."""
    found = problems(
        {
            "RAG_ENV": "production",
            "RAG_EMBEDDER_MODEL": "hf:BAAI/bge-m3",
            "RAG_RERANKER_MODEL": "bento:reranker:latest",
            "RAG_GENERATOR_MODEL": "fake:",
        }
    )

    assert found == [
        "RAG_IDENTITIES_FILE: production needs identities, here or by RAG_JWT_JWKS",
        "RAG_REDIS_URL: production needs limits that hold over all processes",
        "RAG_EMBEDDER_MODEL: production needs a pinned revision",
        "RAG_RERANKER_MODEL: production needs a pinned revision",
        "RAG_GENERATOR_MODEL: production takes no fake model",
    ]


@pytest.mark.parametrize(
    ("model", "problem"),
    [("fake:", "production takes no fake model"), ("hf:org/nli", "production needs a pinned revision")],
)
def test_a_verifier_is_held_to_the_rules_of_production_only_if_named(model: str, problem: str) -> None:
    """None is needed; one that is named judges what is sent."""
    assert load_settings(PRODUCTION).verifier_model is None
    assert problems({**PRODUCTION, "RAG_VERIFIER_MODEL": model}) == [f"RAG_VERIFIER_MODEL: {problem}"]


def test_jwt_alone_is_identity_enough_for_production() -> None:
    """Keys in a file are one way to know callers, signed tokens are another."""
    environ = {
        **PRODUCTION,
        "RAG_IDENTITIES_FILE": "",
        "RAG_JWT_JWKS": "k",
        "RAG_JWT_AUDIENCE": "a",
        "RAG_JWT_ISSUER": "i",
    }

    assert load_settings(environ).jwt_issuer == "i"


@pytest.mark.parametrize(
    ("text", "kind", "name", "revision", "pinned"),
    [
        ("bento:e5:q4", "bento", "e5", "q4", True),
        ("bento:e5", "bento", "e5", None, False),
        ("bento:e5:latest", "bento", "e5", "latest", False),
        ("hf:BAAI/bge-m3@5617a9f", "hf", "BAAI/bge-m3", "5617a9f", True),
        ("hf:BAAI/bge-m3@main", "hf", "BAAI/bge-m3", "main", False),
        ("hf:BAAI/bge-m3", "hf", "BAAI/bge-m3", None, False),
        ("path:/models/a:b@c", "path", "/models/a:b@c", None, True),
        ("fake:", "fake", "fake", "1", True),
    ],
)
def test_a_model_reference_says_where_the_weights_are(
    text: str, kind: str, name: str, revision: str | None, pinned: bool
) -> None:
    """Four forms; pinned where the reference can only ever mean the same weights."""
    ref = ModelRef.parse(text)

    assert (ref.kind, ref.name, ref.revision, ref.pinned) == (kind, name, revision, pinned)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RAG_VERIFICATION", "drop"),
        ("RAG_RERANK_K", "7"),
        ("RAG_CONTEXT_TOKENS", "999"),
        ("RAG_ABSTAIN_RELEVANCE", "0.5"),
        ("RAG_HISTORY", "off"),
        ("RAG_HISTORY", "rewrite"),
        ("RAG_REWRITE_TIMEOUT_S", "1"),
        ("RAG_GENERATOR_MODEL", "path:/m"),
        ("RAG_GENERATOR_URL", "http://other/v1"),
    ],
)
def test_a_setting_that_can_change_an_answer_changes_the_fingerprint(name: str, value: str) -> None:
    """Two deployments that may answer differently never share one model_version."""
    drafting = {"RAG_GENERATOR_MODEL": LOCAL_GENERATOR}
    before = load_settings(drafting).answer_settings()
    after = load_settings({**drafting, name: value}).answer_settings()

    assert versioned("rag-v1", before) != versioned("rag-v1", after)


def test_limits_and_credentials_leave_the_fingerprint_alone() -> None:
    """They decide whether there is an answer, never which; and a secret has no place in a public value."""
    changed = {"RAG_REQUEST_TIMEOUT_S": "1", "RAG_GENERATOR_API_KEY": "k", "RAG_INDEX_DIR": "/elsewhere"}

    assert load_settings(changed).answer_settings() == load_settings({}).answer_settings()
    assert Settings.model_fields.keys() >= NEVER_IN_AN_ANSWER


def test_a_version_is_the_name_and_eight_hex_digits() -> None:
    """The same parts give the same version in every process, whatever their order."""
    assert versioned("rag-v1", {"a": 1, "b": 2}) == versioned("rag-v1", {"b": 2, "a": 1}) == "rag-v1+d8497d9d"


GENERATOR = {"RAG_GENERATOR_URL": "http://host/v1"}


def test_a_key_is_stripped_of_white_space() -> None:
    """Files of secrets end with a line break; one that is white space alone is none."""
    assert load_settings({**GENERATOR, "RAG_GENERATOR_API_KEY": " sk-1\n"}).upstream_headers == {
        "authorization": "Bearer sk-1"
    }
    assert load_settings({**GENERATOR, "RAG_GENERATOR_API_KEY": " \n"}).generator_api_key is None


def test_headers_and_fields_of_the_generator_are_json_objects() -> None:
    """`null` stays: it leaves a header or a field out."""
    settings = load_settings(
        {
            **GENERATOR,
            "RAG_GENERATOR_API_KEY": "sk-1",
            "RAG_GENERATOR_HEADERS": '{"Authorization": null, "api-key": "k2\\n"}',
            "RAG_GENERATOR_BODY": '{"temperature": null, "top_p": 0.5}',
        }
    )

    assert settings.upstream_headers == {"authorization": None, "api-key": "k2"}
    assert settings.upstream_body == {"temperature": None, "top_p": 0.5}
    assert "k2" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RAG_GENERATOR_API_KEY", "sk-1\nx: y"),
        ("RAG_GENERATOR_API_KEY", "sk-ngày"),
        ("RAG_GENERATOR_NAME", " gpt "),
        *(
            ("RAG_GENERATOR_HEADERS", value)
            for value in (
                "{", "[]", '{"a b": "c"}', '{"": "c"}', '{"a": 1}', '{"a": "b\\r\\nc: d"}', '{"X-Trace-Id": "1"}',
                '{"Content-Length": "1"}', '{"api-key": "a", "api-key": "b"}', '{"api-key": "a", "Api-Key": null}',
            )
        ),
        *(
            ("RAG_GENERATOR_BODY", value)
            for value in (
                "{", "7", '{"a": NaN}', '{"a": 1e999}', '{"messages": []}', '{"stream": false}', '{"model": "x"}',
                '{"a":' + "[" * 100_000, '{"a": "\\ud800"}', '{"top_p": 1, "top_p": 0.5}', '{"a": [{"b": 1, "b": 1}]}',
            )
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_to_the_generator_stops_the_start(name: str, value: str) -> None:
    """One line, without the value."""
    assert problems({**GENERATOR, name: value}) == [f"{name}: must be {value_range(name[4:].lower())}"]


@pytest.mark.parametrize("name", ["RAG_GENERATOR_NAME", "RAG_GENERATOR_BODY"])
def test_what_is_said_to_no_generator_stops_the_start(name: str) -> None:
    """Our own Generator is told nothing of it."""
    (line,) = problems({name: "{}"})

    assert line.startswith(f"{name}: ")


def test_what_the_generator_is_told_changes_the_deployment_and_its_credentials_do_not() -> None:
    """Name and body change answers; headers and key do not; nor does white space in the body."""

    def answers(**more: str) -> dict[str, str]:
        return load_settings({**GENERATOR, **more}).answer_settings()

    assert answers(RAG_GENERATOR_NAME="gpt") != answers()
    assert answers(RAG_GENERATOR_BODY='{"top_p": 1}') != answers()
    assert answers(RAG_GENERATOR_BODY='{"top_p": 1}') == answers(RAG_GENERATOR_BODY='{"top_p":1}')
    assert answers(RAG_GENERATOR_HEADERS='{"a": "b"}', RAG_GENERATOR_API_KEY="k") == answers()


@pytest.mark.parametrize(("environ", "port"), [({}, 3000), ({"PORT": ""}, 3000), ({"PORT": "8080"}, 8080)])
def test_the_port_is_the_platforms(environ: dict[str, str], port: int) -> None:
    """Platforms say by PORT where a container is to listen."""
    assert read_port(environ) == port


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "30.5", "٣٠٠٠"])
def test_a_port_that_is_none_stops_the_start(text: str) -> None:
    """With one line, as a setting of ours does."""
    with pytest.raises(SettingsError, match="PORT: must be a whole number from 1 to 65535"):
        read_port({"PORT": text})
