"""Find the passages that an answer may rest on: search, fusion, reranking, context."""
