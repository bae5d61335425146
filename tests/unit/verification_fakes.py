"""Shared by the verification tests: three passages, a check of drafts on them, and a ranking of their statements."""

from collections.abc import Sequence

from rag.text.language import detect_language
from rag.types import Chunk, DraftSentence, Passage, RelevanceScale, Verdict
from rag.verification import ZERO_TO_ONE, Entail, Inquiry, Mode, Part, Policy, RankedQuote, RequestCheck, Verifier
from rag.verification.sources import quotables, read_source
from rag.verification.support import read_claim

FLOOR = 0.5
DECLINE = "The documents do not contain an answer to this question."
LEAVE = (
    "Annual leave\n"
    "Full-time staff have 12 days of annual leave per year. Part-time staff have 6 days. "
    "Unused days expire on 31 March of the following year."
)
PROBATION = "The probation period lasts 60 days. During probation Ms. Linh Tran reviews the work every month."
REMOTE = "Remote work is allowed on two days a week. It needs the consent of the manager."
LEAVE_VI = "Nhân viên toàn thời gian có 12 ngày nghỉ phép năm. Nhân viên bán thời gian có 6 ngày."


def make_passages(*texts: str, heading: str | None = None) -> list[Passage]:
    return [
        Passage(n, Chunk(f"demo:doc:v1:{n:05d}", "doc", "Title", text, 0, len(text), None, None, heading))
        for n, text in enumerate(texts, start=1)
    ]


PASSAGES = make_passages(LEAVE, PROBATION, REMOTE)


def flat_idf(words: Sequence[str]) -> list[float]:
    return [1.0] * len(words)


def begin(
    *,
    mode: Mode = "repair",
    passages: Sequence[Passage] = PASSAGES,
    question: str = "How many days of leave do full-time staff have?",
    entail: Entail | None = None,
) -> RequestCheck:
    parts = [Part(question, [])]
    inquiry = Inquiry(question, detect_language(question), parts, passages, flat_idf, decline=DECLINE, entail=entail)
    return Verifier(RelevanceScale(FLOOR), ZERO_TO_ONE).begin(Policy(mode), inquiry)


def rank(passages: Sequence[Passage] = PASSAGES, *, best: float = 1.0, probability: float = 0.4) -> list[RankedQuote]:
    """All quotable sentences in the order of the passages, each a little less relevant than the one before."""
    asked = read_claim("How many days of leave do full-time staff have?", flat_idf)
    found = [(each, each.quote(asked, seeks_list=False)) for each in quotables(map(read_source, passages))]
    return [
        RankedQuote(
            quote=shown[0],
            sent=shown[1].sent,
            keys=frozenset((each.statement.key,)),
            language=each.language,
            relevance=best - 0.01 * at,
            probability=probability,
        )
        for at, (each, shown) in enumerate(found)
        if shown
    ]


async def verdict_of(
    text: str, *markers: int, check: RequestCheck | None = None, quotes: Sequence[RankedQuote] | None = None
) -> Verdict:
    return await (check or begin()).check(DraftSentence(text, markers), rank() if quotes is None else quotes)


def sources(verdict: Verdict) -> list[int]:
    return [quote.passage.number for quote in verdict.quotes]
