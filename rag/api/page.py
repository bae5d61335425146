"""The page at `/`, where people ask and read in a browser; page.html is all of it, and it loads nothing from elsewhere.

The policy lets run its one script and its one style, by their digests, and nothing else: not what a document, an answer
or an address may hold. Trusted types refuse text that would be read as HTML, should a change ever put it there.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final


def digest_inline(page: str, element: str) -> str:
    """Return the policy's source expression for the page's only `<script>` or `<style>`.

    Source: Content Security Policy Level 3, section 2.3.1 (hash-source).
    """
    (content,) = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


PAGE: Final = Path(__file__).with_suffix(".html").read_text("utf-8")
PAGE_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "content-security-policy": (
            f"default-src 'none'; script-src {digest_inline(PAGE, 'script')}; "
            f"style-src {digest_inline(PAGE, 'style')}; connect-src 'self'; img-src data:; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
        ),
        "cache-control": "no-cache",
        "cross-origin-opener-policy": "same-origin",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
)
