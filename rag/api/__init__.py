"""Serve HTTP: the routes, the handling of queries, and the edge that makes every response follow the contract."""

from rag.api.app import create_app
from rag.api.edge import ContractEdge
from rag.api.exchange import QueryDesk
from rag.api.readiness import Probe

__all__ = ["ContractEdge", "Probe", "QueryDesk", "create_app"]
