"""The everyday questions: the grading of answers, the rules for the files, and the tables."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from load.evaluation.asking import Reply
from load.evaluation.everyday import EverydayQuestion, Verdict, grade
from load.evaluation.everyday.followups import AskedFollowUp, measure_follow_ups, render_follow_ups
from load.evaluation.everyday.grading import fold
from load.evaluation.everyday.pages import render_answers_to_read, render_everyday
from load.evaluation.everyday.quality import Graded, grade_replies, measure_everyday
from load.evaluation.everyday.questions import EverydayPart, FollowUpQuestion, Kind, load_parts
from load.evaluation.report import Report, render_tables
from load.evaluation.xquad import DataError, Language, Question
from rag.parsing import parse
from rag.text.document_ids import make_id
from rag.verification.notices import older_edition_text
from schemas.request import Turn
from schemas.response import Trace, Usage
from tests.unit.evaluation_replies import NO_ANSWER, cite, respond


def ask(
    *facts: Sequence[str],
    never: Sequence[str] = (),
    kind: Kind = "fact",
    language: Language = "en",
    question_id: str = "en-001",
) -> EverydayQuestion:
    return EverydayQuestion(
        question_id=question_id,
        kind=kind,
        language=language,
        text="how many days?",
        facts=tuple(tuple(group) for group in facts),
        never=tuple(never),
    )


LEAVE = ask(["12 days", "twelve days"], ["31 March"], never=["14 days"])


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("You have twelve days [S1]. They lapse on 31 March [S2].", "right"),
        ("You have 12 days [S1].", "partly"),
        ("You may ask your line manager [S1].", "wrong"),
        ("You have 12 days, and 14 days from 2027, until 31 March [S1].", "wrong"),
    ],
)
def test_an_answer_is_worth_what_stands_in_it(answer: str, verdict: Verdict) -> None:
    """All groups of facts, some, or none; what must not be said spoils the rest."""
    assert grade(LEAVE, answer, "stop").verdict == verdict


def test_a_refusal_is_right_where_the_documents_do_not_answer() -> None:
    """Whatever its words are: an abstention is known by its finish reason."""
    unanswerable = ask(kind="unanswerable")

    assert grade(LEAVE, "12 days, 31 March", "no_answer").verdict == "wrongly refused"
    assert grade(unanswerable, "The documents do not say.", "no_answer").verdict == "rightly refused"
    assert grade(unanswerable, "The documents do not say.", "stop").verdict == "should have refused"
    assert grade(ask(kind="chat"), "Hello.", "length").verdict == "should have refused"


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        ("Phí là 1.350.000\u00a0đồng.", "1,350,000 ĐỒNG"),
        ("It costs £2,500 [S1].", "£2500"),
        ("in twelve\n  Days", "twelve days"),
        ("12 [S1] days", "12 days"),
        ("ca\u0301", "c\u00e1"),
        ("8–12 ngày", "8-12 ngày"),
        ("within **30** days", "30 days"),
        ("Run `quillctl doctor` first.", "quillctl doctor"),
        ("8% of the salary", "8 %"),
        ("It is 4.", "4"),
        ("(£35)", "£35"),
        ("the 26th.", "26th"),
    ],
)
def test_a_fact_is_found_whatever_its_writing(answer: str, fact: str) -> None:
    """Case, white space, the form of Unicode, markers, separators of thousands and emphasis say nothing."""
    assert grade(ask([fact]), answer, "stop").verdict == "right"


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        ("in 14 days", "4 days"),
        ("4.5 days", "5 days"),
        ("1,5 tỷ", "5 tỷ"),
        ("£35.50", "£35"),
        ("14.5", "14"),
        ("1,2500", "12500"),
        ("daysX", "days"),
        ("ma", "má"),
        ("1/12 days", "12 days"),
    ],
)
def test_a_part_of_a_word_or_figure_is_no_fact(answer: str, fact: str) -> None:
    """Nor is a word with other diacritics."""
    assert grade(ask([fact]), answer, "stop").verdict == "wrong"


def test_a_notice_of_an_older_version_may_say_the_old_value() -> None:
    """Only in the sentence that begins with it: elsewhere the old value is still wrong."""
    question = ask(["£175"], never=["£150"], kind="version")
    told = grade(question, "It is £175 [S1]. An older edition, “Fees”, says: £150 [S2].", "stop")
    mixed = grade(question, "It is £175 or £150 [S1]. An older edition, “Fees”, says: £150 [S2].", "stop")
    untold = grade(question, "It is £175 [S1]. It was £150 [S2].", "stop")

    assert told.verdict == "right"
    assert (mixed.verdict, mixed.found_never) == ("wrong", ("£150",))
    assert untold.verdict == "wrong"


@pytest.mark.parametrize("language", ["en", "vi"])
def test_what_the_service_says_of_an_older_edition_is_a_notice(language: Language) -> None:
    """Its title may be what is forbidden: the edition of a year whose value no longer holds."""
    question = ask(["£175"], never=["2025"], kind="version", language=language)
    notice = older_edition_text("Travel 2025", language)

    assert grade(question, f"It is £175 [S1]. {notice[:-1]} [S2].", "stop").verdict == "right"
    assert grade(question, f"It is £175 [S1]. It was so in 2025. {notice}", "stop").verdict == "wrong"


def write_part(folder: Path, *lines: dict[str, object]) -> None:
    (folder / "tuning" / "documents").mkdir(parents=True, exist_ok=True)
    (folder / "tuning" / "documents" / "sổ tay.md").write_text("# Sổ tay\n\n12 ngày", "utf-8")
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "tuning" / "questions.jsonl").write_text(text, "utf-8")


LINE: dict[str, object] = {
    "id": "vi-001",
    "kind": "fact",
    "lang": "vi",
    "question": "mấy ngày?",
    "facts": [["12 ngày"]],
}


def test_a_part_is_its_documents_and_its_questions(tmp_path: Path) -> None:
    """The part that is not there is left out; documents are told apart by the part's name."""
    write_part(tmp_path, LINE | {"document": "sổ tay.md", "never": ["14 ngày"], "note": "as written"})

    (part,) = load_parts(tmp_path)

    assert part.name == "tuning"
    assert [each.document_id for each in part.sources] == [f"tuning.{make_id('sổ tay')}"]
    assert part.questions[0].facts == (("12 ngày",),)
    assert part.questions[0].language == "vi"


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([LINE | {"kind": "riddle"}], "jsonl:1 is no everyday question"),
        ([LINE | {"facts": [[]]}], "jsonl:1 is no everyday question"),
        ([LINE | {"fact": "12"}], "jsonl:1 is no everyday question"),
        ([LINE | {"facts": []}], "vi-001 is fact and has 0 facts"),
        ([LINE | {"kind": "chat"}], "vi-001 is chat and has 1 facts"),
        ([LINE | {"document": "other.md"}], "about other.md, which is not there"),
        ([LINE, LINE], "two questions have one id"),
        ([], "no questions"),
    ],
)
def test_a_part_in_another_format_is_named(tmp_path: Path, lines: list[dict[str, object]], complaint: str) -> None:
    """A question that cannot be graded would count as one that was answered wrongly."""
    write_part(tmp_path, *lines)

    with pytest.raises(DataError, match=complaint):
        load_parts(tmp_path)


@pytest.mark.parametrize("part", load_parts(), ids=lambda part: str(part.name))
def test_the_documents_hold_what_is_expected_of_an_answer(part: EverydayPart) -> None:
    """A fact that no document states cannot be quoted; the alternatives of a group may be translations."""
    texts = {source.path.name: parse(source.path).text for source in part.sources}

    missing = [
        (question.question_id, group)
        for question in (*part.questions, *part.follow_ups)
        if question.document and question.kind != "yesno"
        for group in question.facts
        if grade(ask(group), texts[question.document], "stop").verdict != "right"
    ]

    assert missing == []


def test_the_follow_ups_are_of_all_kinds() -> None:
    """Thirty in each part, half of them in each language, five that need no history, and some that nothing answers."""
    for part in load_parts():
        kinds = Counter(each.kind for each in part.follow_ups)
        assert Counter(each.language for each in part.follow_ups) == {"en": 15, "vi": 15}
        assert sum(each.follows == "standalone" for each in part.follow_ups) == 5
        assert kinds["across"] >= 3
        assert kinds["folded"] >= 3
        assert kinds["unanswerable"] >= 2


def test_follow_ups_are_measured_with_their_history_and_without() -> None:
    """What each way answers, which of those that need no history were changed, and which of the others were not."""
    history = (Turn(role="user", content="How many days of leave?"),)
    facts = {"language": "en", "text": "and sick leave?", "facts": (("12 days",),), "history": history, "kind": "fact"}
    asked = [
        AskedFollowUp(
            FollowUpQuestion(question_id=str(number), follows=follows, **facts),
            Reply(Question("", "", "", ()), respond().model_copy(update={"trace": trace(made)})),
            Reply(Question("", "", "", ()), NO_ANSWER),
        )
        for number, (follows, made) in enumerate([("contrast", "x"), ("standalone", "y"), ("pronoun", None)])
    ]

    found = measure_follow_ups(asked)

    assert (found.questions, found.standalone, found.standalone_changed, found.unchanged) == (3, 1, 1, 1)
    assert (found.with_history["all"], found.alone["all"]) == ({"right": 3}, {"wrongly refused": 3})
    assert "| contrast | off | 1 | 0 | 0 | 0 | 1 |" in render_follow_ups("tuning", found)


def trace(made: str | None) -> Trace:
    return Trace(candidates=[], passages=[], usage=Usage(), sentences=[], standalone_question=made)


def graded_part() -> tuple[EverydayPart, list[Graded]]:
    """Right, wrong, refused, failed, and two that should be refused of which one is answered."""
    questions = (
        ask(["12 days"]),
        ask(["13 days"], kind="folded", language="vi"),
        ask(["12 days"], kind="across"),
        ask(["12 days"], ["31 March"], kind="table"),
        ask(kind="unanswerable"),
        ask(kind="chat", language="vi"),
    )
    replies = (respond(), respond(), NO_ANSWER, None, respond(), NO_ANSWER)
    part = EverydayPart("tuning", (), questions)
    asked = [Question(each.question_id, each.text, "", ()) for each in questions]
    errors = ["MODEL_TIMEOUT" if reply is None else None for reply in replies]
    return part, grade_replies(part, list(map(Reply, asked, replies, errors)))


def test_outcomes_are_shares_of_all_questions_of_their_sort() -> None:
    """An error is a question without an answer, not one less question."""
    totals = measure_everyday("tuning", graded_part()[1]).totals

    assert (totals.right, totals.partly, totals.wrong, totals.wrongly_refused) == (1 / 4, 0.0, 1 / 4, 1 / 4)
    assert (totals.unanswerable_answered, totals.chat_answered) == (1.0, 0.0)
    assert (totals.folded_right, totals.across_right) == (0.0, 0.0)


def test_outcomes_are_shown_by_kind_and_by_language() -> None:
    """Kinds in the order of the set, and only those that it has."""
    table = render_everyday({"tuning": measure_everyday("tuning", graded_part()[1])})

    assert "| answerable: right | 0.250 |" in table
    assert "| fact | 1 | 1 | 0 | 0 | 0 | 0 | 0 | 0 |" in table
    assert "| en | 4 | 1 | 0 | 0 | 1 | 1 | 0 | 1 |" in table
    assert "| all | 6 | 1 | 0 | 1 | 1 | 1 | 1 | 1 |" in table
    assert "| multi |" not in table


def test_what_a_part_has_not_is_not_measured() -> None:
    """A share of no questions is neither good nor bad, and misses no bound."""
    quality = measure_everyday("tuning", graded_part()[1][:1])
    report = Report("2026-05-10", 1.0, {}, {}, {}, {}, {}, {}, everyday={"tuning": quality})

    assert quality.totals.chat_answered is None
    assert "| chat: answered | – |" in render_tables(report)
    assert report.missed_bounds() == []


def test_everyday_questions_have_bounds() -> None:
    """In each part, by its name."""
    quality = measure_everyday("held-out", graded_part()[1])
    report = Report("2026-05-10", 1.0, {}, {}, {}, {}, {}, {}, everyday={"held-out": quality})

    missed = report.missed_bounds()

    assert [line.partition(" is ")[0] for line in missed] == [
        "everyday, held-out: answerable questions answered rightly",
        "everyday, held-out: questions without diacritics answered rightly",
        "everyday, held-out: questions across languages answered rightly",
        "everyday, held-out: answerable questions answered wrongly",
        "everyday, held-out: answerable questions refused",
        "everyday, held-out: unanswerable questions answered",
    ]
    assert report.as_json()["everyday"]["held-out"]["kinds"]["table"] == {"failed": 1}


def test_answers_to_read_say_what_was_expected_and_what_came() -> None:
    """The worst first; facts that the answer does not meet are marked, and so is what it must not say."""
    question = ask(["12 days"], ["31 March"], never=["13 days"])
    answer = respond("It is 13 days until\n31 March [S1].", (cite(quote="13 days"),))
    replies = [Reply(Question("en-001", "?", "", ()), each) for each in (respond(), answer)]
    graded = grade_replies(EverydayPart("tuning", (), (ask(["12 days"]), question)), replies)

    page = render_answers_to_read("tuning", graded)

    assert page.index("## wrong: 1 of 2") < page.index("## right: 1 of 2")
    assert "- expected: 12 days ✗; 31 March" in page
    assert "- must not be said: 13 days" in page
    assert "- answer: It is 13 days until 31 March [S1]." in page


def test_folding_is_done_once() -> None:
    """What is folded stays as it is when it is folded again."""
    text = "Phí **1.350.000** đồng – 8 % [S1]"

    assert fold(fold(text)) == fold(text) == "phí 1350000 đồng - 8%"
