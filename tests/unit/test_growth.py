"""The drawn collections: like real ones in what matters to an index, reproducible, measured by the product itself."""

import json
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from load.growth import adding, nearest
from load.growth.building import (
    add_one,
    build_vectors,
    build_words,
    copy_vectors,
    dense_path,
    ingest,
    measure_parts,
    open_index,
)
from load.growth.isolation import run_alone
from load.growth.memory import watched_peak
from load.growth.report import Size, render_table
from load.growth.searching import draw_questions, measure_recall, search
from load.growth.texts import ENGLISH, LAWS, VIETNAMESE, TextStream, WordLaw
from load.growth.vectors import DIMENSION, VectorStream
from rag.index.dense import DenseIndex, build_dense
from rag.text.language import sentence_spans, words


@pytest.mark.parametrize("law", LAWS)
def test_no_two_ranks_are_spelled_alike(law: WordLaw) -> None:
    """Else the vocabulary would be smaller than its law says; and each is one word to the product."""
    spelled = [law.spell(rank) for rank in range(20_000)]

    assert len(set(spelled)) == len(spelled)
    assert words(" ".join(spelled)) == spelled


@pytest.mark.parametrize("law", LAWS)
def test_vocabulary_grows_as_heaps_says(law: WordLaw) -> None:
    """Ten times the words bring less than ten times, but never no new ones."""
    ranks = law.draw_ranks(np.random.default_rng(0), 1_000_000)
    few, many = (len(np.unique(ranks[:count])) for count in (100_000, 1_000_000))

    assert ranks.min() == 0
    assert 10 ** (1 / law.slope) == pytest.approx(many / few, rel=0.25)


def test_documents_are_of_measured_size() -> None:
    """The paragraphs have the lengths of XQuAD's, and their words come back as often."""
    stream = TextStream(seed=1)
    english, vietnamese = stream.draw_document(), stream.draw_document()

    for text, law, distinct in ((english, ENGLISH, 81), (vietnamese, VIETNAMESE, 107)):
        paragraphs = [words(paragraph) for paragraph in text.split("\n\n")]
        assert np.mean([len(each) for each in paragraphs]) == pytest.approx(law.paragraph_words, rel=0.2)
        assert np.mean([len(set(each)) for each in paragraphs]) == pytest.approx(distinct, rel=0.2)
        assert 15 < len(words(text)) / len(sentence_spans(text)) < 30


def test_questions_share_words_with_their_passage() -> None:
    """A question's passage is found by words: most of its words stand there, and not all."""
    passage = words(TextStream(seed=1).draw_document())[:150]
    asked = words(TextStream(seed=2).draw_question(passage))

    shared = sum(word in passage for word in asked) / len(asked)

    assert len(asked) == ENGLISH.question_words
    assert ENGLISH.question_overlap - 0.1 < shared < 1


def test_streams_are_the_same_each_time() -> None:
    """A table can be made again; however many are drawn at once."""
    whole, parts = VectorStream(seed=3), VectorStream(seed=3)

    assert TextStream(seed=3).draw_document() == TextStream(seed=3).draw_document()
    assert whole.draw_passages(50).shape == (50, DIMENSION)
    assert np.array_equal(VectorStream(seed=3).draw_passages(50), parts.draw_passages(50))


def test_vectors_have_the_measured_geometry() -> None:
    """Random pairs, passages of one article, nearest neighbours and questions lie as far apart as XQuAD's do."""
    stream = VectorStream(seed=1, chunks_per_topic=5)
    passages = stream.draw_passages(150)
    questions = stream.draw_questions(passages)
    cosines = passages @ passages.T
    topics = np.arange(150) // 5
    same = topics[:, None] == topics
    nearest = np.sort(cosines, axis=1)[:, -2]

    assert np.linalg.norm(passages, axis=1) == pytest.approx(1, abs=1e-6)
    assert cosines[~same].mean() == pytest.approx(0.768, abs=0.01)
    assert cosines[same & ~np.eye(150, dtype=bool)].mean() == pytest.approx(0.835, abs=0.015)
    assert nearest.mean() == pytest.approx(0.859, abs=0.015)
    assert (questions * passages).sum(axis=1).mean() == pytest.approx(0.876, abs=0.01)


def test_a_step_has_a_process_and_a_memory_of_its_own() -> None:
    """What one step took is not counted to the next."""
    with watched_peak() as ours:
        held = np.ones(20_000_000)

    own = run_alone(_measure_nothing)

    assert own.pid != os.getpid()
    assert ours.own_bytes >= held.nbytes
    assert own.bytes < held.nbytes


class _Nothing:
    def __init__(self, pid: int, size_bytes: int) -> None:
        self.pid = pid
        self.bytes = size_bytes


def _measure_nothing() -> _Nothing:
    with watched_peak() as peak:
        pass
    return _Nothing(os.getpid(), peak.own_bytes)


def test_recall_counts_what_is_as_near_as_the_tenth(tmp_path: Path) -> None:
    """An index that is exact finds everything, ties in another order included."""
    vectors = VectorStream(seed=1).draw_passages(300)
    vectors[100:200] = vectors[:100]
    build_dense(vectors, tmp_path / "whole")
    build_dense(vectors[:200], tmp_path / "part")
    whole, part = DenseIndex.load(tmp_path / "whole"), DenseIndex.load(tmp_path / "part")

    assert measure_recall(whole, whole, vectors[:20]) == 1
    assert measure_recall(whole, part, vectors[-20:]) < 1


def test_every_figure_is_measured(tmp_path: Path) -> None:
    """The steps run one after the other on the product's own index, and the table has a row for all they found."""
    ingested = ingest(tmp_path, 100)
    copy_vectors(tmp_path)
    draw_questions(tmp_path)
    exact, approximate = build_vectors(tmp_path, "exact"), build_vectors(tmp_path, "approximate")
    parts, lexical = measure_parts(tmp_path), build_words(tmp_path)
    searched = search(tmp_path, with_approximate=True)
    added = add_one(tmp_path)
    size = Size(ingested, parts, exact, approximate, lexical, searched, added)

    assert 80 < ingested.chunks < 120
    assert added.documents == ingested.documents + 1
    assert open_index(tmp_path).version.chunks == added.chunks
    assert searched.recall_at_10 == 1
    assert exact.size_bytes == dense_path(tmp_path, "exact").stat().st_size
    assert all(part > 0 for part in parts.values())
    assert json.dumps(asdict(size))
    assert Counter(line.count("|") for line in render_table([size, size]).splitlines()).keys() == {4}


def test_one_more_document_beside_writes_less_than_anew(tmp_path: Path) -> None:
    """What `load.growth.adding` compares."""
    first = adding.add(tmp_path, 60, "d", adding._ANEW)
    beside = adding.add(tmp_path, 1, "beside", adding._BESIDE)
    anew = adding.add(tmp_path, 1, "anew", adding._ANEW)

    assert (first.delta_chunks, anew.delta_chunks) == (0, 0)
    assert beside.chunks == first.chunks + beside.delta_chunks
    assert beside.written_mb < anew.written_mb


def test_kinds_of_dense_index_are_compared_on_the_same_questions(tmp_path: Path) -> None:
    """What `load.growth.nearest` compares: exact search finds everything."""
    nearest.draw(tmp_path, 2_000)
    built = {kind: nearest.build(tmp_path, kind) for kind in ("flat", "hnsw")}

    flat, graphs = nearest.search(tmp_path, built)

    assert (flat.kind, flat.questions_recall_at_10) == ("flat", 1.0)
    assert graphs.kind == "hnsw"
    assert graphs.questions_recall_at_10 > 0.9
