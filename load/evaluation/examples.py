"""Choose answers to read: no share tells whether an answer is one that a person would want."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from load.evaluation.asking import Reply
from load.evaluation.judging import Judgement, judge
from load.evaluation.tables import render_table
from rag.types import Chunk
from schemas.response import QueryResponse, TraceSentence

MAX_EXAMPLES: Final = 12  # of good ones and of bad ones


@dataclass(frozen=True, slots=True)
class Example:
    """One question and its outcome; `flaw` is None if the answer is good."""

    question: str
    gold: tuple[str, ...]
    answer: str
    verdicts: tuple[str, ...]
    flaw: str | None


@dataclass(frozen=True, slots=True)
class Examples:
    """Some of the good answers and some of the bad; `of_good` and `of_bad` count those that were available."""

    good: tuple[Example, ...]
    bad: tuple[Example, ...]
    of_good: int
    of_bad: int


def choose_examples(replies: Sequence[Reply], chunks: Mapping[str, Chunk]) -> Examples:
    """Choose examples at equal distances, or all if there are few: not the best, the worst or the first."""
    examples = [_describe(reply, chunks) for reply in replies]
    good = [example for example in examples if example.flaw is None]
    bad = [example for example in examples if example.flaw is not None]
    return Examples(tuple(_spread(good)), tuple(_spread(bad)), len(good), len(bad))


def render_examples(language: str, examples: Examples) -> str:
    """Return Markdown: the good answers, then the bad ones with their flaws."""
    header = ["question", "gold answer", "answer", "verdicts"]
    good = render_table(header, [_cells(each) for each in examples.good])
    bad = render_table([*header, "what is wrong"], [[*_cells(each), each.flaw or ""] for each in examples.bad])
    return (
        f"# Answers, {language}\n\n"
        f"## Good: {len(examples.good)} of {examples.of_good}\n\n{good}\n\n"
        f"## Bad: {len(examples.bad)} of {examples.of_bad}\n\n{bad}\n"
    )


def _describe(reply: Reply, chunks: Mapping[str, Chunk]) -> Example:
    question, response = reply.question, reply.response
    if response is None:
        return Example(question.text, question.answers, "", (), f"error: {reply.error}")
    verdicts = tuple(map(_name_verdict, response.trace.sentences)) if response.trace else ()
    flaw = _find_flaw(response, judge(response, question, chunks))
    return Example(question.text, question.answers, response.answer, verdicts, flaw)


def _find_flaw(response: QueryResponse, judgement: Judgement) -> str | None:
    if judgement.fault:
        return judgement.fault
    if judgement.answered:
        return None
    if not judgement.in_context:
        return "no passage of the context holds the gold answer"
    if response.finish_reason == "no_answer":
        return "a passage of the context holds the gold answer, and there is no answer"
    if not judgement.cited:
        return "a passage of the context holds the gold answer, and none that is cited"
    return "a cited chunk holds the gold answer, and another part of it was chosen"


def _name_verdict(sentence: TraceSentence) -> str:
    reason = f": {sentence.reason}" if sentence.reason else ""
    support = f" ({sentence.support:.2f})" if sentence.support is not None else ""
    return f"{sentence.verdict}{reason}{support}"


def _spread(examples: Sequence[Example]) -> Iterable[Example]:
    size = min(MAX_EXAMPLES, len(examples))
    return (examples[at * len(examples) // size] for at in range(size))


def _cells(example: Example) -> list[str]:
    return [example.question, " / ".join(example.gold), example.answer, "; ".join(example.verdicts)]
