"""How one tenant's index grows: time, memory, disk and recall at a thousand chunks, at a million, and between.

Nobody has a million chunks of real text at hand, and embedding them would measure the model. So texts and vectors are
drawn at random, with the statistics of real ones, and go through the product's own ingestion, index and retrieval.
"""
