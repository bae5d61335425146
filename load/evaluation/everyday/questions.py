"""Load the everyday questions: JSON Lines beside the documents that they are about."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from load.evaluation.xquad import DataError, Language
from rag.ingestion.sources import Findings, Source, find_sources
from schemas.request import Turn

FOLDER: Final = Path(__file__).resolve().parent

Answerable = Literal[
    "fact", "table", "list", "negation", "law", "yesno", "version", "multi", "folded", "typo", "across"
]
# The documents do not answer the first; the second is no question at all.
Unanswerable = Literal["unanswerable", "chat"]
Kind = Literal[Answerable, Unanswerable]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

# What a follow-up is to the question before it: another thing is asked the same, a pronoun stands for something,
# something else is asked about the same; or it needs no history at all.
Follows = Literal["contrast", "pronoun", "aspect", "standalone"]

PartName = Literal["tuning", "held-out"]
PART_NAMES: Final[tuple[PartName, ...]] = get_args(PartName)

Asked = TypeVar("Asked", bound="EverydayQuestion")
Text = Annotated[str, Field(min_length=1)]


class EverydayQuestion(BaseModel):
    """A question; answers must meet one alternative of each group of `facts`, and are wrong with one of `never`."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    question_id: Text = Field(alias="id")
    kind: Kind
    language: Language = Field(alias="lang")
    text: Text = Field(alias="question")
    document: Text | None = None
    facts: tuple[Annotated[tuple[Text, ...], Field(min_length=1)], ...] = ()
    never: tuple[Text, ...] = ()
    note: str = ""

    @property
    def is_answerable(self) -> bool:
        return self.kind not in get_args(Unanswerable)


class FollowUpQuestion(EverydayQuestion):
    """A question after earlier turns."""

    follows: Follows
    history: Annotated[tuple[Turn, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class EverydayPart:
    """One part of the questions, with the documents that they are about."""

    name: PartName
    sources: tuple[Source, ...]
    questions: tuple[EverydayQuestion, ...]
    follow_ups: tuple[FollowUpQuestion, ...] = ()


def load_parts(folder: Path = FOLDER) -> list[EverydayPart]:
    """Load the parts that exist, in order.

    Raises: DataError: a file has another format, or a question names a missing document.
    """
    return [_load_part(name, place) for name in PART_NAMES if (place := folder / name.replace("-", "_")).is_dir()]


def _load_part(name: PartName, folder: Path) -> EverydayPart:
    found = find_sources([folder / "documents"])
    path = folder / "questions.jsonl"
    if not path.is_file():
        raise DataError(f"{path} is not there")
    questions = tuple(_read_line(path, number, line, EverydayQuestion) for number, line in _lines(path))
    _check(path, questions, found)
    follow_ups: tuple[FollowUpQuestion, ...] = ()
    if (later := folder / "followups.jsonl").is_file():
        follow_ups = tuple(_read_line(later, number, line, FollowUpQuestion) for number, line in _lines(later))
        _check(later, follow_ups, found)
    # The name of the part distinguishes documents of the same name.
    sources = tuple(Source(each.path, f"{name}.{each.document_id}") for each in found.sources)
    return EverydayPart(name, sources, questions, follow_ups)


def _lines(path: Path) -> list[tuple[int, str]]:
    return [(number, line) for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1) if line.strip()]


def _read_line(path: Path, number: int, line: str, kind: type[Asked]) -> Asked:
    try:
        return kind.model_validate(json.loads(line))
    except (ValidationError, ValueError) as error:
        raise DataError(f"{path}:{number} is no everyday question: {error}") from error


def _check(path: Path, questions: Sequence[EverydayQuestion], found: Findings) -> None:
    if found.failed or found.skipped or not questions:
        raise DataError(f"{path}: no questions, or documents of unknown kinds: {found.failed} {found.skipped}")
    if len({each.question_id for each in questions}) < len(questions):
        raise DataError(f"{path}: two questions have one id")
    documents = {source.path.name for source in found.sources}
    for each in questions:
        if each.is_answerable != bool(each.facts):
            raise DataError(f"{path}: {each.question_id} is {each.kind} and has {len(each.facts)} facts")
        if each.document is not None and each.document not in documents:
            raise DataError(f"{path}: {each.question_id} is about {each.document}, which is not there")
