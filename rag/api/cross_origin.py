"""Which pages of other origins may read the answers in a browser, by `RAG_CORS_ORIGINS`.

Never with credentials in the sense of CORS: keys and tokens are headers, which a page has to know, and no cookie means
anything here. Own code instead of Starlette's middleware, which answers preflights of unknown paths and refuses in
plain text.
Source: WHATWG Fetch, section 3.3, "CORS protocol".
"""

import re
from collections.abc import Collection, Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response

ANY_ORIGIN: Final = "*"
# A browser asks again for each page and path; 10 minutes is what all browsers keep at most, or more.
_MAX_AGE_S: Final = 600
_EXPOSED: Final = "x-trace-id, retry-after"
# Client libraries send headers of their own, which mean nothing to us: what is asked for is allowed, if it is a list of
# names. Source: RFC 9110, section 5.6.2 (token).
_HEADER_NAMES: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,2048}")


class CrossOrigin:
    """Adds nothing to any answer where no origin is allowed."""

    def __init__(self, origins: Collection[str]) -> None:
        """Origins as `https://example.org`, or `*` for all."""
        self._origins = frozenset(origins)

    def headers_for(self, request: Headers) -> list[tuple[str, str]]:
        """What every response to this request has to say, an error too: else the page cannot tell one from another."""
        if not self._origins:
            return []
        if ANY_ORIGIN in self._origins:
            return [("access-control-allow-origin", ANY_ORIGIN), ("access-control-expose-headers", _EXPOSED)]
        if not self._allows(request):
            return [("vary", "origin")]
        return [
            ("access-control-allow-origin", request["origin"]),
            ("access-control-expose-headers", _EXPOSED),
            ("vary", "origin"),
        ]

    def answer_preflight(self, method: str, request: Headers, methods: Sequence[str]) -> Response | None:
        """The answer to a browser that asks whether a page may send a request; None where this is no such question."""
        if method != "OPTIONS" or "access-control-request-method" not in request or not self._allows(request):
            return None
        headers = {"access-control-allow-methods": ", ".join(methods), "access-control-max-age": str(_MAX_AGE_S)}
        asked = request.get("access-control-request-headers", "")
        if _HEADER_NAMES.fullmatch(asked):
            headers["access-control-allow-headers"] = asked
        return Response(status_code=204, headers=headers)

    def _allows(self, request: Headers) -> bool:
        origin = request.get("origin")
        return origin is not None and (ANY_ORIGIN in self._origins or origin.lower() in self._origins)
