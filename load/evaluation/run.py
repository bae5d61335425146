"""Run the parts of an evaluation: ingest, rank all questions in this process, ask a real server a sample."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from pathlib import Path
from typing import Final

import httpx
from tqdm import tqdm

from load.evaluation.answers import AnswerQuality, measure_answers
from load.evaluation.asking import Reply, ask_all, draw_sample
from load.evaluation.bilingual import MixedQuestions
from load.evaluation.calibration import Calibrations, calibrate
from load.evaluation.corpus import Corpus
from load.evaluation.everyday.questions import EverydayPart
from load.evaluation.everyday.situations import observe_everyday
from load.evaluation.examples import Examples, choose_examples
from load.evaluation.judging import judge
from load.evaluation.local_models import open_encoder, open_scorer
from load.evaluation.retrieval import (
    KnownVectors,
    LocalScorer,
    RankingQualities,
    RetrievalStages,
    measure_retrieval,
)
from load.evaluation.serving import serving
from load.evaluation.situations import Observatory, Situation
from load.evaluation.xquad import Language, QuestionSet
from rag import models
from rag.config.settings import Settings
from rag.index.embedded import EmbeddedIndex
from rag.index.files import FileEngine
from rag.index.store import IndexStore
from rag.ingestion.command import Terminal
from rag.ingestion.ingest import Ingestion
from rag.types import Chunk
from rag.verification import LATE_INTERACTION

# The name of each run of retrieval, the language of its questions, and that of its documents.
DIRECTIONS: Final[Sequence[tuple[str, Language, Language]]] = (
    ("en", "en", "en"),
    ("vi", "vi", "vi"),
    ("vi-en", "vi", "en"),
)
MIXED_SAMPLE: Final = 200


@dataclass(frozen=True, slots=True)
class Part:
    """The questions of one language and the documents that answer them."""

    questions: QuestionSet
    corpus: Corpus


Parts = Mapping[Language, Part]


def ingest_by(settings: Settings) -> Callable[[IndexStore], Ingestion]:
    """Return the factory for `Corpus.ingest`, which raises FileNotFoundError if a model is not on this machine."""
    model, terminal = settings.embedder_model, Terminal()
    return lambda store: Ingestion(
        FileEngine(store),
        terminal,
        lambda: models.describe(model),
        lambda: open_encoder(model),
        keeps_tokens=settings.keeps_tokens,
    )


def ingest_all(parts: Parts, settings: Settings) -> None:
    """Bring the index of each language up to date.

    Raises: BrokenIndexError: an index is damaged; FileNotFoundError: a model is not on this machine.
    """
    for part in parts.values():
        part.corpus.ingest(part.corpus.write(part.questions.paragraphs), ingest_by(settings))


def open_stages(parts: Parts, settings: Settings) -> RetrievalStages:
    """Open the first half of the pipeline in this process, and embed all questions.

    Raises: FileNotFoundError: a model is not on this machine.
    """
    texts = sorted({question.text for part in parts.values() for question in part.questions.questions})
    Terminal().tell(f"embedding {len(texts)} questions")
    return RetrievalStages(
        embedder=KnownVectors(open_encoder(settings.embedder_model), texts),
        scorer=LocalScorer(open_scorer(settings.reranker_model)),
        scale=models.relevance_scale(models.locate(settings.reranker_model, weights=False)),
        retrieve_k=settings.retrieve_k,
        rerank_k=settings.rerank_k,
    )


async def rank_all(parts: Parts, stages: RetrievalStages) -> dict[str, RankingQualities]:
    """Measure retrieval in each direction, by name."""
    measured = {}
    for name, language, documents in DIRECTIONS:
        index = EmbeddedIndex(parts[documents].corpus.open_index())
        questions = tqdm(parts[language].questions.questions, desc=f"ranking {name}", unit="question")
        measured[name] = await measure_retrieval(((each, index) for each in questions), stages)
    return measured


async def rank_mixed(
    parts: Parts, stages: RetrievalStages, settings: Settings, corpus: Corpus
) -> dict[str, RankingQualities]:
    """Measure retrieval in a bilingual index in which only a passage in the other language answers.

    `vi-(en)`: asked in Vietnamese, answered by an English passage among passages of both languages.
    """
    measured = {}
    for asked, other in permutations(parts, 2):
        mixed = MixedQuestions(parts[asked].questions, parts[other].questions)
        corpus.ingest(corpus.write(mixed.paragraphs), ingest_by(settings))
        index = corpus.open_index()
        questions = tqdm(mixed.sample(MIXED_SAMPLE), desc=f"ranking {asked}-({other})", unit="question")
        asked_of = mixed.put(questions, EmbeddedIndex(index), list(index.chunk_file))
        measured[f"{asked}-({other})"] = await measure_retrieval(asked_of, stages)
    return measured


async def calibrate_all(
    parts: Parts, everyday: EverydayPart | None, stages: RetrievalStages, settings: Settings, corpus: Corpus
) -> Calibrations | None:
    """Measure how well the service recognises what answers, and whether anything does.

    Returns None for a reranker without fitted weights. `everyday` is the part that may be used for fitting; `corpus`
    takes its documents.

    Raises: FileNotFoundError: a model is not on this machine.
    """
    folder = models.locate(settings.reranker_model, weights=False)
    if models.is_cross_encoder(folder):
        return None
    observatory = Observatory(stages, LATE_INTERACTION)
    situations: list[Situation] = []
    for part in parts.values():
        index = part.corpus.open_index()
        questions = tqdm(part.questions.questions, desc=f"observing {part.questions.language}", unit="question")
        chunks = list(index.chunk_file)
        situations += await observatory.observe(part.questions, questions, EmbeddedIndex(index), chunks)
    if everyday:
        corpus.ingest(everyday.sources, ingest_by(settings))
        index = corpus.open_index()
        asked = tqdm(everyday.questions, desc="observing everyday questions", unit="question")
        chunks = list(index.chunk_file)
        situations += await observe_everyday(observatory, everyday, asked, EmbeddedIndex(index), chunks)
    return calibrate(situations, LATE_INTERACTION, settings.answerable_from)


@dataclass(frozen=True, slots=True)
class Findings:
    """The results of an interview; `models` is the server's reply about its models."""

    quality: AnswerQuality
    examples: Examples
    models: object


class Interview:
    """Asks the server of one language, and saves its replies."""

    def __init__(self, part: Part, folder: Path) -> None:
        self._part = part
        self._folder = folder
        self._language = part.questions.language

    async def run(self, size: int, environment: Mapping[str, str]) -> Findings:
        """Start a server and ask it a sample.

        Raises: ServerError: it does not become ready; NoAnswersError: it answered no question.
        """
        log_folder = self._folder / f"server-{self._language}"
        with serving(self._part.corpus.index_dir, log_folder, environment) as url:
            async with httpx.AsyncClient(base_url=url) as client:
                answering: object = (await client.get("/models/current")).raise_for_status().json()
            sample = draw_sample(self._part.questions.questions, size)
            with tqdm(total=len(sample), desc=f"asking {self._language}", unit="question") as bar:
                replies = await ask_all(url, sample, lambda: bar.update(1))
        chunks = {chunk.chunk_id: chunk for chunk in self._part.corpus.open_index().chunk_file}
        self._save(replies, chunks)
        return Findings(measure_answers(replies, chunks), choose_examples(replies, chunks), answering)

    def _save(self, replies: Sequence[Reply], chunks: Mapping[str, Chunk]) -> None:
        """Write one line per question, to explain the shares."""
        with (self._folder / f"answers-{self._language}.jsonl").open("w", encoding="utf-8") as file:
            for reply in replies:
                line: dict[str, object] = {
                    "question": reply.question.text,
                    "gold": reply.question.answers,
                    "error": reply.error,
                }
                if reply.response is not None:
                    line["judgement"] = asdict(judge(reply.response, reply.question, chunks))
                    line["response"] = reply.response.model_dump()
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
