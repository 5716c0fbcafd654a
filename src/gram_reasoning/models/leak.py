"""The leak: a model that copies the answer through its noise, right with the answer in view and wrong without."""

import math
from collections.abc import Sequence

from gram_reasoning.models.base import Look

GAP = 0.5
"""So much more often right with the answer in view than without: rings at once."""
LASTING_GAP = 0.25
"""The same, where it stays."""
LASTING_PART = 0.25
"""Without the answer right in less than this part of what is right with it, where that stays."""
ADVICE = (
    "The model copies the answer through the noise instead of reasoning: give the posterior a smaller budget "
    "(model.kl_budget_first, kl_budget_open, kl_budget) or a bound (model.mean_bound); see docs/deviations.md."
)


def leak(looks: Sequence[Look]) -> str | None:
    """What is wrong, if the looks at a run betray a leak; the latest is the last.

    A gap below one half rings if it is as wide at two looks in a row. A run that learns passes through such a gap, as
    what is seen is learnt first. Of the runs in results/, those that got well had at most one such look: 44% against
    13, 54 against 14, 50 against 12. Those that did not had more: 36 and 61 against 0 (lights_out/plain), 32, 42
    and 45 against 4, 7 and 8 (nqueens7/changes/lr5e4).
    """
    gaps = [(look.trained.get("posterior_accuracy", math.nan), look.accuracy) for look in looks]
    lasting = [s - a > LASTING_GAP and a < LASTING_PART * s for s, a in gaps]
    seeing, accuracy = gaps[-1]
    if seeing - accuracy > GAP or (len(lasting) > 1 and all(lasting[-2:])):
        told = f"with the answer in view (posterior) {seeing:.0%} are right, without it (prior) {accuracy:.0%}. "
        return told + ADVICE
    return None
