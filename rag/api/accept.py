"""What a client would rather read, by its `Accept` header.

Source: RFC 9110, section 12.5.1.
"""

from typing import Final

HTML: Final = "text/html"
JSON: Final = "application/json"


def prefers_html(accept: str) -> bool:
    """Return whether HTML is wanted more than JSON; at equal weights it is not, so `*/*` and no header mean JSON."""
    return weigh(accept, HTML) > weigh(accept, JSON)


def weigh(accept: str, media_type: str) -> float:
    """Return the weight of the most specific range that holds the media type; 0 if none does."""
    ranges = ("*/*", media_type.partition("/")[0] + "/*", media_type)
    best = (-1, 0.0)
    for part in accept.split(","):
        name, *parameters = (each.strip().lower() for each in part.split(";"))
        if name in ranges:
            best = max(best, (ranges.index(name), _read_weight(parameters)))
    return best[1]


def _read_weight(parameters: list[str]) -> float:
    """Return `q`, 1 by default; a weight that is none counts as 0."""
    text = next((each[2:] for each in parameters if each.startswith("q=")), "1")
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
