"""The Gateway API as deploy/kubernetes/gateway uses it: all fields that its files have, and no other one.

No package that can be pinned here has the schemas of the Gateway API. These stand for them, with the bounds of the
standard channel's v1.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class Metadata(Strict):
    name: Name
    namespace: Name
    labels: dict[str, str]


class Secret(Strict):
    name: Name


class Tls(Strict):
    mode: Literal["Terminate"]
    certificate_refs: Annotated[list[Secret], Field(min_length=1, max_length=64)]


class LabelSelector(Strict):
    match_labels: dict[str, str]


class Namespaces(Strict):
    from_: Annotated[Literal["Selector"], Field(alias="from")]
    selector: LabelSelector


class AllowedRoutes(Strict):
    namespaces: Namespaces


class Listener(Strict):
    name: Name
    protocol: Literal["HTTPS"]
    port: Port
    hostname: Name
    tls: Tls
    allowed_routes: AllowedRoutes


class GatewaySpec(Strict):
    gateway_class_name: Name
    listeners: Annotated[list[Listener], Field(min_length=1, max_length=64)]


class Gateway(Strict):
    api_version: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["Gateway"]
    metadata: Metadata
    spec: GatewaySpec


class Parent(Strict):
    name: Name
    namespace: Name
    section_name: Name


class Path(Strict):
    type: Literal["Exact", "PathPrefix"]
    value: Annotated[str, Field(pattern="^/", max_length=1024)]


class Header(Strict):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")]
    value: Annotated[str, Field(min_length=1, max_length=4096)]


class Match(Strict):
    path: Path
    headers: Annotated[list[Header], Field(max_length=16)] = []


class Timeouts(Strict):
    request: Annotated[str, Field(pattern=r"^([0-9]{1,5}(h|m|s|ms)){1,4}$")]


class Backend(Strict):
    name: Name
    port: Port
    weight: Annotated[int, Field(ge=0, le=1_000_000)] = 1


class Rule(Strict):
    matches: Annotated[list[Match], Field(min_length=1, max_length=64)]
    timeouts: Timeouts
    backend_refs: Annotated[list[Backend], Field(min_length=1, max_length=16)]


class RouteSpec(Strict):
    parent_refs: Annotated[list[Parent], Field(min_length=1, max_length=32)]
    hostnames: Annotated[list[Name], Field(min_length=1, max_length=16)]
    rules: Annotated[list[Rule], Field(min_length=1, max_length=16)]


class HttpRoute(Strict):
    api_version: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["HTTPRoute"]
    metadata: Metadata
    spec: RouteSpec
