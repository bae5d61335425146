"""`python -m rag.ingestion`: files become documents, chunks, vectors and the next version of a tenant's index."""
