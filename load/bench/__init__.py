"""`make bench`: measure the cost that the product adds to its models, as ratios within one run.

Absolute times depend more on the machine and its other load than on us; a ratio cancels both out.
"""
