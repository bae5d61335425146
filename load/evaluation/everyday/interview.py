"""Ask the everyday questions of a real server that has the documents of all parts, and save its replies."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from load.evaluation.answers import NoAnswersError
from load.evaluation.asking import Reply, ask_all
from load.evaluation.corpus import Corpus
from load.evaluation.everyday.followups import ask_follow_ups, measure_follow_ups, render_follow_ups_to_read
from load.evaluation.everyday.pages import render_answers_to_read
from load.evaluation.everyday.quality import EverydayQuality, Graded, grade_replies, measure_everyday
from load.evaluation.everyday.questions import EverydayPart
from load.evaluation.serving import PATIENT, serving
from load.evaluation.xquad import Question
from rag.index.store import IndexStore
from rag.ingestion.ingest import Ingestion


class EverydayInterview:
    """One index, one server, and two files with the answers of each part.

    `folder` takes the files `everyday-<part>.md` and `.jsonl`. They are separate so that a person who tunes the service
    on one part does not read the other.
    """

    def __init__(self, parts: Sequence[EverydayPart], folder: Path) -> None:
        self._parts = parts
        self._folder = folder
        self._corpus = Corpus(folder / "everyday")

    def ingest(self, make_ingestion: Callable[[IndexStore], Ingestion]) -> None:
        """Make the index hold the documents of all parts.

        Raises: BrokenIndexError: the index is damaged; FileNotFoundError: a model is not on this machine.
        """
        self._corpus.ingest([source for part in self._parts for source in part.sources], make_ingestion)

    async def run(
        self, asked: Sequence[str], environment: Mapping[str, str], url: str | None
    ) -> dict[str, EverydayQuality]:
        """Ask the questions of the parts with these names; without a URL, start a patient server.

        Raises: ServerError: it does not become ready; NoAnswersError: it answered no question of a part.
        """
        found: dict[str, EverydayQuality] = {}
        ours, log_folder = {**PATIENT, **environment}, self._folder / "server-everyday"
        with serving(self._corpus.index_dir, log_folder, ours, url) as base_url:
            for part in self._parts:
                if part.name in asked:
                    graded = grade_replies(part, await _ask(base_url, part))
                    self._save(part.name, graded)
                    measured = measure_everyday(part.name, graded)
                    if part.follow_ups:
                        asked_on = await ask_follow_ups(base_url, part)
                        path = self._folder / f"everyday-{part.name}-follow-ups.md"
                        path.write_text(render_follow_ups_to_read(asked_on), "utf-8")
                        measured = replace(measured, follow_ups=measure_follow_ups(asked_on))
                    found[part.name] = measured
        return found

    def _save(self, name: str, graded: Sequence[Graded]) -> None:
        (self._folder / f"everyday-{name}.md").write_text(render_answers_to_read(name, graded), "utf-8")
        lines = (json.dumps(_describe(each), ensure_ascii=False) for each in graded)
        (self._folder / f"everyday-{name}.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")


async def _ask(url: str, part: EverydayPart) -> list[Reply]:
    questions = [Question(each.question_id, each.text, each.document or "", ()) for each in part.questions]
    with tqdm(total=len(questions), desc=f"asking everyday questions, {part.name}", unit="question") as bar:
        replies = await ask_all(url, questions, lambda: bar.update(1))
    if not any(reply.response for reply in replies):
        raise NoAnswersError(f"the server answered none of {len(replies)} everyday questions: {replies[0].error}")
    return replies


def _describe(graded: Graded) -> dict[str, object]:
    response = graded.reply.response
    return {
        **graded.question.model_dump(mode="json", by_alias=True),
        "verdict": graded.outcome,
        "met": graded.grade.met if graded.grade else None,
        "error": graded.reply.error,
        "response": response.model_dump() if response else None,
    }
