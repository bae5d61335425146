"""The evaluation of the two fitted models: shares of questions, with weights fitted on other articles."""

import random
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from load.evaluation.calibration import calibrate
from load.evaluation.everyday.questions import EverydayPart, EverydayQuestion
from load.evaluation.everyday.situations import EVERYDAY, NO_DOCUMENT, NO_PASSAGE, observe_everyday
from load.evaluation.fitting import fit
from load.evaluation.retrieval import KnownVectors, LocalScorer, RetrievalStages
from load.evaluation.selection import Selection
from load.evaluation.situations import WHOLE, Observatory, QuotableSentence, Sight, Situation
from load.evaluation.xquad import Paragraph, Question, QuestionSet
from rag.engines.fake import FakeEncoder, overlap
from rag.ingestion.sources import Source
from rag.types import Chunk, RelevanceScale
from rag.verification import LATE_INTERACTION, PassageSigns, SentenceSigns
from schemas.services import Pair
from tests.fakes import ANNUAL_LEAVE, PARKING, SICK_LEAVE, FakeIndex

ASKED = "How many days of annual leave do staff have?"


def passage_signs(relevance: float) -> PassageSigns:
    return PassageSigns(relevance, 0.05, 0.5, 0.3, 0.5, 0.0, 0.0, 0.0, 0.0, 1.5, 0.9, 0.0, 0.0, 0.5)


def sentence(relevance: float, *, is_right: bool) -> QuotableSentence:
    return QuotableSentence(SentenceSigns(relevance, 0.0, 0.5, 0.0, 0.2, 1.0, 0.0, 0.0, 0.0), is_right, words=20)


def make_situations(articles: int = 24) -> list[Situation]:
    """Answerable questions are a little more relevant, and their right sentence is the more relevant one."""
    draw = random.Random(1)
    made = []
    for number in range(articles):
        for is_answerable in (True, False):
            signs = passage_signs((0.9 if is_answerable else 0.8) + draw.uniform(-0.06, 0.06))
            best, other = draw.uniform(0.85, 0.95), draw.uniform(0.75, 0.88)
            pair = (sentence(best, is_right=is_answerable), sentence(other, is_right=False))
            sight = Sight(signs, pair)
            made.append(Situation("en", f"article {number}", WHOLE, is_answerable, sight))
            made.append(Situation("en", f"article {number}", "8 documents", is_answerable, sight))
    return made


def test_stricter_thresholds_refuse_more_and_answer_less() -> None:
    """The curve that the default was chosen on."""
    curve = calibrate(make_situations(), LATE_INTERACTION, 0.12).sets["en"].held_out

    refused = [cut.refused for cut in curve if cut.refused is not None]
    answered = [cut.answered for cut in curve if cut.answered is not None]
    assert len(refused) == len(answered) == len(curve)
    assert refused == sorted(refused)
    assert answered == sorted(answered, reverse=True)


def test_what_was_not_found_is_refused() -> None:
    """Whatever the threshold."""
    nothing = [Situation("en", f"a{n}", WHOLE, n % 2 == 0, Sight()) for n in range(8)]
    found = calibrate([*make_situations(), *nothing], LATE_INTERACTION, 0.001).sets["en"]

    assert found.chosen.refused == pytest.approx(4 / 28)


def test_longer_answers_hit_more() -> None:
    """And have more words."""
    lengths = calibrate(make_situations(), LATE_INTERACTION, 0.12).sets["en"].lengths

    assert [each.hits for each in lengths] == sorted(each.hits for each in lengths)
    assert lengths[0].sentences == 1.0
    assert lengths[0].median_words == 20


def test_the_fit_finds_what_tells() -> None:
    """More relevant is more answerable, and more right."""
    model = fit(make_situations())

    assert model.passages is not None
    assert model.passages.relevance > 0
    assert model.sentence.relevance > 0


def test_everyday_questions_weigh_more() -> None:
    """A sign that speaks for the sentences of one set and against those of the other is fitted to the everyday one."""
    others = [each for each in make_situations(8) if each.collection == WHOLE]
    sentences = (sentence(0.8, is_right=True), sentence(0.9, is_right=False))
    everyday = [
        Situation(EVERYDAY, f"q{at}", WHOLE, each.is_answerable, Sight(each.sight.passages, sentences))
        for at, each in enumerate(others)
    ]

    assert fit([*others, *others]).sentence.relevance > 0
    assert fit([*others, *everyday]).sentence.relevance < 0


def test_a_large_set_counts_no_more_than_one_of_two_hundred() -> None:
    """Else those who ask of XQuAD would have the last word on how people ask."""
    others, everyday = make_situations(200), [replace(each, questions=EVERYDAY) for each in make_situations(20)]
    once, thrice = fit([*others, *everyday]), fit([*others, *others, *others, *everyday])

    assert thrice.sentence.relevance == pytest.approx(once.sentence.relevance, rel=0.05)
    assert thrice.bias == pytest.approx(once.bias, rel=0.05)


def test_the_likeliest_sentence_is_judged_where_it_can_be_right() -> None:
    """An unanswerable question is none that was missed."""
    choice = calibrate(make_situations(), LATE_INTERACTION, 0.12).sets["en"].choice

    assert choice.questions == 24
    assert choice.shipped > 0.5
    assert choice.held_out > 0.5


def test_what_is_too_long_to_go_out_is_not_taken() -> None:
    """However likely it is to answer."""
    pair = (replace(sentence(0.9, is_right=True), words=0), sentence(0.8, is_right=False))
    situations = [replace(each, sight=Sight(each.sight.passages, pair)) for each in make_situations()]

    assert calibrate(situations, LATE_INTERACTION, 0.12).sets["en"].choice.shipped == 0.0


class CountingScorer:
    """Scores by shared words; remembers how many pairs it was asked about."""

    def __init__(self) -> None:
        self.pairs = 0

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        self.pairs += len(pairs)
        return [overlap(pair.question, pair.passage[pair.start : pair.end]) for pair in pairs]


def make_observatory(scorer: CountingScorer) -> Observatory:
    stages = RetrievalStages(
        KnownVectors(FakeEncoder()), LocalScorer(scorer), RelevanceScale(0.0), retrieve_k=10, rerank_k=10
    )
    return Observatory(stages, LATE_INTERACTION)


class Shelf(FakeIndex):
    """Each text a document of its own."""

    @property
    def chunks(self) -> list[Chunk]:
        return [replace(chunk, document_id=f"d{chunk.chunk_id[-1]}") for chunk in super().chunks]


async def test_a_question_is_observed_with_and_without_its_paragraph() -> None:
    """The paragraph that holds the answer is not among the passages of the unanswerable one."""
    texts = (ANNUAL_LEAVE, SICK_LEAVE, PARKING)
    index = Shelf(*texts)
    chunks = index.chunks
    paragraphs = tuple(Paragraph(chunk.document_id, "Handbook", chunk.text) for chunk in chunks)
    question = Question("q1", ASKED, chunks[0].document_id, ("12 days",))
    scorer = CountingScorer()
    observatory = make_observatory(scorer)

    seen = await observatory.observe(QuestionSet("en", paragraphs, (question,)), [question], index, chunks)

    assert [(each.collection, each.is_answerable) for each in seen] == [
        (WHOLE, True),
        (WHOLE, False),
        ("8 documents", True),
        ("8 documents", False),
    ]
    assert [any(one.is_right for one in each.sight.sentences) for each in seen] == [True, False, True, False]
    assert scorer.pairs == 2 * len(texts)


async def test_an_everyday_question_is_observed_without_its_document_and_without_what_answers_it() -> None:
    """What nothing answers is asked of all documents; of chat nothing is seen."""
    index = Shelf(ANNUAL_LEAVE, SICK_LEAVE, PARKING)
    chunks = index.chunks
    path = Path("leave.md")
    known = EverydayQuestion(
        question_id="en-1", kind="fact", language="en", text=ASKED, document=path.name, facts=(("12 days",),)
    )
    unknown = EverydayQuestion(question_id="en-2", kind="unanswerable", language="en", text="Who owns the company?")
    chat = EverydayQuestion(question_id="en-3", kind="chat", language="en", text="hello")
    part = EverydayPart("tuning", (Source(path, chunks[0].document_id),), (known, unknown, chat))

    seen = await observe_everyday(make_observatory(CountingScorer()), part, part.questions, index, chunks)

    assert [(each.article, each.collection, each.is_answerable) for each in seen] == [
        ("en-1", WHOLE, True),
        ("en-1", NO_DOCUMENT, False),
        ("en-1", NO_PASSAGE, False),
        ("en-2", WHOLE, False),
    ]
    assert [any(one.is_right for one in each.sight.sentences) for each in seen] == [True, False, False, False]


async def test_a_selection_knows_the_words_of_its_documents_alone() -> None:
    """A word that is only elsewhere is no spelling of another one here."""

    class Spelled(Shelf):
        async def spellings(self, words: Collection[str]) -> dict[str, dict[str, int]]:
            return {word: {"leave": 2, "park": 1, "of": 2} for word in words}

        async def near(self, words: Collection[str]) -> dict[str, dict[str, int]]:
            return {word: {"visitors": 1} for word in words}

    index = Spelled(ANNUAL_LEAVE, SICK_LEAVE, PARKING)
    chunks = index.chunks
    first = Selection(index, chunks, {chunks[0].chunk_id})
    last = Selection(index, chunks, {chunks[2].chunk_id})

    assert await first.spellings(["x"]) == {"x": {"leave": 1, "of": 1}}
    assert await last.spellings(["x"]) == {"x": {"park": 1}}
    assert await first.near(["visitos"]) == {"visitos": {}}
    assert await last.near(["visitos"]) == {"visitos": {"visitors": 1}}


async def test_a_selection_holds_only_its_documents() -> None:
    """Its words weigh by its own chunks."""
    index = Shelf(ANNUAL_LEAVE, SICK_LEAVE, PARKING)
    chunks = index.chunks
    selection = Selection(index, chunks, {chunks[2].chunk_id})

    found = await selection.search_dense(FakeEncoder().encode_queries([ASKED])[0], 10)

    assert [chunk_id for chunk_id, _ in found] == [chunks[2].chunk_id]
    assert await selection.idf(["park"]) <= await selection.idf(["leave"])
