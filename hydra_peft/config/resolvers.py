"""The functions that ``conf`` calls in its interpolations, for whatever process resolves them."""

from __future__ import annotations

import functools
import re
from typing import Any

from omegaconf import OmegaConf

from hydra_peft.checkout import PACKAGE, ROOT, conf_roots, option
from hydra_peft.files import text_of


def register_resolvers() -> None:
    """Make ``project_root`` and the other functions here known to OmegaConf."""
    OmegaConf.register_new_resolver("project_root", lambda: str(ROOT), replace=True)
    OmegaConf.register_new_resolver("benchmarks", benchmarks, replace=True)
    OmegaConf.register_new_resolver("embedded", embedded, replace=True)
    OmegaConf.register_new_resolver("first_protocol", first_protocol, replace=True)
    OmegaConf.register_new_resolver("benchmark_of", benchmark_of, replace=True)
    OmegaConf.register_new_resolver("in_proportion", in_proportion, replace=True)
    OmegaConf.register_new_resolver("log_spaced", log_spaced, replace=True)
    OmegaConf.register_new_resolver("prepared_weights", prepared_weights, replace=True)
    OmegaConf.register_new_resolver("tuned_on", tuned_on, replace=True)
    OmegaConf.register_new_resolver("usual_head", usual_head, replace=True)


@functools.cache
def first_protocol(dataset: str) -> str:
    """Return the protocol that runs of ``conf/dataset/<dataset>.yaml`` take by default.

    That is the first of its benchmark's. Of a data set of a user's own folder it is ``clean``: its
    yaml names another with ``override /protocol`` in its defaults list.
    """
    from hydra_peft.config.benchmarks import find_benchmark  # which needs this module

    return find_benchmark(benchmark_of(dataset)).protocols[0]


@functools.cache
def benchmarks(key: str, dataset: str) -> str:
    """Return what the benchmark of ``conf/dataset/<dataset>.yaml`` trains with: ``optimizer`` or
    ``scheduler``, options of these groups."""
    from hydra_peft.config.benchmarks import find_benchmark  # which needs this module

    found: str = getattr(find_benchmark(benchmark_of(dataset)), key)
    return found


@functools.cache
def usual_head(dataset: str, model: str) -> str:
    """Return the head that runs of ``conf/dataset/<dataset>.yaml`` on ``conf/model/<model>.yaml``
    take by default: the benchmark's where the model has a text tower, else ``linear``."""
    from hydra_peft.config.benchmarks import find_benchmark  # which needs this module

    if option("model", model).get("text_tower") is None:
        return "linear"
    return find_benchmark(benchmark_of(dataset)).clip_head


@functools.cache
def benchmark_of(dataset: str) -> str:
    """Return the benchmark of ``conf/dataset/<dataset>.yaml``; empty of a user's own folder's."""
    # Not parsed: that takes longer than all the rest of a composition.
    paths = (root / "dataset" / f"{dataset}.yaml" for root in conf_roots())
    text = next((text_of(path) for path in paths if path.is_file()), "")
    found = re.search(r"^benchmark: *([\w-]+)", text, re.MULTILINE)
    return found[1] if found else ""


def in_proportion(length: Any, epochs: Any, recommended: Any) -> Any:
    """Shorten ``length``, part of ``recommended`` epochs, for a run of fewer epochs; round down.

    What is no whole number is given back as it is: the checks of the config say what is wrong.
    """
    counts = all(type(value) is int and value > 0 for value in (length, epochs, recommended))
    return length * epochs // recommended if counts and epochs < recommended else length


def log_spaced(first: Any, last: Any, count: Any) -> Any:
    """Return ``count`` numbers from 10^first to 10^last, evenly spaced by their logarithm.

    They have six significant digits, so that they are the same on every machine.
    """
    exponents = (first + (last - first) * place / (count - 1) for place in range(count))
    # A list that is none of OmegaConf's own cannot be resolved in its place (--cfg job --resolve).
    return OmegaConf.create([float(f"{10**exponent:.6g}") for exponent in exponents])


def prepared_weights(pretrained: Any, folder: Any, name: Any) -> str | None:
    """Return the file that ``scripts/prepare_weights.py`` makes; None where weights are random."""
    return None if pretrained is False else f"{folder}/{name}.safetensors"


def embedded(pretrained: Any, name: Any) -> str | None:
    """Return the folder of an embedded text encoder; None where weights are random."""
    return None if pretrained is False else str(PACKAGE / "assets" / str(name))


def tuned_on(architecture: Any, tuned: Any, value: Any, neutral: Any) -> Any:
    """Return ``value``, which was chosen on the architecture ``tuned``; ``neutral`` on others."""
    chosen = value if architecture == tuned else neutral
    # A list that is none of OmegaConf's own cannot be resolved in its place (--cfg job --resolve).
    return OmegaConf.create(chosen) if isinstance(chosen, list) else chosen
