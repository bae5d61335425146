"""An index whose passages say the same in two languages: what is searched for a question, and what answers it."""

from collections.abc import Sequence

from load.evaluation.bilingual import MixedQuestions
from load.evaluation.retrieval import KnownVectors, LocalScorer, RetrievalStages, measure_retrieval
from load.evaluation.xquad import Paragraph, Question, QuestionSet
from rag.engines.fake import FakeEncoder, overlap
from rag.types import Chunk, RelevanceScale
from schemas.services import Pair
from tests.fakes import FakeIndex, make_chunk

ENGLISH = QuestionSet(
    "en",
    (Paragraph("p0001", "Leave", "staff have 12 days of leave"), Paragraph("p0002", "Parking", "visitors park behind")),
    (Question("q1", "how many days of leave", "p0001", ("12 days",)),),
)
VIETNAMESE = QuestionSet(
    "vi",
    (Paragraph("p0001", "Phép", "nhân viên có 12 ngày phép, days"), Paragraph("p0002", "Xe", "khách gửi xe phía sau")),
    (Question("q1", "bao nhiêu ngày phép", "p0001", ("12 ngày",)),),
)


class Shelf(FakeIndex):
    """Each paragraph a document of its own id."""

    def __init__(self, paragraphs: list[Paragraph]) -> None:
        super().__init__(*(each.text for each in paragraphs))
        self._chunks = [
            make_chunk(each.text, number, document_id=each.document_id) for number, each in enumerate(paragraphs)
        ]

    @property
    def chunk_file(self) -> list[Chunk]:
        return self._chunks


class Overlap:
    """Scores by shared words."""

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        return [overlap(pair.question, pair.passage[pair.start : pair.end]) for pair in pairs]


def test_both_directions_are_asked_of_the_same_documents() -> None:
    """So one index serves both, and is made once."""
    asked_in_english = MixedQuestions(ENGLISH, VIETNAMESE)

    assert [each.document_id for each in asked_in_english.paragraphs] == [
        "en.p0001",
        "en.p0002",
        "vi.p0001",
        "vi.p0002",
    ]
    assert MixedQuestions(VIETNAMESE, ENGLISH).paragraphs == asked_in_english.paragraphs


async def test_a_question_is_answered_by_the_other_language_alone() -> None:
    """The passage in its own language would be found first; it is left out, and its neighbours are not."""
    mixed = MixedQuestions(ENGLISH, VIETNAMESE)
    index = Shelf(mixed.paragraphs)
    (question,) = mixed.sample(10)
    stages = RetrievalStages(
        KnownVectors(FakeEncoder()), LocalScorer(Overlap()), RelevanceScale(0.0), retrieve_k=10, rerank_k=10
    )

    ((asked, selection),) = mixed.put([question], index, index.chunk_file)
    ranked = await stages.rank(asked.text, selection)
    measured = await measure_retrieval([(asked, selection)], stages)

    assert question.document_id == "vi.p0001"
    assert set(ranked["dense"]) == {"en.p0002", "vi.p0001", "vi.p0002"}
    assert measured["BM25"].recall_at_1 == 1.0
