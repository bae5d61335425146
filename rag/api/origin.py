"""Where this service is to be found, for the addresses in its answers.

By `RAG_PUBLIC_URL`; without it by the request itself, whose `Host` anybody can make up. It goes into answers to this
request alone, and only if it is a plain name or address with a port.
"""

import re
from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

_HOST: Final = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9.])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
)
_OWN_NAME: Final = re.compile(r"(?:localhost|[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_UNKNOWN: Final = "localhost"


def find_base_url(scope: Scope, public_url: str | None) -> str:
    """Return the address below which the paths of the API are, without a slash at its end."""
    if public_url is not None:
        return public_url
    scheme = "https" if scope.get("scheme") == "https" else "http"
    host = Headers(scope=scope).get("host", "")
    return f"{scheme}://{host if _HOST.fullmatch(host) else _own_address(scope)}"


def _own_address(scope: Scope) -> str:
    """Return the address on which the request arrived."""
    name, port = scope.get("server") or (_UNKNOWN, None)
    address = f"[{name}]" if ":" in name else name
    with_port = address if port is None else f"{address}:{port}"
    return with_port if _HOST.fullmatch(with_port) else _UNKNOWN


def is_own_page(headers: Headers, public_url: str | None, allowed: Collection[str] = ()) -> bool:
    """Return whether a request comes from no page, from the service's own, or from one of an allowed origin.

    Only a name that nobody else can have counts as ours: the public address, this machine, or an address in numbers. Of
    any other name a foreign site could let its own point here (DNS rebinding), and its pages would be ours.
    """
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    if origin.lower() in allowed:
        return True
    if public_url is not None and origin.lower() == "/".join(public_url.split("/")[:3]).lower():
        return True
    _, _, authority = origin.partition("://")
    return authority == headers.get("host", "") and _OWN_NAME.fullmatch(authority) is not None
