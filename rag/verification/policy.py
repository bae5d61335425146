"""How strict the check is: one set of thresholds, which a tenant may have of its own.

The defaults were measured; `make eval` prints what they give on labelled sentences and on answerable and unanswerable
questions, and the curves that they were chosen on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Mode = Literal["repair", "drop", "mark"]


@dataclass(frozen=True, slots=True)
class Policy:
    """`unsupported_below` and `supported_from` bound G (`rag.verification.support`): below the first a sentence is
    unsupported, from the second on a passage may be given to a sentence that did not cite it. `entailed_from` is the
    same bound for a verifier model, where there is one. Below `answerable_from` no answer is tried; it is lower than it
    could be on questions like XQuAD's, because people word theirs further from the documents. An answer by
    quotation is long enough when the sentences quoted hold the answer with the probability `quoted_enough`. With
    `translates` the generator is trusted to put passages of another language into the question's, beside the quotation.
    """

    mode: Mode = "repair"
    unsupported_below: float = 0.22
    supported_from: float = 0.45
    entailed_from: float = 0.5
    answerable_from: float = 0.3
    quoted_enough: float = 0.65
    translates: bool = False


@dataclass(frozen=True, slots=True)
class Policies:
    """The policy of each tenant: its own, or the one of all others."""

    default: Policy = field(default_factory=Policy)
    tenants: Mapping[str, Policy] = field(default_factory=dict)

    def of(self, tenant_id: str) -> Policy:
        return self.tenants.get(tenant_id, self.default)
