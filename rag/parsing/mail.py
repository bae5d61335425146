"""Read saved e-mails: subject, people, date and text; attachments are named, not read."""

import email
import email.policy
import re
from collections.abc import Iterator
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Final

from rag.errors import ParseError
from rag.parsing import charsets, html
from rag.parsing.blocks import Block, Draft

_SIGNS: Final = ("from", "to", "subject", "date", "message-id", "received", "mime-version")
_PEOPLE: Final = ("From", "To", "Cc")
_PARAGRAPH_BREAK = re.compile(r"\n[^\S\n]*\n")
_SOFT_BREAK = re.compile(r"(?<!^--) \n", re.MULTILINE)  # RFC 3676; `-- ` begins a signature
_MAX_DEPTH: Final = 10
_MAX_SIGN_CHARS: Final = 40_000  # in base64; smaller pictures are logos and signs
_ENCRYPTED: Final = ("application/pkcs7-mime", "application/x-pkcs7-mime", "multipart/encrypted")
_SIGNATURES: Final = ("application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature")
_OUTLOOK: Final = ("application/ms-tnef", "application/vnd.ms-tnef")


def read(data: bytes) -> Draft:
    """Read an e-mail, and those that it forwards whole; the title is the subject.

    Raises: ParseError: no e-mail, encrypted, or with its text in a form of Outlook's own.
    """
    message = email.message_from_bytes(data, policy=email.policy.default)
    if sum(sign in message for sign in _SIGNS) < 2:
        raise ParseError("the file is broken: not readable as EML")
    reader = _Reader()
    blocks = list(reader.read_message(message))
    if not reader.has_body and reader.obstacle:
        raise ParseError(reader.obstacle)
    return Draft(blocks, _read_header(message, "Subject"), warnings=list(dict.fromkeys(reader.warnings)))


class _Reader:
    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.has_body = False
        self.obstacle = ""

    def read_message(self, message: Message, depth: int = 0) -> Iterator[Block]:
        """Yield the subject as a heading, the people, the date, the names of attachments and the text."""
        yield Block(_read_header(message, "Subject"), 2 if depth else 1)
        people = [(name, _read_header(message, name)) for name in _PEOPLE]
        lines = [f"{name}: {text}" for name, text in [*people, ("Date", _read_date(message))] if text]
        attachments: list[str] = []
        body = list(self._read_part(message, depth, attachments))
        if attachments:
            lines.append(f"Attachments: {', '.join(attachments)}")
        for at, line in enumerate(lines):
            yield Block(line, glue="\n" if at else "\n\n")
        yield from body

    def _read_part(self, part: Message, depth: int, attachments: list[str]) -> Iterator[Block]:
        kind = part.get_content_type()
        if depth > _MAX_DEPTH:
            self.warnings.append("its parts are nested too deep: not all are in the text")
        elif kind in _ENCRYPTED:
            self.obstacle = "encrypted, or signed in a way that hides its text"
            self.warnings.append("an encrypted part is not in the text")
        elif kind == "multipart/alternative":
            yield from self._read_alternatives(part, depth, attachments)
        elif kind == "message/rfc822":
            for forwarded in _parts(part):
                yield from self.read_message(forwarded, depth + 1)
        elif part.is_multipart():
            for each in _parts(part):
                yield from self._read_part(each, depth + 1, attachments)
        elif kind in ("text/plain", "text/html") and not _is_attachment(part):
            yield from self._read_text(part)
        elif kind not in _SIGNATURES:
            self._name_attachment(part, kind, attachments)
        if any("Boundary" in type(defect).__name__ for defect in part.defects):
            self.warnings.append("the e-mail is cut off or damaged: its end may be missing")

    def _read_alternatives(self, part: Message, depth: int, attachments: list[str]) -> Iterator[Block]:
        """Yield the page if it has text, as plain copies often lose tables and links; else the first that has some."""
        parts = sorted(_parts(part), key=lambda each: each.get_content_type() == "text/plain")
        for each in parts:
            blocks = list(self._read_part(each, depth + 1, attachments))
            if any(block.text.strip() for block in blocks):
                yield from blocks
                return

    def _read_text(self, part: Message) -> Iterator[Block]:
        payload = part.get_payload(decode=True)
        if any("Base64" in type(defect).__name__ for defect in part.defects):
            self.warnings.append("a part of the e-mail is damaged: not all of its text can be read")
        if not isinstance(payload, bytes) or not payload.strip():
            return
        self.has_body = True
        text = charsets.decode(payload, part.get_content_charset())
        if part.get_content_subtype() == "html":
            yield from html.read_text(text).blocks
            return
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if str(part.get_param("format", "")).lower() == "flowed":
            text = _SOFT_BREAK.sub(" ", text)
        for paragraph in _PARAGRAPH_BREAK.split(text):
            yield Block(paragraph)

    def _name_attachment(self, part: Message, kind: str, attachments: list[str]) -> None:
        name = " ".join((part.get_filename() or kind).split())
        is_picture = part.get_content_maintype() == "image" and not _is_attachment(part)
        if kind in _OUTLOOK or name.lower() == "winmail.dat":
            self.obstacle = "its text is in Outlook's own form (winmail.dat): save it as EML with text"
            self.warnings.append(f"{name} holds text and attachments in Outlook's own form, and is not read")
        elif not is_picture:
            self.warnings.append(f"the attachment {name} is not read: add it as a file")
        elif len(str(part.get_payload())) > _MAX_SIGN_CHARS:
            self.warnings.append("a picture, whose text is not read")
        if not is_picture:
            attachments.append(name)


def _parts(part: Message) -> list[Message]:
    payload = part.get_payload()
    return [each for each in payload if isinstance(each, Message)] if isinstance(payload, list) else []


def _is_attachment(part: Message) -> bool:
    return part.get_content_disposition() == "attachment" or bool(part.get_filename())


def _read_header(message: Message, name: str) -> str:
    """Return a header decoded; raw bytes, which many programs write against the standard, are taken for UTF-8."""
    raw = next((str(value) for key, value in message.raw_items() if key.lower() == name.lower()), "")
    try:
        text = raw.encode("ascii", "surrogateescape").decode("utf-8")
        if not raw.isascii():
            return " ".join(text.split())
        return " ".join(str(message.get(name, "")).split())
    except (UnicodeError, LookupError, ValueError, IndexError, AttributeError):  # the last two: bugs of the library
        return " ".join(raw.encode("utf-8", "replace").decode("utf-8").split())


def _read_date(message: Message) -> str:
    text = _read_header(message, "Date")
    try:
        return parsedate_to_datetime(text).isoformat(" ", "minutes")
    except ValueError:
        return text
