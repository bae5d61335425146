"""What the model services exchange with the front and with batch jobs."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Item(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Pair(_Item):
    """A question and a window of a passage: `passage[start:end]` is scored, the rest of the passage is its context.

    The first `head` characters, a title and headings, are scored with every window.
    """

    question: str
    passage: str
    start: int = Field(default=0, ge=0)
    end: int | None = Field(default=None, ge=0, description="null: to the end of the passage")
    head: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _check_window(self) -> "Pair":
        end = len(self.passage) if self.end is None else self.end
        if not self.start <= end <= len(self.passage):
            raise ValueError("the window lies outside the passage")
        return self


class Entailment(_Item):
    """A claim and the text that should carry it."""

    premise: str
    hypothesis: str


class QuestionTokens(_Item):
    """The vectors of a question's tokens: row by row `dim` 8-bit values, each row to be multiplied with its scale."""

    values: str = Field(description="base64 of int8, (tokens, dim)")
    scales: list[float]


class ServedModel(_Item):
    """Which weights a model service answers with; `dimension` is 0 for what makes no vectors."""

    name: str
    revision: str
    dimension: int


class ChatMessage(_Item):
    role: Literal["system", "user", "assistant"]
    content: str


class Completion(_Item):
    """One conversation of a batch job, to be completed greedily."""

    messages: list[ChatMessage] = Field(min_length=1)
    max_tokens: int = Field(default=512, ge=1)
