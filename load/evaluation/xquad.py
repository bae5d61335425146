"""Read the questions and their paragraphs: XQuAD, English and Vietnamese, parallel paragraph by paragraph.

Source: Artetxe, Ruder, Yogatama, "On the Cross-lingual Transferability of Monolingual Representations", ACL 2020.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal, get_args

Language = Literal["en", "vi"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)


class DataError(Exception):
    """The set cannot be read; the message names the file."""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A text of the set, which becomes one document."""

    document_id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the document that answers it, and the accepted answers as they stand in the text of its language."""

    question_id: str
    text: str
    document_id: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """The paragraphs and the questions of one language."""

    language: Language
    paragraphs: tuple[Paragraph, ...]
    questions: tuple[Question, ...]


def load_questions(folder: Path, language: Language) -> QuestionSet:
    """Read `xquad.<language>*.json`; document ids number the paragraphs, so both languages have the same ids.

    Raises: DataError: there is no such file, or more than one, or it has another format.
    """
    paths = sorted(folder.glob(f"xquad.{language}*.json"))
    if len(paths) != 1:
        raise DataError(f"{folder} holds {len(paths)} files xquad.{language}*.json, not one")
    paragraphs: list[Paragraph] = []
    questions: list[Question] = []
    try:
        for article in json.loads(paths[0].read_text("utf-8"))["data"]:
            title = article["title"].replace("_", " ")
            for paragraph in article["paragraphs"]:
                document_id = f"p{len(paragraphs) + 1:04d}"
                paragraphs.append(Paragraph(document_id, title, paragraph["context"]))
                questions += [_read_question(each, document_id) for each in paragraph["qas"]]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{paths[0]} is not in the format of SQuAD 1.1: {error!r}") from error
    return QuestionSet(language, tuple(paragraphs), tuple(questions))


def check_parallel(sets: Sequence[QuestionSet]) -> None:
    """Check that the sets are parallel.

    Raises: DataError: a question belongs to different paragraphs in two languages, or is missing in one.
    """
    for first, second in pairwise(sets):
        if _places(first.questions) != _places(second.questions):
            raise DataError(f"the questions in {first.language} and {second.language} are not parallel")


def _read_question(raw: dict[str, object], document_id: str) -> Question:
    answers = raw["answers"]
    if not isinstance(answers, list):
        raise TypeError("answers is no list")
    texts = tuple(dict.fromkeys(answer["text"] for answer in answers))
    return Question(str(raw["id"]), str(raw["question"]), document_id, texts)


def _places(questions: Sequence[Question]) -> dict[str, str]:
    return {question.question_id: question.document_id for question in questions}
