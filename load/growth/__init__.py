"""Measure how one tenant's index grows: time, memory, disk and recall from a thousand to a million chunks.

We do not have a million chunks of real text, and embedding them would measure the model. So texts and vectors are drawn
at random, with the statistics of real ones, and go through the product's own ingestion, index and retrieval.
"""
