"""``scripts/train.py``: compose with Hydra, check, run; one job or a sweep."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hydra_peft.cli.guard import Stopped, complain, disk_sentence
from hydra_peft.cli.home import expand_home
from hydra_peft.cli.hydra_errors import COMPOSITION_ERRORS, one_sentence
from hydra_peft.cli.preflight import check_overrides
from hydra_peft.cli.torchrun import check_words, together
from hydra_peft.errors import UserError

if TYPE_CHECKING:
    from hydra_peft.runs.run import Outcome

ROOT = Path(__file__).resolve().parent.parent.parent
CONF = ROOT / "conf"


def main() -> int:
    """Run what the command line says; return the exit code.

    0: all completed. 1: some failed or diverged. 2: a mistake, nothing was started. 130: Ctrl-C.
    """
    return together(_main)


def _main() -> int:
    register()
    # argparse takes flags before or after all overrides; people also type them in between.
    words = [expand_home(word) for word in sys.argv[1:]]
    check_words(words)
    sys.argv[1:] = sorted(words, key=lambda word: word not in ("-m", "--multirun"))
    failures: list[str] = []

    @hydra.main(config_path=str(CONF), config_name="train", version_base="1.3")
    def job(config: DictConfig) -> float | None:
        return _job(config, failures)

    # With this Hydra lets exceptions through, so that the message is ours to write.
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        job()
    except Stopped as stopped:
        raise (stopped.__cause__ or stopped) from None
    except COMPOSITION_ERRORS as error:
        raise UserError(one_sentence(error, _defaults())) from None
    except ValueError as error:
        # A job's own errors come as Stopped: this one is about Hydra's command line.
        raise UserError(" ".join(str(error).split())) from None
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before
    if failures:
        complain(f"{len(failures)} of the runs did not complete: {'; '.join(failures)}")
    return 1 if failures else 0


def register() -> None:
    """Make our resolvers and our callback known to Hydra."""
    OmegaConf.register_new_resolver("project_root", lambda: str(ROOT), replace=True)
    OmegaConf.register_new_resolver("fastest_precision", _fastest_precision, replace=True)
    # A class path in code, not in a yaml: files name nothing that is instantiated.
    ConfigStore.instance().store(
        group="hydra/callbacks",
        name="preflight",
        node={"preflight": {"_target_": "hydra_peft.cli.preflight.Preflight"}},
        package="hydra.callbacks",
    )


def _fastest_precision(device: object) -> str:
    from hydra_peft.training.devices import fastest_precision

    return fastest_precision(str(device))


def _job(config: DictConfig, failures: list[str]) -> float | None:
    """Do one job. In a sweep a failing one is reported at once and the rest goes on."""
    from hydra_peft.config.check import check_config
    from hydra_peft.runs.assembly import check_data, check_model
    from hydra_peft.runs.tuning import run_protocol

    _log_to_console()
    sweeping = HydraConfig.get().mode == RunMode.MULTIRUN
    overrides = " ".join(HydraConfig.get().overrides.task) or "defaults"
    try:
        check_overrides(list(HydraConfig.get().overrides.task))
        checked = check_config(config)
        check_model(checked)
        check_data(checked)
        outcome = run_protocol(checked, OmegaConf.to_yaml(config, resolve=True))
    except Exception as error:
        full_disk = isinstance(error, OSError) and disk_sentence(error) is not None
        # On a full disk no later job can do better, and without a reader none is wanted.
        if not sweeping or full_disk or isinstance(error, BrokenPipeError):
            raise Stopped from error
        complain(f"{overrides}: {error}")
        if not isinstance(error, UserError):
            traceback.print_exc()  # a bug, not a mistake: whoever mends it needs this
        failures.append(overrides)
        return None
    try:
        _report(outcome)
    except BrokenPipeError as error:
        raise Stopped from error
    if outcome.record.status != "completed":
        failures.append(overrides)
        return None
    return float(outcome.record.metrics["accuracy"])


def _report(outcome: Outcome) -> None:
    record = outcome.record
    name = f"{record.benchmark}/{record.task} {record.method_label} seed {record.seed}"
    if record.status != "completed":
        print(f"{name}: {record.status}: {record.error}", flush=True)
        return
    metrics: dict[str, Any] = record.metrics
    done = f"done {record.started}, skipped" if outcome.skipped else _speed(outcome)
    random = ", RANDOM WEIGHTS" if record.weights.get("kind") == "random" else ""
    print(
        f"{name}: {metrics['accuracy']:.2f}% {metrics['split']} ({metrics['selection']}"
        f"{random}), {record.parameters['adapter']:,}+{record.parameters['head']:,} parameters, "
        f"{done}\n    {outcome.folder}",
        flush=True,
    )


def _speed(outcome: Outcome) -> str:
    record = outcome.record
    speed = record.images_per_second or 0.0
    return f"{record.times['total']:.1f} s, {speed:.0f} images/s"


def _log_to_console() -> None:
    log = logging.getLogger("hydra_peft")
    log.propagate = False
    if not any(type(handler) is logging.StreamHandler for handler in log.handlers):
        console = logging.StreamHandler(sys.stderr)
        console.setLevel(logging.WARNING)
        # Tracebacks belong into the run's train.log; the console gets a sentence.
        console.addFilter(lambda record: record.exc_info is None)
        console.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        log.addHandler(console)


def _defaults() -> DictConfig | None:
    """Return the config with the chosen options alone, to look near keys up in."""
    GlobalHydra.instance().clear()
    groups = {path.name for path in CONF.iterdir() if path.is_dir()}
    chosen = [word for word in sys.argv[1:] if word.split("=")[0] in groups and "," not in word]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for overrides in (chosen, []):
            try:
                return compose("train", overrides)
            except COMPOSITION_ERRORS:
                continue
    return None
