"""Every job of a sweep is checked before the first one starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from hydra_peft.cli.guard import Stopped
from hydra_peft.cli.hydra_errors import COMPOSITION_ERRORS, one_sentence
from hydra_peft.errors import UserError

if TYPE_CHECKING:
    from hydra_peft.config.schema import ModelConfig

#: keys of a protocol that are asked for beside its name
_FREE = ("protocol.tune", "protocol.grid", "protocol.search", "protocol.trials")


class Preflight(Callback):
    """Composes and checks all jobs of a sweep when Hydra is about to start it."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """Check all jobs.

        Raises:
            Stopped: one of them cannot work (or a bug here, which must not pass for a check).
        """
        try:
            check_jobs(config)
        except Exception as error:
            raise Stopped from error


def check_jobs(config: DictConfig) -> None:
    """Check every job of the sweep that ``config`` (Hydra's own, with overrides) describes.

    Raises:
        UserError: a job cannot work; the message starts with its overrides.
    """
    from hydra_peft.config.check import check_config
    from hydra_peft.runs.assembly import check_data, check_model, splits_needed
    from hydra_peft.runs.search import check_search

    loader = GlobalHydra.instance().config_loader()
    models, data = set(), set()
    weights: dict[str, tuple[list[str], ModelConfig]] = {}
    for overrides in _expanded(config):
        with _named(overrides):
            check_overrides(overrides)
            composed = loader.load_sweep_config(config, overrides)
            job = OmegaConf.masked_copy(composed, [str(k) for k in composed if k != "hydra"])
            checked = check_config(job)
            check_search(checked.protocol)
            # Seeds and rates do not decide whether the parts fit; models are built to find out.
            parts = repr((checked.model, checked.method, checked.device))
            if parts not in models:
                check_model(checked)
                models.add(parts)
            wanted = repr((checked.dataset, checked.paths, splits_needed(checked.protocol)))
            if wanted not in data:
                check_data(checked)
                data.add(wanted)
            model = checked.model
            source = repr((model.architecture, model.arguments, model.checkpoint))
            if model.pretrained:
                weights.setdefault(source, (overrides, model))
    _check_weights(list(weights.values()))


def _check_weights(wanted: list[tuple[list[str], ModelConfig]]) -> None:
    """Check each set of weights once; last of all, since the hub may have to be asked for them."""
    from hydra_peft.models.backbones import check_weights

    for overrides, model in wanted:
        with _named(overrides):
            check_weights(
                model.architecture,
                arguments=model.arguments,
                drop_path=model.drop_path,
                checkpoint=model.checkpoint,
                url=model.url,
            )


@contextmanager
def _named(overrides: list[str]) -> Iterator[None]:
    """Let mistakes in a job say which job."""
    try:
        yield
    except UserError as error:
        raise UserError(f"job '{' '.join(overrides)}': {error}") from None
    except COMPOSITION_ERRORS as error:
        raise UserError(one_sentence(error, None)) from None


def check_overrides(overrides: list[str]) -> None:
    """Check that no override changes what a name stands for instead of what a run does.

    Raises:
        UserError: one does; a table could not tell such a run from one of the recipe or protocol.
    """
    for override in overrides:
        key = override.lstrip("+~").split("=")[0].strip()
        if key.startswith(("dataset.recipe", "dataset.versions")) or key == "method.recipe":
            raise UserError(
                f"'{override}' would change the task's recommendation: override what the run "
                "takes from it, such as optimizer.lr, train.epochs or method.dropout."
            )
        if key.startswith("protocol.fills"):
            raise UserError(
                f"'{override}' would change the protocol under its name: override what the run "
                "takes from it, such as method.init, model.drop_path or data.normalization."
            )
        if key == "protocol.name":
            raise UserError(
                f"'{override}' would give one protocol another's name: choose one as "
                "protocol=<name>, or write a new one as conf/protocol/<name>.yaml."
            )
        if key.startswith("protocol.") and not key.startswith(_FREE):
            raise UserError(
                f"'{override}' would change the protocol under its name: choose another as "
                "protocol=<name>, or write a new one as conf/protocol/<name>.yaml."
            )


def _expanded(config: DictConfig) -> list[list[str]]:
    try:
        return expand(config)
    except COMPOSITION_ERRORS as error:
        raise UserError(one_sentence(error, None)) from None


def expand(config: DictConfig) -> list[list[str]]:
    """Return the overrides of each job: all combinations, in the order Hydra runs them."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    parameters = config.hydra.sweeper.params or {}
    overrides = [f"{key}={value}" for key, value in parameters.items()]
    overrides += list(config.hydra.overrides.task)
    # The loader is what globs, such as dataset='glob(*)', are looked up in.
    loader = GlobalHydra.instance().config_loader()
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(overrides)
    return [job for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]
