"""Which edition of a document is valid, according to its own text."""

import pytest

from rag.text.editions import family_of, names_edition, read_edition
from rag.types import Chunk, Passage
from rag.verification.sources import quotables, read_source
from rag.verification.superseding import Superseded, find_older, find_superseded

OLD, NEW = "Travel policy 2024", "Travel policy 2026"


@pytest.mark.parametrize(
    ("title", "text", "edition"),
    [
        ("Policy", "Effective from 1 April 2026. It replaces …", "2026-04-01"),
        ("Policy", "Effective date: March 3, 2025", "2025-03-03"),
        ("Quy chế", "Có hiệu lực từ ngày 01/03/2025, thay thế quy chế cũ.", "2025-03-01"),
        ("Quy chế", "có hiệu lực kể từ ngày 1 tháng 6 năm 2025", "2025-06-01"),
        ("Travel policy 2024", "Nothing more is said.", "2024"),
        ("Handbook version 2.1", "Text.", "v0002.0001"),
        ("Notes", "This note replaces the last one.", "v9999"),
        ("Notes", "Text.", ""),
    ],
)
def test_a_document_says_how_old_it_is(title: str, text: str, edition: str) -> None:
    """By the date from which it holds, a year or a version in its title, or that it replaces another."""
    assert read_edition(title, text) == edition


def test_editions_sort_by_age() -> None:
    """A date after a year alone, a version by its numbers."""
    assert sorted(["2026-04-01", "2024", "2025-12-31"]) == ["2024", "2025-12-31", "2026-04-01"]
    assert read_edition("Rules v10", "") > read_edition("Rules v9", "")


def test_titles_that_differ_in_dates_alone_are_of_one_family() -> None:
    """And those of two products are not."""
    assert family_of("Travel policy 2024") == family_of("Travel policy (version 2, March 2026)")
    assert family_of("Quy định làm việc từ xa 2023") == family_of("Quy định làm việc từ xa năm 2025")
    assert family_of("Alder 300 manual") != family_of("Alder 500 manual")


def test_a_question_may_name_an_edition() -> None:
    """By its year, or by its number."""
    assert names_edition("What did the 2024 policy say?", "2024-02-01")
    assert not names_edition("What does the policy say?", "2024-02-01")
    assert names_edition("What is in version 2.1?", "v0002.0001")


def make_passages(newer: str = "2026-04-01") -> list[Passage]:
    texts = (
        (
            OLD,
            "For journeys in your own car we pay 40 pence a mile. Advances are paid by Finance on request.",
            "2024-02-01",
        ),
        (NEW, "For journeys in your own car we pay 45 pence a mile. Hotels cost £175 at most.", newer),
    )
    return [
        Passage(n, Chunk(f"demo:{n}:v1:00001", f"doc{n}", title, text, 0, len(text), None, None, None, edition=edition))
        for n, (title, text, edition) in enumerate(texts, start=1)
    ]


def supersede(question: str, *, newer: str = "2026-04-01") -> Superseded:
    sources = [read_source(passage) for passage in make_passages(newer)]
    return find_superseded(find_older(question, sources), quotables(sources))


def test_what_the_newer_edition_says_otherwise_no_longer_holds() -> None:
    """The rest of the older one does."""
    found = supersede("What is paid per mile?")

    assert {key.partition(" we ")[2]: each.text for key, each in found.by.items()} == {
        "pay 40 pence a mile": "For journeys in your own car we pay 45 pence a mile."
    }
    assert [each.source.passage.number for each in found.contradicts.values()] == [1]


def test_a_question_that_names_the_older_edition_gets_it() -> None:
    """It asks for what was."""
    assert not supersede("What was paid per mile in 2024?").by


def test_a_version_is_not_newer_than_a_date() -> None:
    """Nobody can say which of the two holds, so both are quoted; a document that replaces the other holds."""
    assert not supersede("What is paid per mile?", newer="v0002").by
    assert supersede("What is paid per mile?", newer="v9999").by
