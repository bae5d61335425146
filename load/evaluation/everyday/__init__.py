"""Measure the service on what a new user asks of ordinary office documents.

There are two parts by two authors. The service may be tuned on `tuning`; nobody who tunes it reads `held_out`, which
measures it. The documents of both parts are in one index, like those of an organisation.
"""

from load.evaluation.everyday.grading import Grade, Verdict, grade
from load.evaluation.everyday.questions import EverydayQuestion

__all__ = ["EverydayQuestion", "Grade", "Verdict", "grade"]
