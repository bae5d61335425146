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


@pytest.mark.parametrize("value", ["x", "demo:d:v1:00001", "{chunk_id}", "\n", "\x00", "..", "x" * 10_000])
def test_a_parameter_is_one_segment(value: str) -> None:
    """Whatever stands in it, the route's name is the pattern: the labels of logs and metrics are a closed set."""
    route = find_route(f"/chunks/{value}")

    assert route is not None
    assert route.path == "/chunks/{chunk_id}"


@pytest.mark.parametrize("path", ["/chunks", "/chunks/", "/chunks/a/b", "/chunks/../..", "/chunks//", "//chunks/a"])
def test_a_parameter_is_neither_empty_nor_two_segments(path: str) -> None:
    """A slash in it, encoded or not, makes it another path."""
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
    assert sorted(LOGGED) == [
        "/chunks/{chunk_id}",
        "/documents",
        "/documents/{document_id}",
        "/jobs/{job_id}",
        "/mcp",
        "/query",
        "/query/stream",
        "/search",
        "/v1/chat/completions",
        "/v1/query",
    ]
