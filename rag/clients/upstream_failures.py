"""Reduce another server's error message to what may appear in our log: no key, nothing of the prompt."""

import json
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

from rag.types import Message

LIMIT_CHARS: Final = 200
# The rest of a longer message is ignored.
_READ_CHARS: Final = 4096
_FIELDS: Final = ("type", "code", "status", "message", "msg", "detail", "reason")
_DEPTH: Final = 3
# Keys of known forms, what follows `Bearer`, strings masked by stars, and long opaque strings.
_SECRETS: Final = re.compile(
    r"sk-\S+|bearer\s+\S+|\S{0,64}\*{2,}\S*|(?<![\w\-+/=])(?=[\w\-+/=]*\d)[\w\-+/=]{32,}", re.IGNORECASE
)
# Escapes of JSON, Python, HTML and URLs: a string with an escape may be any word of the prompt.
_ESCAPE: Final = re.compile(r"\\\w|&#?\w+;|%[0-9a-f]{2}", re.IGNORECASE)
_WORD: Final = re.compile(r"[^\W_]+")
# What follows a word that may be cut off.
_CUT: Final = re.compile(r"['\"`)\]}]{0,4}(?:\.{2}|…|$)")
_GAPS: Final = re.compile(r"…(?:[^\w<>…]*…)+")
# Words of error messages that reveal nothing, even if the prompt contains them.
_KNOWN: Final = frozenset(
    _WORD.findall(
        """
        a above access account after again all allowed an and any api are as at available bad be because been below
        body by cannot chat check code completion completions content context could credit credits current currently
        deployment detail detected disabled does due error errors exceed exceeded exceeds exist exists expired failed
        field filter filtered for forbidden found from function has have header however id in input insufficient
        internal invalid is it key latency length less limit limited loaded loading long max maximum may message
        messages missing model models must name no not of on only or org organization out output overloaded parameter
        permission please policy prompt provided provider quota rate refused request requested requests required
        resource response retry server service should size state status stream such supported temperature than that
        the this time timeout to token tokens too try type unauthorized unavailable unknown unsupported upstream use
        user value was while with you your
        """
    )
)


class Redaction:
    """Describes failures of one request without what was sent with it; a request without a failure costs nothing."""

    def __init__(self, messages: Sequence[Message], secrets: Sequence[str]) -> None:
        self._messages = messages
        self._secrets = secrets

    def describe(self, failure: object) -> str:
        """Return type, code and message from parsed JSON of any shape, or from a text; at most 200 characters."""
        return self._clean(": ".join(dict.fromkeys(_read_texts(failure, _DEPTH)))) or "no reason given"

    def describe_body(self, body: bytes, content_type: str) -> str:
        """Describe a response body as `describe` does if it is JSON, else by its content type."""
        try:
            return self.describe(json.loads(body))
        except (ValueError, RecursionError):
            return self._clean(f"no JSON: {content_type.partition(';')[0] or 'no content type'}")

    def _clean(self, text: str) -> str:
        if len(text) > _READ_CHARS:
            text = text[:_READ_CHARS].rpartition(" ")[0]
        for secret in self._secrets:
            text = text.replace(secret, "<key>")
        text = _SECRETS.sub("<key>", text)
        text = " ".join("…" if _ESCAPE.search(part) else part for part in text.split())
        sent = {word.lower() for message in self._messages for word in _WORD.findall(message.content)} - _KNOWN
        in_order = sorted(sent)

        def keep(found: re.Match[str]) -> str:
            word = found[0].lower()
            is_quoted = word in sent or (_CUT.match(text, found.end()) is not None and _begins_one(word, in_order))
            return found[0] if word.isascii() and not is_quoted else "…"

        text = _WORD.sub(keep, text)
        text = "".join(char if char.isprintable() else " " for char in text)
        return _GAPS.sub("…", " ".join(text.split()))[:LIMIT_CHARS]


def _begins_one(word: str, in_order: Sequence[str]) -> bool:
    at = bisect_left(in_order, word)
    return word not in _KNOWN and at < len(in_order) and in_order[at].startswith(word)


def _read_texts(failure: object, depth: int) -> Iterator[str]:
    """Yield the texts that describe the failure; those of an inner `error` replace the outer ones."""
    if isinstance(failure, str):
        yield failure.strip()
    elif isinstance(failure, int) and not isinstance(failure, bool):
        yield str(failure)[:20]
    elif depth and isinstance(failure, list):
        yield from _read_texts(failure[0] if failure else None, depth - 1)
    elif depth and isinstance(failure, dict):
        inner = failure.get("error") or failure.get("errors")
        if inner:
            yield from _read_texts(inner, depth)
            return
        for field in _FIELDS:
            yield from _read_texts(failure.get(field), depth - 1)
