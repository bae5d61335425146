"""`make bench`: what the product adds to the models it runs, as ratios measured in one run.

Absolute times say more about the machine and its neighbours than about us; both sides of a ratio share them.
"""
