"""Compare drafts with quotations alone: the everyday tuning part, asked of servers with the local model and without.

Questions are asked one at a time, as a stream, so that the times are those of a single user.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from load.driver.planning import Ask
from load.driver.progress import Progress, showing
from load.evaluation.answers import NoAnswersError
from load.evaluation.corpus import TENANT, Corpus
from load.evaluation.everyday.grading import grade
from load.evaluation.everyday.quality import OUTCOMES, Outcome
from load.evaluation.everyday.questions import EverydayPart, EverydayQuestion
from load.evaluation.metrics import percentile
from load.evaluation.serving import PATIENT, serving
from load.evaluation.tables import render_table
from load.gate.asking import open_deployment
from load.gate.pairs import Reply
from rag.config.settings import LOCAL_GENERATOR

# The headings of the columns, and the generator of each.
WAYS: Final[Mapping[str, str]] = {"by quotation": "none", f"drafted by {LOCAL_GENERATOR}": LOCAL_GENERATOR}
# Above the deadline of a patient server.
_TIMEOUT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Way:
    """The outcomes of all questions, and the median times of those that did not fail."""

    outcomes: Mapping[Outcome, int]
    first_p50_s: float
    whole_p50_s: float


async def compare_ways(
    part: EverydayPart, corpus: Corpus, folder: Path, environment: Mapping[str, str]
) -> dict[str, Way]:
    """Measure both ways, one server after the other; `corpus` holds the documents, `folder` takes the servers' logs.

    Raises: ServerError: a server does not become ready; NoAnswersError: one answered no question.
    """
    found = {}
    for name, generator in WAYS.items():
        ours = {**PATIENT, **environment, "RAG_GENERATOR_MODEL": generator}
        ours.pop("RAG_GENERATOR_URL", None)
        log_folder = folder / f"server-drafting-{generator.partition(':')[0]}"
        with serving(corpus.index_dir, log_folder, ours) as url:
            found[name] = measure_way(part.questions, await ask_in_turn(url, part.questions, name))
    return found


async def ask_in_turn(url: str, questions: Sequence[EverydayQuestion], name: str) -> list[Reply]:
    """Ask the questions one by one; the first is asked once before, uncounted, to warm up."""
    asks = [
        Ask(0.0, f"drafting-{number}", "stream", {"question": question.text, "tenant_id": TENANT})
        for number, question in enumerate([questions[0], *questions])
    ]
    async with (
        open_deployment(url, None, timeout_s=_TIMEOUT_S, patience_s=0.0) as deployment,
        showing(progress := Progress(f"asking, {name}", len(asks))),
    ):
        return [await deployment.ask(ask, progress) for ask in asks][1:]


def measure_way(questions: Sequence[EverydayQuestion], replies: Sequence[Reply]) -> Way:
    """Measure the answers of one way.

    Raises: NoAnswersError: all of them are errors.
    """
    whole = [each for each in replies if each.response is not None]
    if not whole:
        raise NoAnswersError(f"the server answered none of {len(replies)} everyday questions")
    firsts_s = [each.ttft_s for each in whole if each.ttft_s is not None]
    outcomes = Counter(_judge(question, each) for question, each in zip(questions, replies, strict=True))
    return Way(outcomes, percentile(firsts_s, 50), percentile([each.e2e_s for each in whole], 50))


def render_ways(ways: Mapping[str, Way]) -> str:
    """Render the outcomes and the times side by side."""
    rows = [[outcome, *(str(way.outcomes.get(outcome, 0)) for way in ways.values())] for outcome in OUTCOMES]
    rows.append(["first text, p50, s", *(f"{way.first_p50_s:.2f}" for way in ways.values())])
    rows.append(["whole answer, p50, s", *(f"{way.whole_p50_s:.2f}" for way in ways.values())])
    return render_table(["everyday questions, tuning", *ways], rows)


def _judge(question: EverydayQuestion, reply: Reply) -> Outcome:
    response = reply.response
    return grade(question, response.answer, response.finish_reason).verdict if response else "failed"
