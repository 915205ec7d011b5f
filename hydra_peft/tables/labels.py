"""Labels of weights and data that tables, figures and reports share."""

from __future__ import annotations

from hydra_peft.runs.record import Record

#: mark of what was run on a part of the task's data
PARTIAL = "PARTIAL DATA"
#: in the place of the weights' hash
RANDOM = "RANDOM WEIGHTS"


def weights_label(record: Record) -> str:
    """Return ``pretrained 1a2b3c4d``, or ``RANDOM WEIGHTS`` where nothing says pretrained.

    Each seed draws its own random backbone: one row over those draws is what is meant.
    """
    if record.random_weights:
        return RANDOM
    return f"pretrained {str(record.weights.get('sha256'))[:8]}"
