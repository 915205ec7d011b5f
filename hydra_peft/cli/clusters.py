"""``hydra/launcher=slurm``, and other launchers of hydra-submitit-launcher, driven by our sweeper.

The plugin's own ``launch`` composes each job again on its node, when it starts, from files that may
have changed since; ends with the first job that has crashed, and so loses what the others gave; and
tells of nothing before the last job has ended. So its settings are used and its executor, not that.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.launcher import Launcher
from omegaconf import OmegaConf

from hydra_peft.config.schema import LauncherConfig
from hydra_peft.errors import UserError

if TYPE_CHECKING:
    from hydra_peft.sweeps.job import Composition

#: what the names of launchers for clusters begin with: all of submitit's, our preset, Ray's
NAMES = ("slurm", "submitit_", "ray")
NEEDED = (
    "{0} needs hydra-submitit-launcher, which is not installed: pip install 'hydra-peft[slurm]'."
)
#: keys that nothing but a sweep reads
_OF_SWEEPS = re.compile(r"[+~]*(?:hydra[./](?:sweeper|launcher|sweep)|launcher)\b(?=[.=@])")
#: our launchers, and the keys of ``launcher`` that each of them reads
_READ_BY = {
    "local": ("gpus", "jobs_per_gpu", "cpu_slots"),
    "packed": ("pack",),
    "ray": ("address", "gpu_fraction", "cpus"),
}
_PLUGIN = "hydra_plugins.hydra_submitit_launcher"


def is_submitit(launcher: Launcher | None) -> bool:
    """Whether ``launcher`` is one of hydra-submitit-launcher."""
    return any(cls.__module__.startswith(_PLUGIN) for cls in type(launcher).__mro__)


def check_single() -> None:
    """Check that a run outside of a sweep was asked for nothing that a sweep alone has.

    What a preset has of it is for who adds ``-m``.

    Raises:
        UserError: it was; it would run on this machine, and once.
    """
    launcher = str(HydraConfig.get().runtime.choices.get("hydra/launcher"))
    if launcher.startswith(NAMES):
        raise UserError(
            f"hydra/launcher={launcher} is for sweeps, and this run would run here: add -m, which "
            "makes it a sweep of one."
        )
    for word in typed_words(HydraConfig.get().overrides):
        if _OF_SWEEPS.match(word):
            reader = _reader(word)
            added = "-m," if reader in (None, launcher) else f"-m hydra/launcher={reader},"
            raise UserError(
                f"'{word}' is for sweeps, and does nothing for a run by itself: add {added} which "
                "makes it a sweep, or leave it out."
            )
    sweeper = HydraConfig.get().sweeper
    if sweeper.get("params") or sweeper.get("beside"):
        print("note: the preset has a sweep, and this is one run: add -m for it.", file=sys.stderr)


def check_read(words: Iterable[str], launcher: str) -> None:
    """Check that the launcher of a sweep reads the settings of launchers that were typed.

    Args:
        words: overrides of the command line; what presets have is for who chooses a launcher.
        launcher: the option of hydra/launcher.

    Raises:
        UserError: only another launcher reads one of them.
    """
    usual = {one.name: one.default for one in fields(LauncherConfig)}
    for word in words:
        reader = _reader(word)
        if reader in (None, launcher):
            continue
        override = OverridesParser.create().parse_override(word)
        if override.value() != usual[override.key_or_group.removeprefix("launcher.")]:
            raise UserError(
                f"'{word}' does nothing for hydra/launcher={launcher}: choose "
                f"hydra/launcher={reader}, which reads it, or leave it out."
            )


def _reader(word: str) -> str | None:
    """Return the launcher that reads what ``word`` sets, None if that is no key of ``launcher``."""
    key = word.lstrip("+").partition("=")[0].removeprefix("launcher.")
    if not word.lstrip("+").startswith("launcher."):
        return None
    return next((name for name, keys in _READ_BY.items() if key in keys), None)


def typed_words(overrides: Any) -> list[str]:
    """Return the overrides of a command line as they were typed, Hydra's own first."""
    typed = OmegaConf.to_container(overrides, resolve=False)
    assert isinstance(typed, dict), "by whom they are for"
    return [*typed["hydra"], *typed["task"]]


def check_for_nodes(found: Iterable[Composition]) -> None:
    """Check that no job leaves to the machine it is planned on what its node has.

    Raises:
        UserError: one does. Precision is part of a run's identity: planned here and done there
            would be two runs.
    """
    for composition in found:
        config = composition.config
        if config is None:
            continue  # which is told after this
        told = ("device=cuda", "device=cpu")
        if config.precision == "auto":
            bf16 = "device=cuda precision=bf16 (precision=fp32 for GPUs without bfloat16)"
            told = (bf16, "device=cpu precision=fp32")
        elif config.device != "auto":
            continue
        raise UserError(
            "jobs for a cluster are planned here, where nobody can see what its nodes have: add "
            f"{told[0]}, or {told[1]}."
        )


def check_one_process(launcher: Any) -> None:
    """Check that a launcher of submitit gives each job one process.

    Raises:
        UserError: it gives more.
    """
    for key in ("nodes", "tasks_per_node"):
        if launcher.params.get(key) not in (None, 1):
            raise UserError(
                f"hydra.launcher.{key}={launcher.params[key]}: a job is one process on one node: "
                "set it to 1; for one run on several GPUs see torchrun in docs/clusters.md."
            )


def executor_of(launcher: Any) -> Any:
    """Return submitit's executor with the settings of ``launcher``.

    Raises:
        UserError: settings that submitit does not take, or there is no SLURM here.
    """
    import submitit
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

    cluster: str = launcher._EXECUTOR
    settings = {key: value for key, value in launcher.params.items() if value is not None}
    folder = Path(settings.pop("submitit_folder")).expanduser().absolute()
    timeouts = {"max_num_timeout": settings.pop("max_num_timeout", None)}
    shared = set(BaseQueueConf.__dataclass_fields__)
    try:
        executor = submitit.AutoExecutor(
            folder,
            cluster=cluster,
            **{f"{cluster}_{key}": n for key, n in timeouts.items() if n is not None},
        )
        executor.update_parameters(
            **{key if key in shared else f"{cluster}_{key}": settings[key] for key in settings}
        )
    except RuntimeError as error:
        if "srun" not in str(error):
            raise
        raise UserError(
            "there is no SLURM on this machine (no srun): type the command on a login node of the "
            "cluster."
        ) from error
    except (AssertionError, NameError, ValueError) as error:
        raise UserError(f"hydra.launcher: {' '.join(str(error).split())}") from error
    _keep_private(folder)
    return executor


def _keep_private(folder: Path) -> None:
    """Make the folder of scripts and pickles one that only its owner may look into or change."""
    from submitit.core.utils import JobPaths

    top: Path = JobPaths.get_first_id_independent_folder(folder)
    top.mkdir(parents=True, exist_ok=True)
    if top.name == ".submitit":
        top.chmod(0o700)
