"""The weight of a claim's words does not depend on the order in which a process keeps them."""

import subprocess
import sys
from typing import Final

_PROGRAM: Final = """
from rag.verification.support import coverage, read_claim
asked = "alpha beta gamma delta epsilon zeta theta iota kappa"
claim = read_claim(asked, lambda words: [0.1 * n for n in range(len(words))])
print(repr([coverage(claim, [frozenset(list(claim.content)[n:])]) for n in range(6)]))
"""


def test_every_process_weighs_alike() -> None:
    """To the last bit: it decides between statements that are nearly equal, and so what is cited."""
    told = {
        subprocess.run(
            [sys.executable, "-c", _PROGRAM], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("0", "1", "2", "3")
    }

    assert len(told) == 1
