"""Turn files into documents, chunks, vectors and the next version of a tenant's index: `python -m rag.ingestion`."""
