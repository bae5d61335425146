"""Answer CORS requests: which origins' pages may read our responses in a browser, as set by `RAG_CORS_ORIGINS`.

CORS credentials are never allowed: keys and tokens are headers that a page sets itself, and we use no cookies. We do
not use Starlette's middleware, because it answers preflights of unknown paths and refuses in plain text.
Source: WHATWG Fetch, section 3.3, "CORS protocol".
"""

import re
from collections.abc import Collection, Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response

ANY_ORIGIN: Final = "*"
# A browser sends a preflight for each page and path; every browser allows its answer to be kept for 10 minutes.
_MAX_AGE_S: Final = 600
_EXPOSED: Final = "x-trace-id, retry-after"
# Client libraries send headers of their own, which we ignore, so every well-formed list of header names is allowed.
# Source: RFC 9110, section 5.6.2 (token).
_HEADER_NAMES: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,2048}")


class CrossOrigin:
    """The CORS policy; without allowed origins it adds no headers to responses."""

    def __init__(self, origins: Collection[str]) -> None:
        """Create the policy from origins such as `https://example.org`, or `*` for all."""
        self._origins = frozenset(origins)

    def headers_for(self, request: Headers) -> list[tuple[str, str]]:
        """Return the headers to add to every response, errors included, so that a page can read the error too."""
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
        """Return the response to a preflight from an allowed origin; None for any other request."""
        if method != "OPTIONS" or "access-control-request-method" not in request or not self._allows(request):
            return None
        headers = {"access-control-allow-methods": ", ".join(methods), "access-control-max-age": str(_MAX_AGE_S)}
        asked = request.get("access-control-request-headers", "")
        if _HEADER_NAMES.fullmatch(asked):
            headers["access-control-allow-headers"] = asked
        return Response(status_code=204, headers=headers)

    def refuses(self, request: Headers) -> bool:
        """Return whether the request comes from a page of an origin that is not allowed.

        Programs send no `Origin`. The request's own `Host` is no excuse: after DNS rebinding a foreign page has it too.
        """
        return "origin" in request and not self._allows(request)

    def _allows(self, request: Headers) -> bool:
        origin = request.get("origin")
        return origin is not None and (ANY_ORIGIN in self._origins or origin.lower() in self._origins)
