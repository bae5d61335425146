"""The parts of `make bench-peers` that need no peer: ratios, cells, forms of requests, the model, starting."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from load.peers import starting
from load.peers.cells import CELLS, OPENAI, OURS, PREFIXED, Cell, Texts, write_bodies
from load.peers.embedding import READINGS, Measured, Pace, UnlikeError, check_alike, read_vectors
from load.peers.ratios import Ratios, print_table, take_turns
from load.peers.weights import write_model

ONE = Cell("short", 1, 1)


def test_a_ratio_pairs_the_rounds() -> None:
    """A slow phase of the machine hits both sides of a pair, so ratios are taken before the median."""
    ratios = Ratios.of([10.0, 40.0, 30.0], [10.0, 20.0, 10.0])

    assert ratios.each == (1.0, 2.0, 3.0)
    assert str(ratios) == "2.00 (1.00–3.00)"


def test_rounds_without_a_partner_are_a_fault() -> None:
    """A round that only one side had would shift all later pairs."""
    with pytest.raises(ValueError, match="shorter"):
        Ratios.of([1.0, 2.0], [1.0])


def test_each_round_begins_with_another_server() -> None:
    """No server always follows the same neighbour, nor is always the first."""
    names = ["a", "b", "c"]

    assert [take_turns(names, number)[0] for number in range(4)] == ["a", "b", "c", "a"]
    assert sorted(take_turns(names, 2)) == names


def test_the_cells_are_all_combinations() -> None:
    """Short and long texts, one and 32 in a request, 1, 8 and 32 clients."""
    assert len(set(CELLS)) == 2 * 2 * 3


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_round_has_work_for_every_client(cell: Cell) -> None:
    """A client without a request would make fewer clients of them than the table says."""
    requests = Texts().deal(cell)

    assert len(requests) >= cell.clients
    assert {len(texts) for texts in requests} == {cell.batch}


def test_no_text_comes_twice_in_a_round() -> None:
    """A cache would answer for the model."""
    texts = [text for request in Texts().deal(ONE) for text in request]

    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(
    ("wire", "answer"),
    [(OURS, [[3.0, 4.0]]), (PREFIXED, [[3.0, 4.0]]), (OPENAI, {"data": [{"embedding": [3.0, 4.0]}]})],
    ids=["ours", "prefixed", "openai"],
)
def test_vectors_are_read_from_each_form_of_answer(wire: object, answer: object) -> None:
    """All servers are compared by the same vectors of unit length."""
    vectors = read_vectors(wire, json.dumps(answer).encode())  # type: ignore[arg-type]  # ids come with the wires

    assert vectors.tolist() == [pytest.approx([0.6, 0.8])]


def test_every_model_sees_the_same_text() -> None:
    """Our Embedder puts the prefix of a passage there itself; the others' callers have to."""
    (ours,) = write_bodies(OURS, [["a"]])
    (theirs,) = write_bodies(PREFIXED, [["a"]])

    assert json.loads(ours) == {"texts": ["a"]}
    assert json.loads(theirs) == {"texts": ["passage: a"]}


def test_a_server_with_other_vectors_is_found_out() -> None:
    """The speed of something else says nothing."""
    ours = np.asarray([[1.0, 0.0]], dtype=np.float32)

    check_alike({"ours": ours, "peer": ours})
    with pytest.raises(UnlikeError, match="peer"):
        check_alike({"ours": ours, "peer": ours[:, ::-1]})


def test_the_table_says_whether_the_goal_is_reached_beside_every_peer() -> None:
    """One peer that is as fast is enough to miss it."""
    measured = Measured()
    for name, speed in (("ours", 13.0), ("slow", 5.0), ("fast", 13.0)):
        measured.note(ONE, name, Pace(by_clock=speed, by_cpu=speed * 2))

    (row,) = measured.list_rows(READINGS["texts/s"])
    assert row == ["short, one text, 1", "13", "2.60 (2.60–2.60)", "1.00 (1.00–1.00)", "missed"]


def test_a_table_is_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    """It is put into the documentation as it is printed."""
    print_table([["a", "b"], ["1", "2"]])

    assert capsys.readouterr().out == "| a | b |\n| --- | --- |\n| 1 | 2 |\n\n"


def test_a_peer_sees_its_own_packages_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of the environment beside theirs would make another server of it; no setting of ours reaches it."""
    monkeypatch.setenv("RAG_EMBEDDER_MODEL", "fake:")
    environment = starting.make_environment(tmp_path / "peer")

    assert environment["PYTHONPATH"] == str(starting.PACKAGES)
    assert not [name for name in environment if name.startswith("RAG_")]
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert starting.write_command("a.py")[:3] == [sys.executable, "-S", "-P"]


def test_the_copy_of_the_model_has_the_same_weights(tmp_path: Path) -> None:
    """What is linked is the file of the Model Store; only names that older libraries look for are written anew."""
    source = tmp_path / "store"
    source.mkdir()
    (source / "config.json").write_text('{"hidden_size": 8}')
    (source / "tokenizer.json").write_text("{}")
    (source / "model.safetensors").write_text("weights")
    (source / "tokenizer_config.json").write_text('{"pad_token": "<pad>", "tokenizer_class": "TokenizersBackend"}')

    copy = write_model(source, tmp_path / "copy")

    assert (copy / "model.safetensors").samefile(source / "model.safetensors")
    assert json.loads((copy / "1_Pooling" / "config.json").read_text())["word_embedding_dimension"] == 8
    assert json.loads((copy / "tokenizer_config.json").read_text()) == {
        "pad_token": "<pad>",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
