"""Define the messages that the model services exchange with the front service and with batch jobs."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Item(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Pair(_Item):
    """A question and the window `passage[start:end]` to score; the rest of the passage serves as context.

    The first `head` characters of the passage (title and headings) are scored together with every window.
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
    """A claim (`hypothesis`) and the text that should support it (`premise`)."""

    premise: str
    hypothesis: str


class ServedModel(_Item):
    """The weights that a model service answers with; `dimension` is 0 for a model that makes no vectors."""

    name: str
    revision: str
    dimension: int


class ChatMessage(_Item):
    role: Literal["system", "user", "assistant"]
    content: str


class Completion(_Item):
    """One conversation of a batch job, to be completed with greedy decoding."""

    messages: list[ChatMessage] = Field(min_length=1)
    max_tokens: int = Field(default=512, ge=1)
