"""JSON Lines: the texts of the records, and every line that is none is named."""

from pathlib import Path

import pytest

from tests.unit.parsing_files import read_file, reason_of


def test_records_become_sections(tmp_path: Path) -> None:
    lines = (
        '{"id": 1, "title": "Nghỉ phép", "text": "Nhân viên có 12 ngày.\\n\\nMỗi năm.", "tags": ["a"]}\n'
        '{"content": "Ch\\u1ebf \\u0111\\u1ed9"}\r\n\n'
        '{"body": "c", "text": "t", "text": "the last one of two"}'
    )

    document = read_file(tmp_path, "a.jsonl", lines.encode())

    assert document.text == "Nghỉ phép\n\nNhân viên có 12 ngày.\n\nMỗi năm.\n\nChế độ\n\nthe last one of two"
    assert [(heading.level, heading.text) for heading in document.headings] == [(2, "Nghỉ phép")]


def test_lines_that_cannot_be_read_are_told_by_number(tmp_path: Path) -> None:
    lines = ["{", '{"text": "a"}', '{"text": 5}', '{"name": "b"}', '["text"]', '{"text": " "}', "[" * 100_000]

    document = read_file(tmp_path, "a.ndjson", "\n".join(lines).encode())

    assert document.text == "a"
    assert document.warnings == (
        "6 lines are no JSON objects with a text in `text` or `content` or `body`, and not in the text:"
        " 1, 3, 4, 5, 6, 7",
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(
            b'\n{"a": 1}\n{', "line 2 is no JSON object with a text in `text` or `content` or `body`", id="no text"
        ),
        pytest.param(b"a\x00", "it is not text: it holds NUL bytes", id="binary"),
    ],
)
def test_what_holds_no_records_is_refused(data: bytes, reason: str, tmp_path: Path) -> None:
    assert reason_of(tmp_path, "a.jsonl", data).startswith(reason)
