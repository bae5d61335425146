"""Store a tenant's index on disk: vectors, words and chunks in immutable versions that are switched atomically.

<index_dir>/tenant-<id>/
    LOCK                    held by the one ingestion that may write
    CURRENT                 the name of the version that serves
    building/               the next version while it is made; debris if nobody holds the lock
    versions/<name>/        manifest.json, dense.faiss or dense.graphs/, lexical/, *.i32, *.i8, chunks.*, tokens.*
        delta/              in a large index, the same files of what came after its main segment; live.bits, gone.i32
"""
