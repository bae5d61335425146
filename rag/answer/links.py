"""The address of a cited chunk: what a citation gives to readers who want to check it."""

from typing import Final
from urllib.parse import quote as percent_encode

# The page highlights it. A longer one is left out: some clients and proxies cut long addresses, and in Vietnamese a
# character may take nine.
QUOTE_MAX_CHARS: Final = 300


def chunk_url(base_url: str, chunk_id: str, quote: str) -> str:
    """Return the address of the chunk's page with the quotation; `base_url` has no slash at its end, and may be empty.

    Nothing in it can end the address or begin another part of it: id and quotation are percent-encoded as a whole.
    """
    url = f"{base_url}/chunks/{percent_encode(chunk_id, safe='')}"
    if not quote or len(quote) > QUOTE_MAX_CHARS:
        return url
    return f"{url}?quote={percent_encode(quote, safe='', errors='replace')}"
