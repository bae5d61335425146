"""A principal may use its own tenants and no others; without identities there is one tenant for everybody."""

import pytest

from rag.errors import Forbidden
from rag.identity import OPEN_TENANT, OpenAuthenticator, Principal


def test_a_principal_may_use_only_its_tenants() -> None:
    """The request chooses among them; it never grants one."""
    principal = Principal("p", frozenset({"acme"}))
    principal.require("acme")

    with pytest.raises(Forbidden):
        principal.require("demo")


def test_no_list_of_tenants_means_all() -> None:
    """`["*"]` in the identities file."""
    Principal("p", None).require("anything")


async def test_an_open_service_knows_one_principal_for_the_tenant_demo() -> None:
    """Credentials are neither needed nor looked at."""
    principal = await OpenAuthenticator().authenticate({"x-api-key": "whatever"})

    assert principal.tenants == frozenset({OPEN_TENANT})
