"""`python -m load.reading.encodings`: how often text in old encodings is read rightly, beside the usual detectors.

The samples are those of the tests: pieces of Vietnamese and English prose, and passages in other languages. A text is
right if it comes out as it was, refused if there is none, and wrong if it comes out otherwise: the one that harms.
"""

import base64
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from load.reading.__main__ import package_environment
from rag.errors import ParseError
from rag.parsing import charsets
from tests.unit.languages import EAST_ASIAN, OTHERS, WESTERN
from tests.unit.test_charsets import ENGLISH_ENCODERS, VIETNAMESE_ENCODERS, cut_samples, examples, same
from tests.unit.test_charsets import with_printed_quotes as print_quotes

LENGTHS: Final = (100, 1000)
SAMPLES: Final = 40
DETECTORS: Final = ("charset-normalizer", "chardet")
Samples = Sequence[tuple[str, bytes]]

# Run in the extractors' environment: a line of base64 in, the text or null as a line of JSON out.
_CHILD: Final = """
import base64, json, sys
from chardet import detect
from charset_normalizer import from_bytes
def by_normalizer(data):
    best = from_bytes(data).best()
    return None if best is None else str(best)
def by_chardet(data):
    name = detect(data)["encoding"]
    return None if name is None else data.decode(name)
read = by_normalizer if sys.argv[1] == "charset-normalizer" else by_chardet
for line in sys.stdin:
    try:
        text = read(base64.b64decode(line))
    except (UnicodeDecodeError, LookupError):
        text = None
    print(json.dumps(text))
"""


def list_samples() -> Iterator[tuple[str, Samples]]:
    """Yield the name of each row and its samples: the text, and its bytes."""
    prose = {"vi": (examples("vi"), VIETNAMESE_ENCODERS), "en": (print_quotes(examples("en")), ENGLISH_ENCODERS)}
    for language, (text, encoders) in prose.items():
        for name, encode in encoders.items():
            for length in LENGTHS:
                yield f"{language}, {name}, {length} characters", list(_encode(cut_samples(text, length), encode))
    passages: dict[str, list[tuple[str, bytes]]] = {}
    for text in WESTERN.values():
        passages.setdefault("Western Europe, cp1252", []).append((text, text.encode("cp1252")))
    for title, group in (("others of Europe, own code pages", OTHERS), ("East Asia, own encodings", EAST_ASIAN)):
        for (_, name), text in group.items():
            passages.setdefault(title, []).append((text, text.encode(name)))
    yield from passages.items()


def _encode(pieces: Sequence[str], encode: object) -> Iterator[tuple[str, bytes]]:
    assert callable(encode)
    for piece in pieces[:: max(1, len(pieces) // SAMPLES)][:SAMPLES]:
        try:
            yield piece, encode(piece)
        except (UnicodeEncodeError, KeyError):
            continue


def read_by(detector: str, samples: Samples) -> list[str | None]:
    """Return the texts that a detector makes of the samples."""
    process = subprocess.run(  # noqa: S603  # the script above
        [sys.executable, "-c", _CHILD, detector],
        input="".join(f"{base64.b64encode(data).decode()}\n" for _, data in samples),
        stdout=subprocess.PIPE,
        env=package_environment(),
        text=True,
        check=True,
    )
    return [json.loads(line) for line in process.stdout.splitlines()]


def read_ours(samples: Samples) -> list[str | None]:
    """Return the texts that our detection makes of the samples."""
    texts: list[str | None] = []
    for _, data in samples:
        try:
            texts.append(charsets.decode(data))
        except ParseError:
            texts.append(None)
    return texts


def judge(samples: Samples, texts: Sequence[str | None]) -> Mapping[str, int]:
    """Count what is right, refused and wrong."""
    return Counter(
        "refused" if found is None else "right" if same(found, text) else "wrong"
        for (text, _), found in zip(samples, texts, strict=True)
    )


def main() -> None:
    """Print the table."""
    print(f"| right / refused / wrong | ours | {' | '.join(DETECTORS)} |\n|---|---:|---:|---:|")
    for name, samples in list_samples():
        columns = [judge(samples, texts) for texts in (read_ours(samples), *(read_by(d, samples) for d in DETECTORS))]
        cells = [" / ".join(str(each.get(verdict, 0)) for verdict in ("right", "refused", "wrong")) for each in columns]
        print(f"| {' | '.join([name, *cells])} |", flush=True)


if __name__ == "__main__":
    main()
