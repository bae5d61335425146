"""The HTTP side of the service: routes, one query's exchange, and the edge that keeps every answer to the contract."""

from rag.api.app import create_app
from rag.api.edge import ContractEdge
from rag.api.exchange import QueryDesk
from rag.api.readiness import Probe

__all__ = ["ContractEdge", "Probe", "QueryDesk", "create_app"]
