"""Parse model references as they appear in settings, and decide whether one is pinned to one set of weights."""

from dataclasses import dataclass
from typing import Final, Literal

UNPINNED_REVISIONS: Final = frozenset({"main", "master", "HEAD"})


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A reference to a model: `bento:<tag>`, `hf:<repo>[@revision]`, `path:<dir>` or `fake:`."""

    kind: Literal["bento", "hf", "path", "fake"]
    name: str
    revision: str | None

    @classmethod
    def parse(cls, text: str) -> "ModelRef":
        """Parse a reference.

        Raises: ValueError: the text has none of the four forms.
        """
        kind, colon, rest = text.partition(":")
        if kind == "fake" and colon:
            return cls("fake", rest or "fake", "1")
        separator = {"bento": ":", "hf": "@", "path": "\0"}.get(kind)
        if separator is None or not rest:
            raise ValueError("is no model reference")
        name, parted, revision = rest.partition(separator)
        if not name or (parted and not revision):
            raise ValueError("is no model reference")
        return cls(kind, name, revision or None)  # type: ignore[arg-type]  # a key of the mapping above

    @property
    def pinned(self) -> bool:
        """Whether this reference always means the same weights."""
        if self.kind == "path":
            return True
        return self.revision is not None and self.revision not in UNPINNED_REVISIONS | {"latest"}
