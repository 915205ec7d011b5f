"""Location of the task head in a model, by the names that timm, torchvision and transformers use.

The output of a language model over its words (``lm_head``) is no task's head.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn

from hydra_peft.errors import UserError, near
from hydra_peft.plain_text import quoted

#: names under which models without timm's metadata keep their head, or the parts of it
USUAL_NAMES = (
    *("head", "heads", "classifier", "fc", "score"),
    # of what the network is to be made like (distillation), or of what helps in training alone
    *("head_dist", "dist_head", "cls_classifier", "distillation_classifier", "classifier_distill"),
    *("aux_classifier", "auxiliary_head", "AuxLogits.fc", "aux1.fc2", "aux2.fc2"),
    # of sentences
    *("pre_classifier", "classification_head", "qa_outputs", "qa_classifier"),
    # of places in images
    *("decode_head", "segmentation_head", "roi_heads.box_predictor"),
    *("roi_heads.mask_predictor", "roi_heads.keypoint_predictor"),
)


def find_head(model: nn.Module, head: str | Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the names of the modules that make up the head of ``model``.

    Args:
        model: any module.
        head: one name or several; an empty sequence says that there is none; None looks in
            timm's metadata (``pretrained_cfg['classifier']``), then under the usual names, of which
            a model may have several.

    Raises:
        UserError: a name given does not exist in ``model``; or none was given, and ``model`` is
            but a shell around one that has a head.
    """
    modules = dict(model.named_modules())
    if head is not None:
        names = tuple(head) if isinstance(head, list | tuple) else (head,)
        for name in names:
            if not isinstance(name, str):
                raise UserError(f"head={quoted(head)} is not a module's name or a list of names.")
            if not name or name not in modules:
                known = _known_heads(model)
                linear = [n for n, module in modules.items() if isinstance(module, nn.Linear)]
                close = near(name, dict.fromkeys((*known, *filter(None, linear)))) or known
                close = close or [child for child, _ in model.named_children()]
                raise UserError(
                    f"{type(model).__name__} has no head '{name}'; near names: {', '.join(close)}."
                )
        return names
    return _known_heads(model) or _no_head(model)


def _known_heads(model: nn.Module) -> tuple[str, ...]:
    """Return the heads that timm's metadata names, else those under the usual names."""
    modules = dict(model.named_modules())
    metadata = getattr(model, "pretrained_cfg", None) or {}
    declared = metadata.get("classifier") or ()
    names = (declared,) if isinstance(declared, str) else tuple(declared)
    if names and all(name in modules for name in names):
        return names
    return tuple(name for name in USUAL_NAMES if name in modules)


def _no_head(model: nn.Module) -> tuple[str, ...]:
    """Return an empty list of head modules, unless all parameters lie in one part that has a
    head."""
    holding = [
        (n, part) for n, part in model.named_children() if any(True for _ in part.parameters())
    ]
    if len(holding) == 1 and not any(True for _ in model.parameters(recurse=False)):
        name, part = holding[0]
        if inside := find_head(part):
            raise UserError(
                f"this {type(model).__name__} holds the model in its part '{name}': pass that, or "
                f"name the head, head='{name}.{inside[0]}' (head=() says that there is none)."
            )
    return ()


def belongs_to(name: str, modules: Iterable[str]) -> bool:
    """Whether the parameter ``name`` lies inside one of ``modules``, such as the head's."""
    return any(name.startswith(f"{module}.") for module in modules)
