"""``scripts/train.py``: compose with Hydra, check, run; one job or a sweep."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import hydra
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hydra_peft.checkout import CONF
from hydra_peft.cli.clusters import check_single
from hydra_peft.cli.flags import check_flags, flags_first
from hydra_peft.cli.guard import Stopped, complain
from hydra_peft.cli.home import expand_home
from hydra_peft.cli.hydra_errors import (
    COMPOSITION_ERRORS,
    of_command_line,
    of_hydra_itself,
    one_sentence,
)
from hydra_peft.cli.hydra_keys import check_keys_of_hydra
from hydra_peft.cli.hydra_mode import mode_of
from hydra_peft.cli.idle_words import check_acting
from hydra_peft.cli.known_keys import known_key
from hydra_peft.cli.launchers import register_launchers
from hydra_peft.cli.lost_words import lost
from hydra_peft.cli.mapping_words import check_no_mappings
from hydra_peft.cli.open_keys import set_open_keys
from hydra_peft.cli.overrides import check_choices, check_overrides
from hydra_peft.cli.parsed_once import parse_once
from hydra_peft.cli.parted_words import check_quoted
from hydra_peft.cli.plugins import register_plugins
from hydra_peft.cli.sweeper import (
    JobFailed,
    check_sweeper,
    register_sweeper,
    show,
    tell,
    tell_of_past,
    unfinished,
)
from hydra_peft.cli.torchrun import together
from hydra_peft.cli.whole_sweep import leave_words_to_jobs
from hydra_peft.commands import command
from hydra_peft.config.resolvers import register_resolvers
from hydra_peft.errors import UserError
from hydra_peft.files import real_path
from hydra_peft.plain_text import in_short
from hydra_peft.sweeps.console import log_to_console
from hydra_peft.sweeps.job import Job

if TYPE_CHECKING:
    from hydra_peft.config.schema import RunConfig

#: runs that a sweep's last line names
NAMED = 20


def main() -> int:
    """Run what the command line says; return the exit code.

    0: all completed. 1: some failed or diverged. 2: a mistake, nothing was started. 130: Ctrl-C.
    """
    return together(_main)


def _main() -> int:
    register()
    check_quoted(sys.argv[1:], lambda key: known_key(key) or key.startswith("hydra"))
    # argparse takes flags before or after all overrides; people also type them in between.
    words = [expand_home(word) for word in sys.argv[1:]]
    sys.argv[1:] = flags_first(words)
    if "--hydra-help" in sys.argv[1:]:  # which says nothing of a run's config
        sys.argv[1:] = ["--hydra-help"]
    typed = check_flags(sys.argv[1:])
    check_keys_of_hydra(sys.argv[1:])
    check_no_mappings(typed)
    check_choices(typed)
    check_overrides(typed)
    unfinished.clear()
    # With this Hydra lets exceptions through, so that the message is ours to write.
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        with mode_of(sys.argv[1:]):
            hydra.main(config_path=str(CONF), config_name="train", version_base="1.3")(job)()
    except Stopped as stopped:
        cause = stopped.__cause__
        if isinstance(cause, COMPOSITION_ERRORS):
            raise UserError(one_sentence(cause)) from None
        raise (cause or stopped) from None
    except COMPOSITION_ERRORS as error:
        raise UserError(one_sentence(error, _defaults, words)) from None
    except ValueError as error:
        # A job's own errors come as Stopped: this one is about Hydra's command line.
        raise UserError(of_command_line(error)) from None
    except RecursionError:
        raise UserError("a config is nested without end: a yaml alias in itself?") from None
    except Exception as error:
        mistake = of_hydra_itself(error, sys.argv[1:])
        if mistake is None:
            raise
        raise mistake from None
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before
    if unfinished:
        named = "; ".join(unfinished[:NAMED])
        more = f"; and {len(unfinished) - NAMED} more" if len(unfinished) > NAMED else ""
        complain(f"{len(unfinished)} of the runs did not complete: {named}{more}")
    return 1 if unfinished else 0


def register() -> None:
    """Make our resolvers, launchers, sweeper and the yaml files of plugins known to Hydra.

    It parses no yaml file twice from then on.
    """
    parse_once()
    set_open_keys()
    leave_words_to_jobs()
    register_resolvers()
    OmegaConf.register_new_resolver("command", command, replace=True)  # of the help
    register_plugins()
    register_launchers()
    register_sweeper()


def job(config: DictConfig) -> float | None:
    """Do one job: all there is, or one that a launcher of Hydra's kind gives out.

    Raises:
        Stopped: what ended a run that is not part of a sweep, or no later job can survive.
        JobFailed: a job of a sweep did not complete; that was printed.
    """
    log_to_console()
    typed = HydraConfig.get().overrides.task
    overrides = cast(list[str], OmegaConf.to_container(typed, resolve=False))
    try:
        check_sweeper()
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            return _one_of_many(config, overrides)
        check_single()
        return _single(config, overrides)
    except JobFailed:
        raise
    except Exception as error:
        raise Stopped from error


def _single(config: DictConfig, overrides: list[str]) -> float | None:
    from hydra_peft.config.check import check_config
    from hydra_peft.runs.first_look import look_first

    checked = check_config(config)
    check_acting(overrides, [checked])
    look_first(checked)  # before torch is loaded, which takes seconds
    from hydra_peft.runs.on_device import on_device
    from hydra_peft.sweeps.job import Composition
    from hydra_peft.sweeps.plan import plan
    from hydra_peft.training.distributed import current

    checked = on_device(checked)
    job = Job.of(overrides, checked)
    world = current()
    planned = None
    if world.is_main:
        # Of a run the last counts, as scripts that add words expect; a sweep refuses it.
        for said, _ in lost(overrides):
            print(in_short(f"note: {said}: the last counts."), file=sys.stderr)
        (planned,) = plan([Composition(job, checked)], thorough=checked.sweep.dry_run)
    # One plan for all processes: another would take the first one's claim for somebody else's.
    state, reason, starts = world.broadcast(
        ("", None, False) if planned is None else (planned.state, planned.reason, planned.starts)
    )
    if planned is not None and checked.sweep.dry_run:
        show([planned])
    if checked.sweep.dry_run:
        return None
    if state == "broken" or (state == "running" and world.size > 1):
        raise UserError(reason or "")
    if not starts:
        if planned is not None:
            tell_of_past(planned)
        return planned.record.score if planned and planned.record else None
    if state == "running":
        _wait_for(job, f"{reason}, at the same run")
        return None
    return _done(job, checked, alone=world.size == 1)


def _done(job: Job, checked: RunConfig, *, alone: bool) -> float | None:
    """Do the run in this process, ``alone`` or with others; return its score if it completes."""
    from hydra_peft.runs.claims import Claimed
    from hydra_peft.runs.ledger import TakenOver
    from hydra_peft.runs.tuning import run_protocol
    from hydra_peft.sweeps.one_job import described

    try:
        outcome = run_protocol(checked)
    except (Claimed, TakenOver) as error:
        if not alone:
            raise
        _wait_for(job, f"who does it now: {error}")
        return None
    print(described(outcome), flush=True)
    if outcome.record.status != "completed":
        unfinished.append(job.name)
        return None
    return outcome.record.score


def _wait_for(job: Job, whom: str) -> None:
    """Let somebody else do the run, or do it after all if they are no longer there."""
    from hydra_peft.sweeps.sequential import launch_jobs

    print(f"waiting for {whom}", file=sys.stderr)
    for end in launch_jobs([job]):
        tell(end)


def _one_of_many(config: DictConfig, overrides: list[str]) -> float:
    """Do a job that was planned elsewhere; what became of it is printed here, where it is done."""
    from hydra_peft.config.check import check_config
    from hydra_peft.runs.on_device import on_device
    from hydra_peft.sweeps.one_job import do_job

    end = do_job(Job.of(overrides, on_device(check_config(config))))
    if end.metric is None:
        complain(end.line)
        raise JobFailed(end.error or end.status)
    print(end.line, flush=True)
    return end.metric


def _defaults() -> DictConfig | None:
    """Return the config with the chosen options alone, to look near keys up in."""
    GlobalHydra.instance().clear()
    groups = {path.name for path in CONF.iterdir() if path.is_dir()}
    chosen = [
        word
        for word in sys.argv[1:]
        if word.lstrip("+").split("=")[0] in groups and "," not in word
    ]
    own = get_args_parser().parse_known_args(sys.argv[1:])[0].config_dir
    folders = [f"hydra.searchpath=['file://{real_path(Path(own))}']"] if own else []
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for overrides in ([*chosen, *folders], chosen, []):
            try:
                return compose("train", overrides)
            except COMPOSITION_ERRORS:
                continue
    return None
