"""Checks real responses against the OpenAPI document, strictly: they may contain nothing that it does not describe."""

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx
from openapi_schema_validator import OAS31Validator

from schemas.errors import ErrorCode
from tests.asgi import SentEvent

Json = dict[str, Any]  # Any: a document


class Description:
    """One OpenAPI document."""

    def __init__(self, document: Json) -> None:
        self.document = document
        self.paths: Final[Json] = document["paths"]
        self._components = _closed(document["components"])

    def operations(self) -> Iterator[tuple[str, str, Json]]:
        """Method, path and operation."""
        for path, item in self.paths.items():
            for method, operation in item.items():
                yield method.upper(), path, operation

    def resolve(self, described: Json) -> Json:
        """What a reference stands for, or the thing itself."""
        if "$ref" not in described:
            return described
        found: Any = self.document
        for part in described["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        resolved: Json = found
        return resolved

    def problems(self, schema: Json, value: object) -> list[str]:
        """Where the value breaks the schema."""
        validator = OAS31Validator({**schema, "components": self._components})
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]

    def check_response(self, response: httpx.Response) -> None:
        """Status, media type, headers and JSON body are as described for this method and path."""
        operation = self._item(response.request.url.path)[response.request.method.lower()]
        self.check_as(operation["responses"][str(response.status_code)], response)

    def _item(self, path: str) -> Json:
        """The paths of the document may hold parameters."""
        if path in self.paths:
            found: Json = self.paths[path]
            return found
        (item,) = (self.paths[each] for each in self.paths if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", each), path))
        return dict(item)

    def check_as(self, described: Json, response: httpx.Response) -> None:
        for name, reference in described["headers"].items():
            header = self.resolve(reference)["schema"]
            text = response.headers[name]
            value = int(text) if header.get("type") == "integer" else text
            assert self.problems(header, value) == [], name
        media_type = response.headers["content-type"].partition(";")[0]
        content = described["content"][media_type]
        if media_type == "application/json" and content:
            assert self.problems(content["schema"], response.json()) == []

    def check_event(self, event: SentEvent) -> None:
        """The event is one of those described, and its data is as described for its name."""
        (described,) = (each for each in self.events() if each["properties"]["event"]["const"] == event.name)
        assert self.problems(described["properties"]["id"], str(event.id)) == []
        assert self.problems(described["properties"]["data"]["contentSchema"], event.data) == []

    def events(self) -> list[Json]:
        """Each kind of event, as it looks on the wire."""
        described: list[Json] = self.document["components"]["schemas"]["StreamEvent"]["oneOf"]
        return described


def codes_of(response: Mapping[str, Any]) -> set[ErrorCode]:
    """The codes that an error response may carry."""
    _, narrowed = response["content"]["application/json"]["schema"]["allOf"]
    return {ErrorCode(code) for code in narrowed["properties"]["error"]["properties"]["code"]["enum"]}


def references(described: object) -> Iterator[str]:
    """Every reference in a document, wherever it stands."""
    if isinstance(described, dict):
        if isinstance(described.get("$ref"), str):
            yield described["$ref"]
        for value in described.values():
            yield from references(value)
    elif isinstance(described, list):
        for value in described:
            yield from references(value)


def _closed(components: Json) -> Json:
    """With no room for properties that are not named."""
    closed = copy.deepcopy(components)
    for schema in closed["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return closed
