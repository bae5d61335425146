"""Call other services over HTTP, behind the ports of `rag.ports`: embedder, reranker, generator."""
