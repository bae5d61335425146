"""What the evaluation says of the two fitted models: shares of questions, with weights of other articles."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from load.evaluation.calibration import calibrate
from load.evaluation.everyday.questions import EverydayPart, EverydayQuestion
from load.evaluation.everyday.situations import EVERYDAY, NO_DOCUMENT, NO_PASSAGE, observe_everyday
from load.evaluation.fitting import fit
from load.evaluation.retrieval import KnownVectors, LocalScorer, RetrievalStages
from load.evaluation.selection import Selection
from load.evaluation.situations import WHOLE, Observatory, QuotableSentence, Sight, Situation
from load.evaluation.xquad import Paragraph, Question, QuestionSet
from rag.backends.fake import FakeEncoder, overlap
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

    def chunks(self, ordinals: Sequence[int]) -> list[Chunk]:
        return [replace(chunk, document_id=f"d{chunk.chunk_id[-1]}") for chunk in super().chunks(ordinals)]


async def test_a_question_is_observed_with_and_without_its_paragraph() -> None:
    """The paragraph that holds the answer is not among the passages of the unanswerable one."""
    texts = (ANNUAL_LEAVE, SICK_LEAVE, PARKING)
    index = Shelf(*texts)
    chunks = index.chunks(range(len(texts)))
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


def test_a_selection_holds_only_its_documents() -> None:
    """Its words weigh by its own chunks."""
    index = Shelf(ANNUAL_LEAVE, SICK_LEAVE, PARKING)
    chunks = index.chunks([0, 1, 2])
    selection = Selection(index, chunks, {chunks[2].chunk_id})

    assert [at for at, _ in selection.search_dense(FakeEncoder().encode_queries([ASKED])[0], 10)] == [2]
    assert selection.idf(["park"])[0] <= selection.idf(["leave"])[0]
