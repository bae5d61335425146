"""`rag ask` and `rag search`: one question to a running service, and what it says, for people at a terminal."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from textwrap import indent
from typing import Any, Final

import click
import httpx

from schemas.request import OUTPUT_TOKENS_MAX, OUTPUT_TOKENS_MIN, SEARCH_TOP_K_MAX, TOP_K_MAX

DEFAULT_URL: Final = "http://127.0.0.1:3000"
# The server's own deadline of a stream is 60 s by default; between two of its lines it lets 15 s pass.
TIMEOUT: Final = httpx.Timeout(30.0, connect=5.0)


class ServiceError(click.ClickException):
    """What the service, or the way to it, said instead of an answer; exit status 1."""

    def show(self, file: Any = None) -> None:
        """Print the error as one line on stderr."""
        click.echo(f"rag: {self.message}", file=file or sys.stderr)


def _read_pairs(_: click.Context, __: click.Parameter, given: Sequence[str]) -> dict[str, list[str]]:
    """Gather `key=value`: values of one key are alternatives."""
    pairs: dict[str, list[str]] = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not (key and equals and value):
            raise click.BadParameter(f"{each!r} is not key=value")
        pairs.setdefault(key, []).append(value)
    return pairs


_COMMON: Final = (
    click.argument("question"),
    click.option("--url", envvar="ASK_URL", default=DEFAULT_URL, show_default=True, help="The service; also ASK_URL."),
    click.option("--tenant", default="demo", show_default=True, metavar="T", help="Whose documents are asked."),
    click.option(
        "--api-key", envvar="ASK_API_KEY", metavar="K", help="Better given as ASK_API_KEY: lists of processes show it."
    ),
    click.option(
        "--document", "documents", multiple=True, metavar="ID", help="Only from this document; repeat for several."
    ),
    click.option(
        "--metadata",
        multiple=True,
        metavar="KEY=VALUE",
        callback=_read_pairs,
        help="Only from documents with this value; repeat a key for other values, and other keys for all of them.",
    ),
)


def _takes_a_question(command: Callable[..., None]) -> Callable[..., None]:
    """Add the argument and the options that every command of this file takes."""
    for add in reversed(_COMMON):
        command = add(command)
    return command


@click.command()
@_takes_a_question
@click.option("--top-k", type=click.IntRange(1, TOP_K_MAX), help="Passages that the answer may rest on.")
@click.option(
    "--max-output-tokens", type=click.IntRange(OUTPUT_TOKENS_MIN, OUTPUT_TOKENS_MAX), help="Length of a draft."
)
def ask(question: str, url: str, api_key: str | None, **given: Any) -> None:  # Any: the options of _make_body
    """Ask QUESTION and print the answer with its sources.

    The answer goes to stdout as it comes, then one paragraph for each source. The exit status is 0 also if the
    documents do not have the answer, and 1 if the service failed.
    """
    body = _make_body(question, **given)
    citations = []
    for event, data in _stream(f"{url.rstrip('/')}/query/stream", body, api_key):
        match event:
            case "token":
                click.echo(data["text"], nl=False)
            case "citation":
                citations.append(data)
            case "error":
                click.echo()
                raise ServiceError(f"{data['code']}: {data['message']} (trace id {data['trace_id']})")
            case "done":
                click.echo()
                for citation in citations:
                    click.echo(f"\n[{citation['source_id']}] {_describe(citation)}\n    {citation['quote']}")
                return
    click.echo()
    raise ServiceError("the stream broke off before its end")


@click.command()
@_takes_a_question
@click.option("--top-k", type=click.IntRange(1, SEARCH_TOP_K_MAX), help="Passages to print.")
def search(question: str, url: str, api_key: str | None, **given: Any) -> None:  # Any: the options of _make_body
    """Print the passages that are nearest to QUESTION, without an answer.

    One paragraph for each passage, best first: its relevance, source, chunk id and text. The exit status is 1 if the
    service failed.
    """
    with _open(f"{url.rstrip('/')}/search", _make_body(question, **given), api_key) as response:
        results = json.loads(response.read())["results"]
    for number, found in enumerate(results):
        relevance = "" if found["relevance"] is None else f"{found['relevance']:.3f} "
        click.echo(f"{'' if number == 0 else chr(10)}{relevance}{_describe(found)} {found['chunk_id']}")
        click.echo(indent(found["text"], "    "))


def _make_body(
    question: str, *, tenant: str, documents: Sequence[str], metadata: Mapping[str, Sequence[str]], **bounds: int | None
) -> dict[str, object]:
    """Return the request with what was given: the service has its own defaults."""
    conditions = {"document_ids": list(documents), "metadata": metadata}
    filters = {name: value for name, value in conditions.items() if value}
    optional = {**bounds, "filters": filters}
    return {"question": question, "tenant_id": tenant, **{name: value for name, value in optional.items() if value}}


def _stream(url: str, body: dict[str, object], api_key: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the data of each event.

    Raises: ServiceError: as `_open`.
    """
    with _open(url, body, api_key) as response:
        event = ""
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "data":
                yield event, json.loads(value)


@contextmanager
def _open(url: str, body: dict[str, object], api_key: str | None) -> Iterator[httpx.Response]:
    """Send the request, and provide the response while it comes.

    Raises: ServiceError: the service refused the request, cannot be reached, or broke off.
    """
    headers = {"x-api-key": api_key} if api_key else {}
    try:
        with (
            httpx.Client(timeout=TIMEOUT) as client,
            client.stream("POST", url, json=body, headers=headers) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise ServiceError(_explain(response))
            yield response
    except httpx.ConnectError as error:
        raise ServiceError(f"nothing answers at {url}; `make serve` or `bentoml serve` starts a service") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServiceError(f"{url}: {error or type(error).__name__}") from error


def _explain(response: httpx.Response) -> str:
    """Return the service's own words; those of something else that answers there are left out."""
    response.read()
    try:
        error = response.json()["error"]
        fields = [f"{field['path']} {field['reason']}".strip() for field in error.get("fields") or []]
        return "; ".join([f"{error['code']}: {error['message']}", *fields]) + f" (trace id {error['trace_id']})"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{response.request.url} answered {response.status_code}, and not as this service does"


def _describe(source: Mapping[str, Any]) -> str:
    """Return a citation or a passage as people cite it: title, pages, document."""
    first, last = source["page_start"], source["page_end"]
    pages = "" if first is None else f", page {first}" if first == last else f", pages {first}-{last}"
    printed = f" (printed {source['page_label']})" if source.get("page_label") else ""
    return f"{source['title']}{pages}{printed} ({source['document_id']})"
