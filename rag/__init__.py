"""Turn a question into a verified answer with citations."""

from typing import Final

VERSION: Final = "1.0.0"
