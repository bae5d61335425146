"""`make bench-peers`: our Embedder and our whole service beside servers of others, as ratios of interleaved rounds.

The peers run with packages of their own (`requirements/peers.txt`), the same weights, and as many threads; of the
embedders all but the one that is asked are suspended meanwhile.
"""
