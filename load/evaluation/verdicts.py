"""Measure the product's check on sentences whose support by their passages is known from people or by construction.

Each sentence is checked as if it cited all its passages, in mode `drop`: what is sent was kept, the rest was blocked.
This measures the closed form, without a verifier model. Newly edited sentences (`load.evaluation.edits`) are included.
No threshold may be chosen on any of these: they show whether a change made things better or worse.

The set: 120 sentences of HAGRID, 60 copied from XQuAD, and 120 copies with one edit each. Source: Kamalloo et al.,
"HAGRID", 2023, arXiv:2307.16883; of XQuAD, `load.evaluation.xquad`.
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from load.evaluation.metrics import holds_answer, percentile
from load.evaluation.xquad import LANGUAGES, DataError, Language
from rag.index.lexical import LexicalIndex, build_lexical
from rag.text.language import words
from rag.types import Chunk, DraftSentence, Passage, RelevanceScale
from rag.verification import ZERO_TO_ONE, Inquiry, Policy, RequestCheck, Verifier
from rag.verification.support import Idf

COPY: Final = "copy"
# The passage of one copy ends before the sentence does: the sentence names a country that the passage does not.
CUT_COPY: Final = "copy, cut off in its passage"
FILE_NAME: Final = "regress.jsonl"
_MICROSECONDS: Final = 1e6


@dataclass(frozen=True, slots=True)
class LabelledSentence:
    """A sentence with its label; `kind` is the edit of a copy, or what people judged."""

    source: str
    language: Language
    kind: str
    is_supported: bool
    text: str
    passages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VerdictGroup:
    """The sentences of one kind; `right` counts those kept if they are supported, or blocked if not."""

    source: str
    language: Language
    kind: str
    is_supported: bool
    sentences: int
    right: int


@dataclass(frozen=True, slots=True)
class CheckTimes:
    """CPU times in microseconds: of the check of a sentence, and of reading its cited passages before."""

    check_p50_us: float
    check_p99_us: float
    reading_p50_us: float
    reading_p99_us: float


@dataclass(frozen=True, slots=True)
class VerdictQuality:
    """The results, with groups sorted by name; `thresholds` are those of the policy."""

    thresholds: dict[str, float]
    groups: tuple[VerdictGroup, ...]
    times: CheckTimes

    @property
    def has_judged(self) -> bool:
        """Whether sentences judged by people are included."""
        return bool(self._hagrid())

    @property
    def flagged_copies(self) -> int:
        """The blocked verbatim copies."""
        return sum(group.sentences - group.right for group in self.groups if group.kind == COPY)

    @property
    def blocked_supported(self) -> int:
        """The blocked supported sentences of HAGRID, whose labels are from people."""
        return sum(group.sentences - group.right for group in self._hagrid() if group.is_supported)

    @property
    def blocked_unsupported(self) -> int:
        """The blocked unsupported sentences of HAGRID."""
        return sum(group.right for group in self._hagrid() if not group.is_supported)

    def _hagrid(self) -> list[VerdictGroup]:
        return [group for group in self.groups if group.source == "HAGRID"]


@dataclass(frozen=True, slots=True)
class _Outcome:
    is_kept: bool
    reading_us: float
    check_us: float


def load_labelled(folder: Path) -> list[LabelledSentence]:
    """Read the labelled sentences.

    Raises: DataError: the file is missing or empty, or has another format.
    """
    path = folder / FILE_NAME
    try:
        with path.open(encoding="utf-8") as file:  # unlike `splitlines`, this ends lines at "\n" only
            sentences = [_read_row(json.loads(line)) for line in file]
    except FileNotFoundError as error:
        raise DataError(f"{folder} holds no {FILE_NAME}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not in the format of labelled sentences: {error!r}") from error
    if not sentences:
        raise DataError(f"{path} is empty")
    return sentences


async def measure_verdicts(sentences: Sequence[LabelledSentence], policy: Policy) -> VerdictQuality:
    """Measure the verdicts under the thresholds of this policy, whatever its mode.

    Words are weighted as in an index of all passages of their language.

    Raises: ValueError: there are no sentences.
    """
    idfs = {language: _weigh_words(sentences, language) for language in {each.language for each in sentences}}
    outcomes = [
        await _judge(number, each, policy, idfs[each.language]) for number, each in enumerate(sentences, start=1)
    ]
    check_us = [outcome.check_us for outcome in outcomes]
    reading_us = [outcome.reading_us for outcome in outcomes]
    return VerdictQuality(
        thresholds={
            "unsupported_below": policy.unsupported_below,
            "supported_from": policy.supported_from,
        },
        groups=tuple(_group(sentences, outcomes)),
        times=CheckTimes(
            check_p50_us=percentile(check_us, 50),
            check_p99_us=percentile(check_us, 99),
            reading_p50_us=percentile(reading_us, 50),
            reading_p99_us=percentile(reading_us, 99),
        ),
    )


async def _judge(number: int, sentence: LabelledSentence, policy: Policy, idf: Idf) -> _Outcome:
    """Check one sentence; `number` makes its chunk ids unique, so that no cached reading is used."""
    passages = [
        Passage(at, Chunk(f"labelled:{number}:v1:{at:05d}", str(number), "", text, 0, len(text), None, None, None))
        for at, text in enumerate(sentence.passages, start=1)
    ]
    draft = DraftSentence(sentence.text, tuple(passage.number for passage in passages))
    began = time.thread_time()
    check = _begin(sentence, policy, passages, idf)
    read = time.thread_time()
    verdict = await check.check(draft, [])
    ended = time.thread_time()
    return _Outcome(bool(verdict.sent), (read - began) * _MICROSECONDS, (ended - read) * _MICROSECONDS)


def _begin(sentence: LabelledSentence, policy: Policy, passages: Sequence[Passage], idf: Idf) -> RequestCheck:
    """Begin a check without a question: no sentence is replaced, so the ranking of quotations is irrelevant."""
    inquiry = Inquiry("", sentence.language, parts=(), passages=passages, idf=idf)
    return Verifier(RelevanceScale(0.0), ZERO_TO_ONE).begin(replace(policy, mode="drop"), inquiry)


def _group(sentences: Iterable[LabelledSentence], outcomes: Iterable[_Outcome]) -> list[VerdictGroup]:
    kept = defaultdict[tuple[str, Language, str, bool], list[bool]](list)
    for each, outcome in zip(sentences, outcomes, strict=True):
        kept[each.source, each.language, each.kind, each.is_supported].append(outcome.is_kept)
    return [VerdictGroup(*key, len(found), found.count(key[-1])) for key, found in sorted(kept.items())]


def _weigh_words(sentences: Iterable[LabelledSentence], language: Language) -> Idf:
    passages = dict.fromkeys(text for each in sentences if each.language == language for text in each.passages)
    with TemporaryDirectory() as folder:  # mapped files stay readable after removal
        build_lexical([words(text) for text in passages], Path(folder))
        return LexicalIndex.load(Path(folder)).idf


def _read_row(row: Mapping[str, object]) -> LabelledSentence:
    passages, label = row["passages"], row["label"]
    if not isinstance(passages, list) or not passages:
        raise TypeError("passages is no list of texts")
    if label not in {"supported", "unsupported"}:
        raise ValueError(f"unknown label {label!r}")
    kind = str(row["kind"])
    if kind == COPY and not holds_answer(" ".join(map(str, passages)), [str(row["sentence"])]):
        kind = CUT_COPY
    return LabelledSentence(
        source=str(row["source"]),
        language=LANGUAGES[LANGUAGES.index(row["lang"])],
        kind=kind,
        is_supported=label == "supported",
        text=str(row["sentence"]),
        passages=tuple(str(passage) for passage in passages),
    )
