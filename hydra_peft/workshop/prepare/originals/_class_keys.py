"""Names that the classes of ELEVATER's tasks have in their originals, in the benchmark's order."""

from __future__ import annotations

from hydra_peft.data.prompts import find_prompts


def class_keys(task: str) -> tuple[str, ...]:
    """Return the names of the classes of ``task``, by label (``conf/prompts/elevater``)."""
    prompts = find_prompts("elevater", task)
    assert prompts is not None, "each task of ELEVATER has prompts"
    return prompts.keys
