"""Grade an answer to an everyday question by what it must and must not contain."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from load.evaluation.citations import MARKER, split_sentences
from load.evaluation.everyday.questions import EverydayQuestion

Verdict = Literal["right", "partly", "wrong", "wrongly refused", "should have refused", "rightly refused"]

# The beginning of the service's notice that an older edition of a document says otherwise.
OLDER_VERSION_NOTICES: Final = ("An older edition, “", "Bản cũ hơn, “")

# Characters that are read alike get one form; marks of emphasis and code are removed.
_ALIKE: Final = str.maketrans({"–": "-", "‑": "-", "−": "-", "’": "'", "“": '"', "”": '"', "*": None, "`": None})
# A comma or a full stop before exactly three digits; thin and fixed spaces count as the same.
_THOUSANDS: Final = re.compile("(?<=[0-9])[.,\u00a0\u2009\u202f](?=[0-9]{3}(?![0-9]))")
_SPACED_PERCENT: Final = re.compile("(?<=[0-9]) %")


@dataclass(frozen=True, slots=True)
class Grade:
    """The grade of an answer; `met` is by group of facts, `found_never` are the forbidden strings in it."""

    verdict: Verdict
    met: tuple[bool, ...] = ()
    found_never: tuple[str, ...] = ()


def is_older_version_notice(sentence: str) -> bool:
    """Return whether the sentence is the service's notice that an older edition says otherwise."""
    return sentence.startswith(OLDER_VERSION_NOTICES)


def grade(question: EverydayQuestion, answer: str, finish_reason: str) -> Grade:
    """Grade an answer; forbidden strings are allowed in a notice of an older edition."""
    is_refused = finish_reason == "no_answer"
    if not question.is_answerable:
        return Grade("rightly refused" if is_refused else "should have refused")
    if is_refused:
        return Grade("wrongly refused", (False,) * len(question.facts))
    said = fold(answer)
    met = tuple(any(_stands_in(said, each) for each in group) for group in question.facts)
    current = fold("\n".join(each for each in split_sentences(answer) if not is_older_version_notice(each)))
    found_never = tuple(each for each in question.never if _stands_in(current, each))
    return Grade(_judge(met, found_never), met, found_never)


def fold(text: str) -> str:
    """Return one form of a text: NFC, case-folded, without citation markers, thousands separators and emphasis."""
    joined = _THOUSANDS.sub("", MARKER.sub(" ", unicodedata.normalize("NFC", text)))
    spaced = " ".join(unicodedata.normalize("NFC", joined.casefold().translate(_ALIKE)).split())
    return _SPACED_PERCENT.sub("%", spaced)


def holds_fact(text: str, wanted: str) -> bool:
    """Return whether the text holds one alternative of a fact."""
    return _stands_in(fold(text), wanted)


def _judge(met: Iterable[bool], found_never: Iterable[str]) -> Verdict:
    outcomes = set(met)
    if any(found_never) or True not in outcomes:
        return "wrong"
    return "partly" if False in outcomes else "right"


def _stands_in(folded: str, wanted: str) -> bool:
    """Return whether the phrase is there as whole words and figures: "14.5" holds no "14", "1/12 days" no "12 days"."""
    phrase = fold(wanted)
    before = r"(?<!\w)(?<![0-9][.,/])" if phrase[:1].isdigit() else r"(?<!\w)"
    after = r"(?!\w)(?![.,/][0-9])" if phrase[-1:].isdigit() else r"(?!\w)"
    return re.search(before + re.escape(phrase) + after, folded) is not None
