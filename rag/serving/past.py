"""Applications of services whose own paths go past BentoML's middleware."""

from starlette.types import ASGIApp, Receive, Scope, Send


def past_middleware(server: ASGIApp, ours: ASGIApp, prefixes: tuple[str, ...]) -> ASGIApp:
    """Return an application that gives requests for paths with these prefixes to `ours`, and all others to `server`.

    BentoML's middleware took 6 ms of CPU time for a stream of 100 pieces that took 0.5 ms without it, and its
    `traffic.timeout` ends what may take longer.
    """

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        is_ours = scope["type"] == "http" and scope["path"].startswith(prefixes)
        await (ours if is_ours else server)(scope, receive, send)

    return route
