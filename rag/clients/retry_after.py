"""Read how long another server asks us to wait."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

DEFAULT_RETRY_AFTER_S: Final = 1.0
# A server that asks for more than a day has made a mistake, which our clients should not see.
MAX_RETRY_AFTER_S: Final = 86_400.0


def read_retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds to wait, given as a number or a date, bounded; the default if missing or invalid.

    Source: RFC 9110, section 10.2.3.
    """
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            at = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return DEFAULT_RETRY_AFTER_S
        seconds = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    if not math.isfinite(seconds):
        return DEFAULT_RETRY_AFTER_S
    return min(max(DEFAULT_RETRY_AFTER_S, seconds), MAX_RETRY_AFTER_S)
