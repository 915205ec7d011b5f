"""``to=adapter``: adapter and head alone, which ``load_adapter`` puts on timm's model."""

from __future__ import annotations

import copy
from pathlib import Path

from torch import Tensor

from hydra_peft.adaptation.heads import belongs_to
from hydra_peft.adaptation.record import adaptation
from hydra_peft.adaptation.storage import load_adapter, write_adapter
from hydra_peft.export.card import ModelCard, backbone_code
from hydra_peft.export.plain import put_linear_head, unadapted_copy
from hydra_peft.export.source import Source, check_same_outputs, outputs_of
from hydra_peft.plugins import origin, used


def write(source: Source, folder: Path, _: Tensor | None) -> ModelCard:
    """Write adapter and head into ``folder``, put them on timm's model and compare outputs.

    Raises:
        UserError: the head is no linear layer, or what was read back computes something else.
    """
    model = copy.deepcopy(source.run.model)
    put_linear_head(model)
    write_adapter(model, folder)
    plain = unadapted_copy(model)
    head, state = adaptation(plain).head, plain.state_dict()
    stock = source.stock.build()
    stock.load_state_dict(state | {n: 0 * t for n, t in state.items() if belongs_to(n, head)})
    # What the method trained of the backbone itself is the adapter's, and in the copy already.
    load_adapter(stock, folder)
    check_same_outputs(outputs_of(stock, source.inputs), source.outputs, "timm's model with it")
    before, base = backbone_code(source)
    return ModelCard(
        library="hydra_peft",
        form="as adapter and head, to be put on the backbone",
        load=(
            f"import timm\nimport hydra_peft\n{before}{_plugin(source)}\n{base}\n"
            "hydra_peft.load_adapter(model, '<this folder>')\n"
            "model.eval()  # hydra_peft.merge(model) makes plain layers of it"
        ),
    )


def _plugin(source: Source) -> str:
    """Return Python code that makes the method known where it is somebody's own; "" where ours."""
    method = source.run.config.method.name
    told = origin("hydra_peft.methods", method)
    if told is None:
        return ""
    if (module := told["module"]) in used():
        said = f"has the method '{method}': put its folder on PYTHONPATH"
        return f"from hydra_peft.plugins import use\n\nuse(['{module}'])  # {said}\n"
    of = " ".join(part for part in (told["distribution"], told["version"]) if part)
    return f"\n# the method '{method}' is of the package {of}, which must be installed\n"
