"""Model card of an export: description, scores, provenance, licence."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hydra_peft.adaptation.record import adaptation
from hydra_peft.backbones.vit_mini import EMBEDDED
from hydra_peft.export.exporting import OURS
from hydra_peft.export.source import Source
from hydra_peft.plain_text import counted, in_one_line, rounded
from hydra_peft.plugins import origin

#: names of classes that a card spells out
_SHOWN = 20


@dataclass(frozen=True)
class ModelCard:
    """Sections of a model card that one form of export adds.

    Attributes:
        library: its name as hubs have it.
        form: what was written, in words.
        load: Python code that loads it.
        notes: sentences on what is to be known of this form.
        normalises: whether it takes pixels as they are.
    """

    library: str
    form: str
    load: str
    notes: tuple[str, ...] = ()
    normalises: bool = False


def card_text(source: Source, card: ModelCard) -> str:
    """Return the card as Markdown, behind what hubs read; it names no path of this machine."""
    record = source.run.record
    title = f"{record.label} on {record.model}, {record.benchmark}/{record.task}"
    parts = [
        f"---\n{yaml.safe_dump(_for_hubs(source, card), sort_keys=False)}---",
        f"# {in_one_line(title)}",
        f"{OURS}{card.form}. Outputs were compared with the run's model before this was written.",
        *card.notes,
        f"## Load it\n\n```python\n{card.load}\n```",
        f"## Input and output\n\n{_input(source, card)}",
        f"## Scores\n\n{_scores(source)}",
        f"## Origin\n\n{_table(_origin(source))}",
    ]
    return "\n\n".join(parts) + "\n"


def licence(source: Source) -> str:
    """Return the licence of the backbone's weights as far as it is known, else ""."""
    config, weights = source.run.config, source.run.record.weights
    if config.model.architecture in EMBEDDED and config.model.checkpoint is None:
        return "mit" if weights.get("kind") == "pretrained" else ""
    if weights.get("kind") != "pretrained" or config.model.checkpoint is not None:
        return ""
    known: Any = source.run.model.pretrained_cfg
    return str(known.get("license") or "")


def backbone_code(source: Source) -> tuple[str, str]:
    """Return Python code that builds the backbone with its weights, and the imports it needs."""
    model, stock = source.run.config.model, source.stock
    build = f"model = {stock.call()}"
    if not model.pretrained:
        imported, load = _loading(source, "<weights>")
        said = "# then the backbone's weights, which were drawn at random, from a file of them:"
        return imported, "\n".join([build, said, *(f"# {line}" for line in load)])
    if model.checkpoint is None and model.architecture not in EMBEDDED:
        return "", f"model = {stock.call(pretrained=True)}"
    file, said = "<weights>", "# the backbone's weights, the file that 'Origin' below names:"
    if model.checkpoint is None:
        file, said = f"<hydra_peft>/assets/{model.architecture}.safetensors", "# its weights:"
    if Path(str(source.run.record.weights.get("source"))).suffix == ".npz":
        return "", f"{build}\n{said}\nmodel.load_pretrained('{file}')"
    imported, load = _loading(source, file)
    return imported, "\n".join([build, said, *load])


def _loading(source: Source, file: str) -> tuple[str, list[str]]:
    """Return imports and lines of code that load all but a head from ``file`` as the run did."""
    heads = tuple(f"{name}." for name in adaptation(source.run.model).head)
    imported, converting = _converting(source)
    return f"from timm.models import load_state_dict\n{imported}", [
        f"weights = load_state_dict('{file}', use_ema=False, weights_only=True)",
        "weights = {n: w.float() for n, w in weights.items()}",
        *converting,
        f"weights = {{n: w for n, w in weights.items() if not n.startswith({heads})}}",
        "missing, _ = model.load_state_dict(weights, strict=False)",
        f"missing = [n for n in missing if not n.startswith({heads})]",
        "if missing:",
        "    raise ValueError(f'these weights are of another model, they lack {missing[:3]}')",
    ]


def _converting(source: Source) -> tuple[str, list[str]]:
    """Return an import and code by which weights get timm's names and the run's image size."""
    model = source.run.config.model
    name, classes = "checkpoint_filter_fn", type(source.run.model).__mro__
    family = next((cls.__module__ for cls in classes if cls.__module__.startswith("timm.")), "")
    if not hasattr(sys.modules.get(family), name):
        return "", []
    how = "" if model.antialias else ", antialias=False"
    size = "" if model.image_size is None else f" and for images of {model.image_size} pixels"
    line = f"weights = {name}(weights, model{how})  # in timm's names{size}"
    return f"from {family} import {name}\n", [line]


def _for_hubs(source: Source, card: ModelCard) -> dict[str, Any]:
    found: dict[str, Any] = {"library_name": card.library}
    if stated := licence(source):
        found["license"] = in_one_line(stated)
    if source.classes:
        found["pipeline_tag"] = "image-classification"
    return found | {"tags": list(dict.fromkeys((card.library, "hydra_peft")))}


def resizing(source: Source) -> str:
    """Return in words how an image comes to the model's size."""
    height, width = source.size
    if source.crop:
        return f"the middle {height} x {width} of what PIL's bicubic makes of their short side"
    return f"resized to {height} x {width} by PIL's bicubic without regard to aspect"


def _input(source: Source, card: ModelCard) -> str:
    lines = [
        f"RGB images, {resizing(source)}, divided by 255, less mean {list(source.mean)}, over "
        f"{list(source.std)}, by channel{' (all but the resizing is inside)' * card.normalises}."
    ]
    if source.classes:
        shown = ", ".join(in_one_line(name) for name in source.classes[:_SHOWN])
        more = f" and {len(source.classes) - _SHOWN} more" * (len(source.classes) > _SHOWN)
        classes = counted(len(source.classes), "class", "classes")
        lines.append(f"Outputs are logits of {classes}: {shown}{more}.")
    else:
        lines.append(f"Outputs are {source.stock.outputs} values.")
    return " ".join(lines)


def _scores(source: Source) -> str:
    record = source.run.record
    lines = ["| split | metric | score | examples |", "|---|---|---|---|"]
    for split, scores in record.scores.items():
        for metric, value in scores.items():
            counts = split == record.split and metric == record.primary
            examples = str(record.counts.get("scored", "")) if split == record.split else ""
            name = f"**{metric}**" if counts else metric
            lines.append(f"| {split} | {name} | {rounded(value, 2)} | {examples} |")
    weights = " Weights of the backbone were random." if record.random_weights else ""
    partial = " The data was not the whole task." if record.data.get("partial") else ""
    said = (
        f"Protocol `{record.protocol}`: trained on `{record.trained_on}`, score of the "
        f"{record.rule}, seed {record.seed}.{weights}{partial}"
    )
    return "\n".join(map(in_one_line, lines)) + "\n\n" + in_one_line(said)


def _origin(source: Source) -> Mapping[str, object]:
    record = source.run.record
    named = str(record.weights.get("source", ""))
    where = Path(named).name if Path(named).is_absolute() else named
    stated = licence(source)
    plugin = origin("hydra_peft.methods", source.run.config.method.name) or {}
    return {
        "config_id": record.config_id,
        "method": ", ".join(f"{k}={v}" for k, v in record.method.items()),
        "whose the method is": " ".join(
            filter(None, (plugin.get(key) for key in ("module", "distribution", "version")))
        ),
        "backbone": f"{source.stock.call()} in timm",
        "weights of the backbone": f"{where} (sha256 {record.weights.get('sha256')})",
        "whose they are": record.weights.get("origin", ""),
        "their licence": stated or "not known: see where they come from",
        "data": f"sha256 {record.data.get('sha256')}",
        "adapter": f"sha256 {record.adapter}" if record.adapter else "",
        "parameters": ", ".join(f"{k} {v:,}" for k, v in record.parameters.items()),
        "code": ", ".join(f"{k} {v}" for k, v in record.code.items() if isinstance(v, str)),
        "versions": ", ".join(f"{k} {v}" for k, v in record.versions.items()),
        "ended": record.ended,
    }


def _table(rows: Mapping[str, object]) -> str:
    lines = [f"| {key} | {str(value).replace('|', '/')} |" for key, value in rows.items() if value]
    return "\n".join(["| | |", "|---|---|", *map(in_one_line, lines)])
