"""Name the example files that hold nothing that may be indexed: to read them is a fault, and so is to refuse others."""

from typing import Final

REFUSED: Final = frozenset(
    {
        "docx_xxe.docx",
        "pdf_flate_bomb.pdf",
        "pdf_no_tounicode.pdf",
        "pdf_scan_with_stamp.pdf",
        "pdf_xfa_placeholder.pdf",
        "html_frameset.html",
    }
)
