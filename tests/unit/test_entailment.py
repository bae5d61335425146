"""A verifier's model returns how far a premise supports a hypothesis, for every kind of classifier."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from rag import models
from rag.clients.bento_client import BentoEntailment
from rag.engines.batch_queue import BatchLimits
from rag.engines.batching import Batcher, estimate_entailment
from rag.engines.entailment import EntailmentClassifier, find_support, find_unsupported
from rag.engines.fake import FakeEntailment
from rag.ports import EntailmentModel
from schemas.services import Entailment
from tests.tiny_classifiers import (
    LIMIT_TOKENS,
    NLI,
    Signs,
    write_foreign_model,
    write_random_classifier,
    write_sequence_classifier,
    write_token_classifier,
)

Writer = Callable[[Path, Signs], Path]

PREMISE = "Full time staff have 12 days of annual leave."
CARRIED = "Staff have 12 days of annual leave."
EDITED = "Staff have 6 days of annual leave."
FOREIGN = "visitors park behind the north building"
LIKELY, UNLIKELY = 0.9, 0.1
FIRST_UNSUPPORTED: Signs = {"LABEL_0": -1, "LABEL_1": 1}
FIRST_SUPPORTED: Signs = {"LABEL_0": 1, "LABEL_1": -1}
# [CLS], [SEP], [SEP], and one of the premise.
LONGEST_HYPOTHESIS = LIMIT_TOKENS - 4


def open_classifier(folder: Path) -> EntailmentClassifier:
    return EntailmentClassifier(folder, models.describe(f"path:{folder}"))


def pair(hypothesis: str, premise: str = PREMISE) -> Entailment:
    return Entailment(premise=premise, hypothesis=hypothesis)


@pytest.fixture(scope="module")
def sequence_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sequence_classifier(tmp_path_factory.mktemp("models") / "tiny-nli", NLI)


@pytest.fixture(scope="module")
def token_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_token_classifier(tmp_path_factory.mktemp("models") / "tiny-tokens", FIRST_UNSUPPORTED)


@pytest.fixture(scope="module", params=["sequence_folder", "token_folder"])
def classifier(request: pytest.FixtureRequest) -> EntailmentClassifier:
    """A classifier of each kind; both want every word of a hypothesis in its premise."""
    return open_classifier(request.getfixturevalue(request.param))


@pytest.mark.parametrize(
    ("write", "signs"),
    [
        (write_sequence_classifier, NLI),
        (write_sequence_classifier, {"CONTRADICTION": 1, "NEUTRAL": 0, "ENTAILMENT": -1}),
        (write_sequence_classifier, {"entailment": -1, "not_entailment": 1}),
        (write_sequence_classifier, {"SUPPORTS": -1, "REFUTES": 1, "NOT ENOUGH INFO": 0}),
        (write_sequence_classifier, FIRST_SUPPORTED),
        (write_sequence_classifier, {"LABEL_0": -1}),
        (write_token_classifier, FIRST_UNSUPPORTED),
        (write_token_classifier, {"hallucinated": 1, "supported": -1}),
        (write_token_classifier, {"NOT_SUPPORTED": 1, "SUPPORTED": -1}),
        (write_token_classifier, {"O": -1, "B-Halluc": 1, "I-Halluc": 1}),
    ],
)
def test_a_models_own_labels_say_what_support_is(write: Writer, signs: Signs, tmp_path: Path) -> None:
    """Names count; without them the second of two is support for a pair and the lack of it for a token."""
    carried, edited = open_classifier(write(tmp_path, signs)).entail([pair(CARRIED), pair(EDITED)])

    assert LIKELY < carried <= 1
    assert 0 <= edited < UNLIKELY


@pytest.mark.parametrize(
    "labels",
    [["positive", "negative"], ["LABEL_0", "LABEL_1", "LABEL_2"], ["entailment", "supported"], ["unsupported", "x"]],
)
def test_a_sequence_classifier_that_names_no_support_is_refused(labels: Sequence[str]) -> None:
    """One of sentiments would judge every sentence by its mood; the message shows the labels."""
    with pytest.raises(ValueError, match=labels[0]):
        find_support(labels)


@pytest.mark.parametrize("labels", [["O", "PER"], ["LABEL_0"], ["LABEL_0", "LABEL_1", "LABEL_2"], ["Hallucinated"]])
def test_a_token_classifier_that_names_no_lack_of_support_is_refused(labels: Sequence[str]) -> None:
    """One of names would call every person a hallucination."""
    with pytest.raises(ValueError, match=labels[0]):
        find_unsupported(labels)


def test_a_model_that_is_no_classifier_is_refused(tmp_path: Path) -> None:
    """Its classifier's weights would be random: it is named when the service starts, not when it judges."""
    folder = write_foreign_model(tmp_path / "tiny-language-model")

    with pytest.raises(ValueError, match="tiny-language-model is BertForMaskedLM"):
        open_classifier(folder)


def test_a_model_with_code_of_its_own_is_not_run(sequence_folder: Path, tmp_path: Path) -> None:
    """Weights are data; a name in the settings must not become somebody's program."""
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "stranger", "auto_map": {"AutoConfig": "stranger.StrangerConfig"}}), "utf-8"
    )

    with pytest.raises(ValueError, match="custom code"):
        open_classifier(tmp_path)


def test_a_support_does_not_depend_on_its_batch(tmp_path: Path) -> None:
    """Alone, among others, first or last, padded or not: the same, in the order of the pairs."""
    classifier = open_classifier(write_random_classifier(tmp_path))
    pairs = [
        pair(hypothesis) for hypothesis in (CARRIED, "6", EDITED, FOREIGN, f"{FOREIGN} {FOREIGN}", "nhân viên", "")
    ]
    many = pairs * 12  # more than one batch of the model

    alone = [classifier.entail([each])[0] for each in pairs]

    assert len(set(alone)) == len(pairs)
    assert classifier.entail(many) == pytest.approx(alone * 12, abs=0.02)
    assert classifier.entail(many[::-1]) == pytest.approx(alone[::-1] * 12, abs=0.02)
    assert classifier.entail([]) == []


def test_only_the_premise_loses_its_end(classifier: EntailmentClassifier) -> None:
    """What stands behind the model's limit in the premise carries nothing; the hypothesis is always read whole."""
    padding = "visitors " * LIMIT_TOKENS
    behind, before, odd_end = classifier.entail(
        [
            pair("staff", f"{padding} staff"),
            pair("staff", f"staff {padding}"),
            pair("visitors " * (LONGEST_HYPOTHESIS - 1) + "staff", padding),
        ]
    )

    assert before > LIKELY
    assert behind < UNLIKELY
    assert odd_end < UNLIKELY


def test_a_hypothesis_that_does_not_fit_has_no_support(classifier: EntailmentClassifier) -> None:
    """Cut, it would be another claim; the others of its batch are judged all the same."""
    longest, too_long, short = classifier.entail(
        [pair("staff " * tokens, "staff") for tokens in (LONGEST_HYPOTHESIS, LONGEST_HYPOTHESIS + 1, 1)]
    )

    assert longest > LIKELY
    assert short > LIKELY
    assert too_long == 0


def test_nothing_is_not_supported(classifier: EntailmentClassifier) -> None:
    """An empty hypothesis cannot be judged, and an empty premise carries nothing."""
    assert classifier.entail([pair("")]) == [0]
    assert classifier.entail([pair("staff", "")])[0] < UNLIKELY


def test_only_tokens_of_the_hypothesis_are_judged(tmp_path: Path) -> None:
    """Turned round, the model marks every token that stands in the premise: the premise's own, and special ones."""
    contrary = open_classifier(write_token_classifier(tmp_path, FIRST_SUPPORTED))

    foreign, carried = contrary.entail([pair(f"{FOREIGN} " * 2), pair(CARRIED)])

    assert foreign > LIKELY
    assert carried < UNLIKELY


def serve(classifier: EntailmentClassifier) -> FastAPI:
    """The wire of the Reranker's `entail`, without BentoML."""
    app, batcher = FastAPI(), Batcher(BatchLimits())

    @app.post("/entail")
    async def entail(request: Request) -> list[float]:
        body: dict[str, Any] = await request.json()
        pairs = [Entailment(**each) for each in body["pairs"]]
        supports = await batcher.run(classifier.entail, pairs, estimate_entailment)
        return [float(support) for support in supports]

    return app


@pytest.fixture(params=["fake", "sequence_folder", "token_folder"])
async def judge(request: pytest.FixtureRequest) -> AsyncIterator[EntailmentModel]:
    if request.param == "fake":
        yield FakeEntailment()
        return
    app = serve(open_classifier(request.getfixturevalue(request.param)))
    async with httpx.AsyncClient(base_url="http://service", transport=httpx.ASGITransport(app)) as client:
        yield BentoEntailment(client)


async def test_the_nearer_claim_has_more_support(judge: EntailmentModel) -> None:
    """From 0 to 1, and most where the premise says the very words."""
    carried, edited, foreign = await asyncio.gather(
        *(judge.entail(PREMISE, claim, timeout_s=30, trace_id="tr_test") for claim in (CARRIED, EDITED, FOREIGN))
    )

    assert 0 <= foreign <= edited < carried <= 1
    assert carried > LIKELY
    assert foreign < UNLIKELY


async def test_an_empty_claim_has_no_support(judge: EntailmentModel) -> None:
    """What cannot be judged has none."""
    assert await judge.entail(PREMISE, "", timeout_s=30, trace_id="tr_test") == 0
