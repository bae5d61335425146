"""What a new user asks of ordinary office documents: the questions, the documents, and what an answer is worth.

There are two parts by two authors. The service may be tuned on `tuning`; nobody who tunes it reads `held_out`, which
says how good it is. Both parts' documents stand in one index, as those of an organisation do.
"""

from load.evaluation.everyday.grading import Grade, Verdict, grade
from load.evaluation.everyday.questions import EverydayQuestion

__all__ = ["EverydayQuestion", "Grade", "Verdict", "grade"]
