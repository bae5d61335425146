"""Decide whether a canary may get more traffic: `python -m load.gate --stable URL --canary URL`.

The gate asks both deployments the same questions in pairs: one right after the other, in random order. So a busy phase
of the machine or the network affects both, and the gate always compares two answers to the same question.
"""
