"""The table of routes: a path is known by it or not at all, whatever a client writes."""

import pytest

from rag.api.routes import LOGGED, ROUTES, find_route


def test_every_path_without_a_parameter_finds_its_own_route() -> None:
    """No route stands in the way of another."""
    plain = [route for route in ROUTES if not route.has_parameter]

    assert [find_route(route.path) for route in plain] == plain


def test_no_path_is_listed_twice() -> None:
    """Of two entries one would be without effect."""
    assert len({route.path for route in ROUTES}) == len(ROUTES)


@pytest.mark.parametrize("path", ["", "//", "/query/", "/QUERY", "/query\n", "/queryx", "query", "/query/stream/x"])
def test_nothing_but_the_path_itself_is_the_path(path: str) -> None:
    """Neither another case, nor a slash or a line break more."""
    assert find_route(path) is None


def test_what_answers_for_another_path_is_ours_and_there() -> None:
    """`handled_as` names a path of our own application."""
    stand_ins = [route for route in ROUTES if route.handled_as]

    for route in stand_ins:
        handler = find_route(route.handled_as or "")
        assert handler is not None
        assert handler.is_ours
        assert route.is_ours
        assert set(route.methods) <= set(handler.methods)


def test_queries_are_logged_and_the_rest_is_not() -> None:
    """One line for each request to one of these, refused ones included."""
    assert sorted(LOGGED) == ["/query", "/query/stream", "/search", "/v1/query"]
