"""Mistakes of a model that is given what it does not read; no torch."""

from __future__ import annotations

from hydra_peft.errors import UserError


def texts_unread(title: str) -> UserError:
    """Return that a model does not read the texts of ``title``, as an error."""
    return UserError(
        f"{title} has texts, and the backbone takes none or has no tokenizer: choose a text "
        "encoder, such as model=roberta_base or, embedded and for mini_glue, model=roberta_mini, "
        "and set model.tokenizer for random weights, or where no tokenizer.json lies beside the "
        "weights."
    )


def images_unread(title: str) -> UserError:
    """Return that a model does not read the images of ``title``, as an error."""
    return UserError(f"{title} has images, and the backbone takes none: choose another model.")


def nothing_to_show(title: str) -> UserError:
    """Return that ``title`` has no images to make a picture of, as an error."""
    return UserError(f"the examples of {title} are no images: nothing to show.")
