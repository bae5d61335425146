"""The pipeline: question in, verified and cited answer out."""

from typing import Final

VERSION: Final = "1.0.0"
