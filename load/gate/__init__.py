"""The canary gate: `python -m load.gate --stable URL --canary URL` says whether a new deployment may have more traffic.

Both are asked the same questions, pair by pair: one right after the other, in an order that a coin decides. A busy
moment of machine or network meets both, and what is compared is always two answers to one question.
"""
