"""Keep the versions of all tenants in Milvus, or in what speaks its protocol: rows of shared collections.

A row carries its tenant, which is the partition key, and the numbers of the versions between which it is seen: `born`
and `died`. A change inserts rows that no version sees yet, marks others as dying, and switches one row that names the
version that serves. So a change costs what it changes, and a writer that dies before the switch has changed nothing.

    rag_meta                the switch of each tenant, the manifests in parts, the leases of the writers
    rag_words               in how many chunks of a version each word stands, with its spelling without diacritics
    rag_chunks_<embedder>   text, labels, weighted words and vector of each chunk
    rag_tokens_<embedder>   token vectors, by chunk id

`<embedder>` is the digest of name, revision and dimension: fronts of two embedders run beside each other.
"""
