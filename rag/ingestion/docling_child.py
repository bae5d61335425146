"""Read files in a process of its own, as `rag.ingestion.child`, but PDF by the docling-serve of `RAG_DOCLING_URL`.

Apart from that module, because an HTTP client takes as long to import as all parsers.
"""

import os
import sys
from collections.abc import Mapping
from typing import Final

from rag.clients.docling_client import DoclingClient
from rag.ingestion.child import main
from rag.ingestion.docling_pdf import DoclingPdf
from rag.parsing import READERS, Reader

_URL_VARIABLE: Final = "RAG_DOCLING_URL"


def choose_readers(docling_url: str) -> Mapping[str, Reader]:
    """Return the readers by suffix, with the server for PDF."""
    return {**READERS, ".pdf": DoclingPdf(DoclingClient(docling_url)).read}


if __name__ == "__main__":
    main(sys.argv[1:], choose_readers(os.environ[_URL_VARIABLE]))
