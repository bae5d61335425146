"""The canary gate: `python -m load.gate --stable URL --canary URL` decides whether the canary may get more traffic.

It asks both deployments the same questions in pairs: one right after the other, in random order. So a busy phase of the
machine or the network affects both, and the gate always compares two answers to the same question.
"""
