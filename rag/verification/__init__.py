"""Sentence and passages → verdict; repair by quotation. One entry: `Verifier.begin(…).check(…)`."""

from rag.verification.check import Mode, RankedQuote, Reason, RequestCheck, Verifier
from rag.verification.sources import quotable

__all__ = ["Mode", "RankedQuote", "Reason", "RequestCheck", "Verifier", "quotable"]
