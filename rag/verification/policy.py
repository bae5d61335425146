"""Define how strict the check is: one set of thresholds, which a tenant may override.

The defaults were measured. `make eval` prints their results on labelled sentences and on answerable and unanswerable
questions, with the curves that they were chosen on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Mode = Literal["repair", "drop", "mark"]


@dataclass(frozen=True, slots=True)
class Policy:
    """The thresholds and the mode of the check.

    `unsupported_below` and `supported_from` bound G (`rag.verification.support`): a sentence below the first is
    unsupported; from the second on a passage may be cited for a sentence that did not cite it. `entailed_from` is the
    bound of a verifier model, if there is one. Below `answerable_from` no answer is tried; it is lower than XQuAD alone
    would suggest, because people's wording is further from the documents. Quotation ends once the sentences quoted hold
    the answer with the probability `quoted_enough`. With `translates` the generator is trusted to translate passages
    into the language of the question, beside the quotation.
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
    """The policy of each tenant: its own, or the default."""

    default: Policy = field(default_factory=Policy)
    tenants: Mapping[str, Policy] = field(default_factory=dict)

    def of(self, tenant_id: str) -> Policy:
        """Return the policy of a tenant."""
        return self.tenants.get(tenant_id, self.default)
