"""Check the sentences of a draft against passages, and repair by quotation. Entry: `Verifier.begin(…).check(…)`."""

from rag.verification.answering import LATE_INTERACTION, ZERO_TO_ONE, AnswerModel, PassageSigns, SentenceSigns
from rag.verification.asking import asked_words
from rag.verification.check import Alike, Inquiry, RequestCheck, Verifier
from rag.verification.judging import Entail, Reason
from rag.verification.policy import Mode, Policies, Policy
from rag.verification.ranking import Part, RankedQuote
from rag.verification.weights import WordWeights

__all__ = [
    "LATE_INTERACTION",
    "ZERO_TO_ONE",
    "Alike",
    "AnswerModel",
    "Entail",
    "Inquiry",
    "Mode",
    "Part",
    "PassageSigns",
    "Policies",
    "Policy",
    "RankedQuote",
    "Reason",
    "RequestCheck",
    "SentenceSigns",
    "Verifier",
    "WordWeights",
    "asked_words",
]
