"""Backbones that timm does not have: one module each, its class bound to ``BACKBONE``.

Such a class takes its options as keyword arguments, has ``reset_classifier(outputs)`` and the two
functions of :class:`hydra_peft.backbones.inputs.OwnInputs`; ``model.architecture`` is the name of
its module.
"""
