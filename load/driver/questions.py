"""Choose the questions of a load, from a file or the built-in ones, so that caches do not answer them all."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, get_args

from load.driver.built_in import BACKGROUND, OPENINGS, QUESTIONS
from load.driver.scenarios import Language, Length
from load.evaluation.xquad import DataError, load_questions
from schemas.request import QUESTION_MAX_CHARS

LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
BACKGROUND_SENTENCES: Final = 8

Pool = Mapping[Language, Sequence[str]]


def read_pool(path: Path | None) -> Pool:
    """Read a folder of XQuAD files, or a file with a JSON object `{"question", "language"}` a line (default: English).

    Without a path, return the built-in questions.

    Raises: DataError: the path cannot be read as that, or has no questions.
    """
    if path is None:
        return QUESTIONS
    if path.is_dir():
        return {language: [each.text for each in load_questions(path, language).questions] for language in LANGUAGES}
    pool: dict[Language, list[str]] = {language: [] for language in LANGUAGES}
    try:
        for line in path.read_text("utf-8").splitlines():
            asked = json.loads(line)
            pool[asked.get("language", "en")].append(str(asked["question"]))
    except (OSError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise DataError(f"{path} is no file of questions, one JSON object a line: {error!r}") from error
    if not any(pool.values()):
        raise DataError(f"{path} has no questions")
    return pool


class Deck:
    """Deals the questions of a pool in random order; later rounds deal the same questions, each with a new prefix."""

    def __init__(self, pool: Pool, rng: random.Random) -> None:
        self._pool = pool
        self._rng = rng
        self._left: dict[Language, list[str]] = {language: [] for language in pool}
        self._rounds = dict.fromkeys(pool, 0)
        self._dealt: dict[Length, list[tuple[Language, str]]] = {"short": [], "long": []}

    def deal(self, length: Length, languages: Sequence[Language], repeated: float) -> str:
        """Return a new question in one of these languages or, in the share `repeated` of the calls, an earlier one."""
        before = [text for language, text in self._dealt[length] if language in languages]
        if before and self._rng.random() < repeated:
            return self._rng.choice(before)
        known = [language for language in languages if self._pool.get(language)]
        if not known:
            raise DataError(f"there are no questions in {' or '.join(languages)}")
        language = self._rng.choice(known)
        text = self._draw(language)
        if length == "long":
            background = self._rng.sample(BACKGROUND[language], BACKGROUND_SENTENCES)
            text = " ".join([*background, text])
        text = text[-QUESTION_MAX_CHARS:]
        self._dealt[length].append((language, text))
        return text

    def _draw(self, language: Language) -> str:
        left = self._left[language]
        if not left:
            left += self._rng.sample(self._pool[language], len(self._pool[language]))
            self._rounds[language] += 1
        text = left.pop()
        if self._rounds[language] == 1:
            return text
        return OPENINGS[language].format(number=self._rng.randrange(10**6)) + text
