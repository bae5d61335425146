"""`python -m rag.models.export`: the local embedder as other model servers take it, each by one command."""
