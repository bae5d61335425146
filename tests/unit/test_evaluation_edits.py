"""Edited sentences: each differs from a sentence of its paragraph only in what its kind names."""

import pytest

from load.evaluation.edits import (
    AFFIRMED,
    CUT,
    EXCHANGED,
    MOVED,
    NEGATED,
    OTHER_FIGURE,
    OTHER_NAME,
    SOURCE,
    make_edits,
)
from load.evaluation.verdicts import COPY
from load.evaluation.xquad import Language, Paragraph, QuestionSet

EN = (
    "In the spring of 1899, the engineers of Siemens met the envoys of Krupp in a hotel in Vienna. "
    "The talks of 1901 with Daimler did not bring any agreement about the price."
)
VI = (
    "Nhà khoa học Albert Einstein đã gặp giáo sư Marie Curie ở một hội nghị. "
    "Thành phố Hải Phòng có 12 quận và huyện, đông dân thứ ba cả nước."
)


def edits(text: str, language: Language = "en") -> dict[str, list[str]]:
    made = make_edits(QuestionSet(language, (Paragraph("p0001", "Title", text),), ()))
    assert {each.source for each in made} == {SOURCE}
    kinds = dict.fromkeys(each.kind for each in made)
    return {kind: [each.text for each in made if each.kind == kind] for kind in kinds}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (CUT, "The engineers of Siemens met the envoys of Krupp in a hotel in Vienna."),
        (
            MOVED,
            "The engineers of Siemens met the envoys of Krupp in a hotel in Vienna in the spring of 1899.",
        ),
        (AFFIRMED, "The talks of 1901 with Daimler did bring any agreement about the price."),
        (
            OTHER_FIGURE,
            "In the spring of 1901, the engineers of Siemens met the envoys of Krupp in a hotel in Vienna.",
        ),
        (OTHER_NAME, "In the spring of 1899, the engineers of Daimler met the envoys of Krupp in a hotel in Vienna."),
        (EXCHANGED, "In the spring of 1899, the engineers of Krupp met the envoys of Siemens in a hotel in Vienna."),
    ],
)
def test_one_thing_is_changed(kind: str, text: str) -> None:
    """With what stands in the same paragraph, so that no overlap tells the copy from the original."""
    assert edits(EN)[kind][0] == text


def test_a_copy_is_the_sentence_itself() -> None:
    """The one kind besides the honest changes that must be kept."""
    assert " ".join(edits(EN)[COPY]) == EN


def test_vietnamese_names_are_capitalised_words_in_the_middle_of_a_sentence() -> None:
    """Neither a syllable in lower case nor the first word of a sentence is taken for one."""
    made = edits(VI, "vi")

    assert made[EXCHANGED] == ["Nhà khoa học Marie Curie đã gặp giáo sư Albert Einstein ở một hội nghị."]
    assert made[OTHER_NAME][0] == "Nhà khoa học Hải Phòng đã gặp giáo sư Marie Curie ở một hội nghị."
    assert made[NEGATED] == ["Thành phố Hải Phòng không có 12 quận và huyện, đông dân thứ ba cả nước."]


def test_no_more_than_asked_for_are_made_of_each_kind() -> None:
    """A run takes as long as it must."""
    paragraphs = tuple(Paragraph(f"p{n:04d}", "Title", EN) for n in range(9))

    made = make_edits(QuestionSet("en", paragraphs, ()), per_kind=3)

    assert [each.kind for each in made].count(COPY) == 3
