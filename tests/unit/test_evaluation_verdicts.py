"""The evaluation of citations, quotations and verdicts, compared with values computed by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from load.evaluation.asking import Reply
from load.evaluation.citations import (
    CitationCounts,
    count_citations,
    measure_precision,
    measure_recall,
    split_sentences,
)
from load.evaluation.examples import MAX_EXAMPLES, choose_examples, render_examples
from load.evaluation.judging import find_fault, judge
from load.evaluation.quotations import is_whole
from load.evaluation.verdicts import CUT_COPY, FILE_NAME, VerdictGroup, load_labelled, measure_verdicts
from load.evaluation.xquad import DataError, Question
from rag.types import Chunk
from rag.verification import Policy
from schemas.response import QueryResponse
from tests.unit.evaluation_replies import (
    CHUNK,
    CHUNKS,
    NO_ANSWER,
    QUESTION,
    cite,
    judged,
    make_chunk,
    respond,
    trace_of,
)

OTHER = make_chunk("The canteen opens at 8.", "p0002")
COPY = make_chunk("Everybody has 12 days.", "p0003")
SILENT = make_chunk("It never snows.", "p0001", number=2)
GUIDE = make_chunk(
    "Mang theo:\n\n- giấy tờ tùy thân\n- ảnh 3x4\n\nIt lasts. It is light.\n\n"
    "Model: Sparrow X2 | Suction power: 7,500 Pa | Weight: 3 kg\n"
    "Model: Sparrow X3 | Suction power: 9,000 Pa | Weight: 4 kg",
    "p0004",
)
ALL = {chunk.chunk_id: chunk for chunk in (CHUNK, OTHER, COPY, SILENT)}
LEAVE = "Full-time staff have 12 days of annual leave per year."


class TestCitations:
    """Recall and precision in ALCE's sense."""

    @pytest.mark.parametrize(
        ("answer", "sentences"),
        [
            ("It is 12 days [S1]. It rains [S1][S2].", ["It is 12 days [S1].", "It rains [S1][S2]."]),
            ("It is 12 days [S1] It rains [S2]", ["It is 12 days [S1]", "It rains [S2]"]),
            ("He said: “It is 12 days [S1].” It rains.", ["He said: “It is 12 days [S1].”", "It rains."]),
            ("It is 2.5 days. It rains [S1].", ["It is 2.5 days.", "It rains [S1]."]),
            ("Có 12 ngày\nnghỉ phép [S1].\n\nTrời mưa [S2].", ["Có 12 ngày\nnghỉ phép [S1].", "Trời mưa [S2]."]),
            ("… [S1]", []),
        ],
    )
    def test_a_sentence_ends_where_the_product_ends_it_or_with_its_markers(
        self, answer: str, sentences: list[str]
    ) -> None:
        """A sentence without a full stop does not take over the markers of the next one, nor lend it its own."""
        assert split_sentences(answer) == sentences

    @pytest.mark.parametrize(
        ("answer", "counts"),
        [
            ("It is 12 days [S1].", CitationCounts(1, 1, 1, 1)),
            ("It is 12 days. So it is [S1].", CitationCounts(2, 1, 1, 1)),
            ("It is 12 days [S2][S1]. It opens at 8 [S2].", CitationCounts(2, 1, 3, 1)),
            ("Everybody has 12 days [S3].", CitationCounts(1, 1, 1, 1)),
            ("It never snows [S4].", CitationCounts(1, 1, 1, 1)),
            ("It is 12 days [S9].", CitationCounts(1, 0, 1, 0)),
        ],
    )
    def test_a_citation_of_the_gold_document_or_of_a_gold_answer_is_right(
        self, answer: str, counts: CitationCounts
    ) -> None:
        """Every marker counts, also of a source that is cited twice; one that nothing resolves is a wrong one."""
        sources = [cite(f"S{at}", chunk_id) for at, chunk_id in enumerate(ALL, start=1)]

        assert count_citations(respond(answer, sources), QUESTION, ALL) == counts

    def test_an_abstention_cites_nothing_and_need_not(self) -> None:
        """That it says so in a sentence is no sentence without a source."""
        assert count_citations(NO_ANSWER, QUESTION, CHUNKS) == CitationCounts()

    def test_sentences_and_citations_are_counted_over_all_answers_together(self) -> None:
        """A long answer weighs more than a short one."""
        counts = [CitationCounts(sentences=3, backed=1, citations=6, right=1), CitationCounts(1, 1, 2, 2)]

        assert measure_recall(counts) == pytest.approx(2 / 4)
        assert measure_precision(counts) == pytest.approx(3 / 8)
        assert measure_recall([CitationCounts()]) is measure_precision([CitationCounts()]) is None


class TestQuotations:
    """A repair is whole sentences of one chunk, character for character."""

    @pytest.mark.parametrize(
        ("stored", "quote"),
        [
            ("It rains. Staff have 12 days. They like it.", "Staff have 12 days."),
            ("It rains. Staff have 12 days. They like it.", "Staff have 12 days. They like it."),
            ("- Staff have 12 days.\n- Interns have 6.", "Interns have 6."),
            ("Annual leave\nStaff have 12 days.", "Staff have 12 days."),
            ("[1] Staff have 12 days.[12] They like it.", "Staff have 12 days."),
            ("Staff have 12 days of leave. Staff have 12 days", "Staff have 12 days"),
        ],
    )
    def test_what_the_product_trims_may_be_missing(self, stored: str, quote: str) -> None:
        """List marks, a heading without a blank line, footnotes; and a later occurrence counts as the first one."""
        assert is_whole(quote, make_chunk(stored))

    @pytest.mark.parametrize(
        ("stored", "quote"),
        [
            ("Staff have 12 days of leave.", "Staff have 12 days"),
            ("Only staff have 12 days.", "staff have 12 days."),
            ("If they ask for it, staff have 12 days.", "staff have 12 days."),
            ("Staff who have worked here for at least\nTwelve years have 12 days.", "years have 12 days."),
            ("Staff who work here have 12 days\nof leave.", "of leave."),
            ("It rains. Staff of the north\nMany of them have 12 days.", "Many of them have 12 days."),
            ("Leave of those who work here,\nMany of them have 12 days.", "Many of them have 12 days."),
            (f"Leave {'and more leave ' * 5}of those\nMany have 12 days.", "Many have 12 days."),
            ("Staff have 12 days. They like it. Most do.", "12 days. They like it."),
            ("Staff have 12 days.", "Staff have 13 days."),
        ],
    )
    def test_a_part_of_a_sentence_is_not_whole(self, stored: str, quote: str) -> None:
        """What was left off could have turned its meaning."""
        assert not is_whole(quote, make_chunk(stored))

    @pytest.mark.parametrize(
        ("sent", "fault"),
        [
            ("Staff have 12 days of leave [S1].", None),
            ("Staff have 12 days of leave. It rains [S1].", None),
            ("It rains. The canteen opens at 8 [S1][S2].", "a repair that is not verbatim from one chunk"),
            ("Staff have 12 days  of leave [S1].", "a repair that is not verbatim from one chunk"),
            ("The canteen opens at 8 [S1].", "a repair that is not verbatim from one chunk"),
            ("Staff have 12 days [S1]", "a repair that is not whole sentences"),
        ],
    )
    def test_a_repair_that_is_no_quotation_is_a_fault(self, sent: str, fault: str | None) -> None:
        """Neither of two chunks glued together, nor of a chunk that is not cited, nor of half a sentence."""
        citations = [cite("S1"), cite("S2", OTHER.chunk_id, OTHER.text)][: 2 if "[S2]" in sent else 1]
        response = respond(sent, citations, trace=trace_of(judged("repaired", sent)))

        assert find_fault(response, ALL) == fault

    @pytest.mark.parametrize(
        ("sent", "quote"),
        [
            ("Mang theo:\n\n- giấy tờ tùy thân\n- ảnh 3x4 [S1]", "Mang theo:\n\n- giấy tờ tùy thân\n- ảnh 3x4"),
            ("Mang theo: giấy tờ tùy thân [S1]", "giấy tờ tùy thân"),
            ("Sparrow X2: Suction power 7,500 Pa [S1]", "Model: Sparrow X2 | Suction power: 7,500 Pa | Weight: 3 kg"),
            ("Sparrow X2: Suction power 7,500 Pa, Weight 3 kg [S1]", "Model: Sparrow X2"),
            ("In the documents, in Vietnamese: Mang theo: ảnh 3x4 [S1]", "ảnh 3x4"),
            ("Trong tài liệu, bằng tiếng Anh: It lasts. It is light [S1].", "It lasts. It is light."),
        ],
    )
    def test_a_repair_may_be_put_together_from_its_chunk(self, sent: str, quote: str) -> None:
        """A list with its lead, an item after the lead, cells of a row; each may be introduced."""
        response = respond(sent, [cite(chunk_id=GUIDE.chunk_id, quote=quote)], trace=trace_of(judged("repaired", sent)))

        assert find_fault(response, {GUIDE.chunk_id: GUIDE}) is None

    @pytest.mark.parametrize(
        "sent",
        [
            "Mang theo: It lasts [S1].",
            "Đừng mang theo: ảnh 3x4 [S1]",
            "theo: ảnh 3x4 [S1]",
            "Mang theo: ảnh [S1]",
            "Sparrow X3: Suction power 7,500 Pa [S1]",
            "Sparrow X2: Weight 7,500 Pa [S1]",
            "Sparrow X2: Weight 3 kg, Suction power 7,500 Pa, Noise 40 dB [S1]",
            "Sparrow X2: [S1]",
            "In the documents: Mang theo: ảnh 3x4 [S1]",
        ],
    )
    def test_what_is_put_together_otherwise_is_a_fault(self, sent: str) -> None:
        """No item under another lead, no half of either, no cell under another column or of another row."""
        citation = cite(chunk_id=GUIDE.chunk_id, quote="It lasts.")
        response = respond(sent, [citation], trace=trace_of(judged("repaired", sent)))

        assert find_fault(response, {GUIDE.chunk_id: GUIDE}) is not None

    def test_a_sentence_of_the_draft_need_not_be_verbatim(self) -> None:
        """It is counted where it is."""
        sentences = [judged("kept", "It is 12 days [S1]."), judged("kept", "It rains [S1]."), judged("dropped")]
        response = respond("It is 12 days [S1]. It rains [S1].", trace=trace_of(*sentences))

        judgement = judge(response, QUESTION, CHUNKS)

        assert judgement.fault is None
        assert (judgement.sent, judgement.verbatim) == (2, 1)


def row(sentence: str, label: str = "supported", kind: str = "copy", **others: Any) -> dict[str, Any]:
    known = {"source": "made", "lang": "en", "passages": [f"{LEAVE} Part-time staff have 6 days."]}
    return {**known, "sentence": sentence, "label": label, "kind": kind, **others}


def write_rows(folder: Path, *rows: dict[str, Any]) -> Path:
    (folder / FILE_NAME).write_text("".join(json.dumps(each) + "\n" for each in rows), "utf-8")
    return folder


class TestVerdicts:
    """The product's own check on sentences with labels."""

    async def test_sentences_are_grouped_by_what_became_of_them(self, tmp_path: Path) -> None:
        """A supported one must be kept, an unsupported one blocked; that others are meant is not seen, and shows."""
        folder = write_rows(
            tmp_path,
            row(LEAVE),
            row("Full-time staff have 14 days of annual leave per year.", "unsupported", "num"),
            row("Full-time interns have 12 days of annual leave per year.", "unsupported", "head"),
            row("Part-time staff have 6 days."),
            row("Nhân viên có 12 ngày nghỉ phép.", lang="vi", passages=["Nhân viên có 12 ngày nghỉ phép."]),
        )

        quality = await measure_verdicts(load_labelled(folder), Policy())

        assert quality.groups == (
            VerdictGroup("made", "en", "copy", True, 2, 2),
            VerdictGroup("made", "en", "head", False, 1, 0),
            VerdictGroup("made", "en", "num", False, 1, 1),
            VerdictGroup("made", "vi", "copy", True, 1, 1),
        )
        assert quality.flagged_copies == 0

    async def test_a_sentence_cites_all_its_passages(self, tmp_path: Path) -> None:
        """Neither holds both figures."""
        sentence = "Full-time staff have 12 days and the probation period lasts 60 days."
        both = [LEAVE, "The probation period lasts 60 days."]
        folder = write_rows(tmp_path, row(sentence, kind="whole", passages=both), row(sentence, "unsupported", "half"))

        quality = await measure_verdicts(load_labelled(folder), Policy())

        assert [(group.kind, group.right) for group in quality.groups] == [("half", 1), ("whole", 1)]

    async def test_the_thresholds_are_those_of_the_policy(self, tmp_path: Path) -> None:
        """A report that names others would be of another product."""
        folder = write_rows(tmp_path, row("Part-time staff rarely ask for any days.", kind="loose"))
        strict = Policy(unsupported_below=0.9, supported_from=0.95)

        quality = await measure_verdicts(load_labelled(folder), strict)

        assert quality.thresholds == {"unsupported_below": 0.9, "supported_from": 0.95}
        assert [group.right for group in quality.groups] == [0]

    def test_a_copy_that_its_passage_does_not_hold_is_none(self, tmp_path: Path) -> None:
        """One row of the set was cut off: what it says of China stands nowhere in its passage."""
        folder = write_rows(
            tmp_path, row("Part-time staff have 6 days in China.", passages=["Part-time staff have 6 days"])
        )

        assert [each.kind for each in load_labelled(folder)] == [CUT_COPY]

    async def test_times_are_of_the_check_and_of_the_reading(self, tmp_path: Path) -> None:
        """Both take some, and the slowest of a few is not faster than the middle one."""
        folder = write_rows(tmp_path, *(row(LEAVE) for _ in range(3)))

        times = (await measure_verdicts(load_labelled(folder), Policy())).times

        assert 0 < times.check_p50_us <= times.check_p99_us
        assert 0 < times.reading_p50_us <= times.reading_p99_us

    @pytest.mark.parametrize(
        "broken",
        [
            {"sentence": "a"},
            row("a", label="true"),
            row("a", lang="fr"),
            row("a", passages="a"),
            row("a", passages=[]),
        ],
    )
    def test_a_foreign_file_is_named(self, tmp_path: Path, broken: dict[str, Any]) -> None:
        """One line says what is wrong, instead of a stack trace."""
        with pytest.raises(DataError, match="not in the format"):
            load_labelled(write_rows(tmp_path, broken))

    def test_a_missing_or_empty_file_is_named(self, tmp_path: Path) -> None:
        """The folder is there, so somebody meant it to be used."""
        with pytest.raises(DataError, match="holds no"):
            load_labelled(tmp_path)

        with pytest.raises(DataError, match="is empty"):
            load_labelled(write_rows(tmp_path))


class TestExamples:
    """Answers for a person to read."""

    @pytest.mark.parametrize(
        ("response", "chunks", "flaw"),
        [
            (respond(), CHUNKS, None),
            (None, CHUNKS, "error: MODEL_TIMEOUT"),
            (respond(citations=(cite(quote="13"),)), CHUNKS, "a quote that is not in its chunk"),
            (NO_ANSWER, CHUNKS, "no passage of the context holds the gold answer"),
            (
                NO_ANSWER.model_copy(update={"trace": trace_of()}),
                CHUNKS,
                "a passage of the context holds the gold answer, and there is no answer",
            ),
            (
                respond("It opens at 8 [S1].", (cite("S1", OTHER.chunk_id, OTHER.text),), trace=trace_of()),
                ALL,
                "a passage of the context holds the gold answer, and none that is cited",
            ),
            (
                respond("It rains [S1].", trace=trace_of()),
                CHUNKS,
                "a cited chunk holds the gold answer, and another part of it was chosen",
            ),
        ],
    )
    def test_a_bad_answer_says_what_is_wrong_with_it(
        self, response: QueryResponse | None, chunks: dict[str, Chunk], flaw: str | None
    ) -> None:
        """The first stage that lost the answer is the one to look at."""
        examples = choose_examples([Reply(QUESTION, response, None if response else "MODEL_TIMEOUT")], chunks)

        assert [example.flaw for example in (*examples.good, *examples.bad)] == [flaw]

    def test_of_many_answers_some_are_shown_at_equal_distances(self) -> None:
        """The same ones for the same replies, from the first to near the last, and how many there were."""
        questions = [Question(f"q{at}", f"Question {at}?", "p0001", ("12 days",)) for at in range(4 * MAX_EXAMPLES)]

        examples = choose_examples([Reply(question, respond()) for question in questions], CHUNKS)

        assert [example.question for example in examples.good] == [each.text for each in questions[::4]]
        assert (examples.of_good, examples.bad, examples.of_bad) == (4 * MAX_EXAMPLES, (), 0)

    def test_they_are_tables_whatever_the_texts_hold(self) -> None:
        """A bar or a line break of an answer does not end its cell."""
        sentence = judged("repaired", "It is | 12\n\ndays [S1].", "no citation", 0.5)
        chunk = make_chunk("It is | 12\n\ndays.")
        response = respond(sentence.sent, (cite(quote="12"),), trace=trace_of(sentence))

        text = render_examples("en", choose_examples([Reply(QUESTION, response)], {chunk.chunk_id: chunk}))

        assert "## Good: 1 of 1" in text
        assert r"| How many days? | 12 days | It is \| 12 days [S1]. | repaired: no citation (0.50) |" in text
        assert "## Bad: 0 of 0" in text
