"""Write small PDFs for tests: pages by their content streams."""

from collections.abc import Sequence
from typing import Final

HEIGHT: Final = 800


def make_pdf(
    *streams: str, resources: str = "", catalog: str = "", page: str = "", objects: Sequence[str] = ()
) -> bytes:
    """Return a PDF of 600 by 800 points with a page for each content stream; `objects` are numbered from 20."""
    count = len(streams)
    kids = " ".join(f"{100 + 2 * at} 0 R" for at in range(count))
    numbered = {
        1: f"<</Type/Catalog/Pages 2 0 R {catalog}>>",
        2: f"<</Type/Pages/Count {count}/Kids[{kids}]>>",
        3: "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        4: "<</Type/Font/Subtype/Type1/BaseFont/Helvetica-Bold/Encoding/WinAnsiEncoding>>",
    }
    numbered |= dict(enumerate(objects, 20))
    for at, stream in enumerate(streams):
        numbered[100 + 2 * at] = (
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 {HEIGHT}]/Contents {101 + 2 * at} 0 R"
            f"/Resources<</Font<</F 3 0 R/B 4 0 R>>{resources}>>{page}>>"
        )
        numbered[101 + 2 * at] = f"<</Length {len(stream.encode())}>>stream\n{stream}\nendstream"
    data = b"%PDF-1.7\n"
    offsets: dict[int, int] = {}
    for number, body in sorted(numbered.items()):
        offsets[number] = len(data)
        data += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    start, size = len(data), max(numbered) + 1
    data += f"xref\n0 {size}\n".encode()
    for number in range(size):
        data += b"%010d %05d %s \n" % ((offsets[number], 0, b"n") if number in offsets else (0, 65535, b"f"))
    return data + f"trailer<</Size {size}/Root 1 0 R>>\nstartxref\n{start}\n%%EOF".encode()


def show(text: str, x: float = 60, y: float = 700, *, size: float = 11, font: str = "F", before: str = "") -> str:
    return f"q BT {before} /{font} {size} Tf {x} {y} Td ({text}) Tj ET Q\n"


def show_lines(*texts: str, x: float = 60, y: float = 700, step: float = 14) -> str:
    return "".join(show(text, x, y - step * number) for number, text in enumerate(texts))
