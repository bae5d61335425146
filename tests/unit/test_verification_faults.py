"""What word overlap alone would accept: edited copies, foreign addresses, remnants, declines and chatter."""

import pytest

from rag.types import DraftSentence
from rag.verification import Mode, Reason
from tests.unit.verification_fakes import LEAVE_VI, begin, make_passages, rank, sources, verdict_of

PARENTAL = "Parental leave is paid for 60 days. It is applied for at hr@acme.com or on the form AB-1234."
BILINGUAL = f"{LEAVE_VI} Full-time staff have 12 days of annual leave, and part-time staff have 6 days."


class TestEditedCopies:
    """A near copy of a source that says something else."""

    @pytest.mark.parametrize(
        "text",
        [
            "Full-time staff do not have 12 days of annual leave per year.",
            "Full-time staff have 12 weeks of annual leave per year.",
            "Part-time staff have 12 days of annual leave per year.",
            "Full-time staff have 6 days of annual leave per year.",
            "According to the documents you provided, unused days do not expire on 31 March.",
        ],
    )
    async def test_it_is_blocked_in_every_mode_but_mark(self, text: str) -> None:
        """All of its words stand in the passage."""
        dropped = await verdict_of(text, 1, check=begin(mode="drop"))
        marked = await verdict_of(text, 1, check=begin(mode="mark"))

        assert (dropped.kind, dropped.reason, dropped.sent) == ("dropped", Reason.EDITED_COPY, "")
        assert (marked.reason, marked.sent) == (Reason.EDITED_COPY, text)

    async def test_the_sentence_that_was_edited_is_the_first_repair(self) -> None:
        """It is what the generator meant, whatever is ranked before it."""
        verdict = await verdict_of("Unused days never expire on 31 March of the following year.", 1)

        assert verdict.kind == "repaired"
        assert verdict.sent == "Unused days expire on 31 March of the following year."

    async def test_a_passage_that_says_just_that_takes_its_place(self) -> None:
        """Two documents differ, and the wrong one was cited."""
        texts = ("In Hanoi staff have 12 days of leave per year.", "In Hanoi staff have 12 weeks of leave per year.")
        check = begin(passages=make_passages(*texts))

        verdict = await verdict_of(texts[1], 1, check=check)

        assert (verdict.kind, sources(verdict)) == ("re-cited", [2])


class TestAddresses:
    """Links, e-mail addresses, numbers to call and codes."""

    @pytest.mark.parametrize("mode", ["repair", "drop"])
    @pytest.mark.parametrize(
        "address", ["https://evil.vn/leave", "it@acme.com", "+84 912 345 678", "the form AB-1243", "@acme"]
    )
    async def test_one_that_no_cited_passage_states_never_passes(self, address: str, mode: Mode) -> None:
        """However much of the rest stands there."""
        check = begin(mode=mode, passages=make_passages(PARENTAL))

        verdict = await verdict_of(f"Parental leave is paid for 60 days, applied for at {address}.", 1, check=check)

        assert verdict.reason == Reason.UNKNOWN_ADDRESS
        assert address not in verdict.sent

    async def test_one_of_the_passage_passes_however_it_is_written(self) -> None:
        """Its digits are no figures that have to be found by themselves."""
        passages = make_passages("Call 0912 345 678, or write to HR@acme.com.")

        verdict = await verdict_of("Call 0912345678 or write to hr@acme.com.", 1, check=begin(passages=passages))

        assert verdict.kind == "kept"

    async def test_it_does_not_pass_in_another_language_either(self) -> None:
        """There the figures alone are compared."""
        check = begin(question="Nghỉ thai sản bao nhiêu ngày?", passages=make_passages(PARENTAL))

        verdict = await verdict_of("Nghỉ thai sản 60 ngày, gửi đơn tới it@acme.com.", 1, check=check)

        assert verdict.sent != verdict.draft


async def test_a_sentence_is_compared_with_sentences_of_its_own_language() -> None:
    """In a bilingual document another language is no excuse for figures alone."""
    question = "How many days of leave do staff have?"
    text = "Nobody may ever take more than 12 of them together."
    check = begin(question=question, passages=make_passages(BILINGUAL))

    assert (await verdict_of(text, 1, check=begin(question=question, passages=make_passages(LEAVE_VI)))).reason == (
        Reason.LANGUAGES_DIFFER
    )
    assert (await verdict_of(text, 1, check=check)).reason == Reason.LITTLE_SUPPORT


@pytest.mark.parametrize("text", ["Title", "**Annual leave**", "Based on the provided sources,", '{"a": "12 days.'])
async def test_leftovers_state_nothing(text: str) -> None:
    """A title, a lead-in, half an object, with a marker too."""
    check = begin(passages=make_passages("Staff have 12 days of annual leave.", heading="Annual leave"))

    assert (await verdict_of(text, 1, check=check)).reason == Reason.STATES_NOTHING


class TestDeclines:
    """That the documents hold no answer, in the generator's own words."""

    @pytest.mark.parametrize(
        "text",
        [
            "I could not find how many days of annual leave full-time staff have.",
            "The documents do not mention any sick leave for full-time staff.",
        ],
    )
    async def test_it_is_none_of_the_passages_statements(self, text: str) -> None:
        """Though it cites them, and is made of their words."""
        verdict = await verdict_of(text, 1)

        assert (verdict.kind, verdict.reason) == ("skipped", Reason.DECLINES)

    async def test_what_a_document_says_of_itself_is_no_decline(self) -> None:
        """Word for word it is the document's statement."""
        text = "The contract documents do not mention a date."

        verdict = await verdict_of(text, 1, check=begin(passages=make_passages(text)))

        assert verdict.kind == "kept"

    @pytest.mark.parametrize(
        "text",
        [
            "If you have other questions about annual leave, feel free to ask.",
            "Please contact the HR department for more information.",
            "Nếu bạn có câu hỏi khác, hãy cho tôi biết.",
        ],
    )
    async def test_the_chatter_after_it_states_nothing(self, text: str) -> None:
        """So nothing has to be put in its place."""
        check = begin()

        verdict = await check.check(DraftSentence(text, ()), rank())

        assert (verdict.kind, verdict.reason, verdict.sent) == ("skipped", Reason.STATES_NOTHING, "")

    async def test_a_document_may_send_its_reader_to_somebody(self) -> None:
        """Carried by a passage it is an answer."""
        text = "Please contact the HR department about parental leave."

        assert (await verdict_of(text, 1, check=begin(passages=make_passages(text)))).kind == "kept"
