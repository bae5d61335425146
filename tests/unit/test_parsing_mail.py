"""E-mails: what a person reads of them, and the names of what is attached."""

import base64
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest

from rag.types import Document
from tests.unit.parsing_files import read_file, reason_of

BODY = "Chào chị Hằng,\n\nLịch nghỉ Tết: 9 ngày.\n\n-- \nLan"


def make_mail(body: str = BODY, subject: str = "Lịch nghỉ Tết") -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["Subject"] = subject
    message["From"] = "Nguyễn Lan <lan@tre.vn>"
    message["To"] = "hang@tre.vn"
    message["Date"] = "Fri, 02 Jan 2026 08:30:00 +0700"
    if body:
        message.set_content(body)
    return message


HEAD = "Lịch nghỉ Tết\n\nFrom: Nguyễn Lan <lan@tre.vn>\nTo: hang@tre.vn\nDate: 2026-01-02 08:30+07:00"
RAW_HEAD = b"Subject: a\r\nFrom: b@c.vn\r\nMIME-Version: 1.0\r\n"


def read(message: EmailMessage, folder: Path) -> Document:
    return read_file(folder, "a.eml", message.as_bytes())


def read_raw(headers: bytes, body: bytes, folder: Path) -> str:
    return read_file(folder, "a.eml", RAW_HEAD + headers + b"\r\n\r\n" + body).text.split("\n\n", 2)[2]


def test_subject_people_and_date_stand_above_the_text(tmp_path: Path) -> None:
    document = read(make_mail(), tmp_path)

    assert document.title == "Lịch nghỉ Tết"
    assert document.text == f"{HEAD}\n\nChào chị Hằng,\n\nLịch nghỉ Tết: 9 ngày.\n\n--\nLan"
    assert [(heading.level, heading.text) for heading in document.headings] == [(1, "Lịch nghỉ Tết")]
    assert document.warnings == ()


def test_the_page_is_read_and_not_its_plain_copy(tmp_path: Path) -> None:
    """Programs that make the copy lose the columns of tables."""
    message = make_mail("Cấp Phép 1 12")
    message.add_alternative(
        "<table><tr><th>Cấp</th><th>Phép</th></tr><tr><td>1</td><td>12 ngày</td></tr></table>", subtype="html"
    )

    assert read(message, tmp_path).text == f"{HEAD}\n\nCấp: 1 | Phép: 12 ngày"


def test_an_empty_page_leaves_the_plain_text(tmp_path: Path) -> None:
    message = make_mail("văn bản")
    message.add_alternative("<p> </p>", subtype="html")

    assert read(message, tmp_path).text == f"{HEAD}\n\nvăn bản"


def test_attachments_are_named(tmp_path: Path) -> None:
    """Their text is not that of the e-mail; small pictures are signs."""
    message = make_mail("a")
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="Bảng lương.pdf")
    message.add_attachment("ghi chú", filename="notes.txt")
    message.add_attachment(b"x" * 99, maintype="image", subtype="png", disposition="inline")
    message.add_attachment(b"x" * 99_999, maintype="image", subtype="png", disposition="inline")

    document = read(message, tmp_path)

    assert document.text == f"{HEAD}\nAttachments: Bảng lương.pdf, notes.txt\n\na"
    assert document.warnings == (
        "the attachment Bảng lương.pdf is not read: add it as a file",
        "the attachment notes.txt is not read: add it as a file",
        "a picture, whose text is not read",
    )


def test_an_email_that_is_forwarded_whole_is_read(tmp_path: Path) -> None:
    message = make_mail("xem dưới")
    message.add_attachment(make_mail("bên trong", subject="Cũ"))

    document = read(message, tmp_path)

    assert document.text == f"{HEAD}\n\nxem dưới\n\n{HEAD.replace('Lịch nghỉ Tết', 'Cũ')}\n\nbên trong"
    assert [(heading.level, heading.text) for heading in document.headings] == [(1, "Lịch nghỉ Tết"), (2, "Cũ")]


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        pytest.param(
            b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable",
            b"Ngh=E1=BB=89 ph=C3=A9=\r\np",
            "Nghỉ phép",
            id="quoted-printable",
        ),
        pytest.param(
            b"Content-Type: text/plain; charset=windows-1258",
            "Nhân viên đươ\u0323c nghỉ".replace("ỉ", "i\u0309").encode("cp1258"),
            "Nhân viên được nghỉ",
            id="code page 1258",
        ),
        pytest.param(b"Content-Type: text/plain; charset=none-such", "phép".encode(), "phép", id="unknown charset"),
        pytest.param(
            b"Content-Type: text/plain; charset=utf-8; format=flowed", b"a \r\nb\r\nc", "a b\nc", id="flowed lines"
        ),
        pytest.param(b"Subject2: x", "phép".encode(), "phép", id="bytes without a declaration"),
    ],
)
def test_text_is_decoded_as_it_was_sent(headers: bytes, body: bytes, expected: str, tmp_path: Path) -> None:
    assert read_raw(headers, body, tmp_path) == expected


def test_an_accent_in_the_place_of_an_apostrophe_is_no_reason_to_refuse(tmp_path: Path) -> None:
    """Many type it, and the declared encoding is right."""
    headers = b"Content-Type: text/plain; charset=iso-8859-1\n"

    text = read_raw(headers, b"Reply \x93Yes we\xb4re interested\x94, or \x93it\xb4s not for us\x94.", tmp_path)

    assert "Reply “Yes we´re interested”, or “it´s not for us”." in text


def test_headers_in_raw_utf8_are_read(tmp_path: Path) -> None:
    """Against the standard, and common."""
    document = read_file(tmp_path, "a.eml", "Subject: Nghỉ phép\nFrom: Lan\nDate: hôm qua\n\na".encode())

    assert document.text == "Nghỉ phép\n\nFrom: Lan\nDate: hôm qua\n\na"


def test_damage_is_told(tmp_path: Path) -> None:
    message = make_mail("a")
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="a.pdf")
    data = message.as_bytes()

    document = read_file(tmp_path, "a.eml", data[: data.rindex(b"--")])
    broken = RAW_HEAD + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.b64encode(b"text")[:-3]

    assert "the e-mail is cut off or damaged: its end may be missing" in document.warnings
    assert read_file(tmp_path, "b.eml", broken).warnings == (
        "a part of the e-mail is damaged: not all of its text can be read",
    )


def attach(kind: str, name: str) -> Callable[[], bytes]:
    def make() -> bytes:
        message = make_mail("")
        maintype, _, subtype = kind.partition("/")
        message.add_attachment(b"x", maintype=maintype, subtype=subtype, filename=name)
        return message.as_bytes()

    return make


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda: b"", "the file is empty", id="empty"),
        pytest.param(lambda: b"only a sentence", "the file is broken: not readable as EML", id="no e-mail"),
        pytest.param(lambda: bytes(range(256)), "the file is broken: not readable as EML", id="binary"),
        pytest.param(attach("application/pkcs7-mime", "smime.p7m"), "encrypted", id="encrypted"),
        pytest.param(attach("application/ms-tnef", "winmail.dat"), "its text is in Outlook's own", id="Outlook"),
        pytest.param(
            lambda: RAW_HEAD + b"Content-Type: text/plain\r\n\r\n" + bytes(9), "it is not text", id="binary text"
        ),
    ],
)
def test_what_is_no_email_is_refused(make: Callable[[], bytes], reason: str, tmp_path: Path) -> None:
    assert reason_of(tmp_path, "a.eml", make()).startswith(reason)
