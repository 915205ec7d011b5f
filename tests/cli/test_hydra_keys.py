"""Overrides of ``hydra.*``: those that Hydra has, or that nobody but plugins knows."""

from __future__ import annotations

import dataclasses

import pytest

from hydra_peft.cli.flags import check_flags, flags_first
from hydra_peft.cli.hydra_keys import check_keys_of_hydra, of_a_cluster
from hydra_peft.errors import UserError


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("+hydra.zq=1", "Hydra has no key 'hydra.zq'; known there: defaults, mode"),
        ("++hydra.job.chdri=true", r"'hydra\.job\.chdri' \(did you mean 'chdir'\?\)"),
        ("+hydra.job.config.override_dirname.zq=1", r"no key 'hydra\.job\.config\.override_dir"),
        (
            "hydra.sweeper.params.seed=1,2",
            r"given as -m seed=1,2\.$",
        ),
        ("+hydra.sweeper.params.seed=range(0,3)", r"given as -m 'seed=range\(0,3\)'"),
        ("hydra.launcher.x=1,2", r"have one value in a command, not several: choose one, or put"),
        ("hydra/launcher=local,slurm", r"not several: choose one\.$"),
        ("~hydra.run", r"none can be taken away"),
        ("hydra=x", r"hydra is a group of settings \(defaults, .*: set one, as hydra.verbose=true"),
        ("hydra/launcher=null", r"the name of an option is needed"),
        ("hydra.job=3", r"hydra.job is a group of settings \(name, chdir"),
        ("hydra.sweeper=3", r"hydra.sweeper is a group of settings, not one value"),
        ("+hydra/sweeper=basic", r"a hydra/sweeper other than hydra_peft neither plans"),
        ("hydra/sweeper=[basic]", r"leave hydra/sweeper out \(protocol.tune=true protocol.search"),
        ("hydra/sweeper=optuna,basic", r"a hydra/sweeper other than"),
        ("hydra/sweeper=null", r"a hydra/sweeper other than"),
        ("hydra.sweeper=optuna", r"a hydra/sweeper other than"),
        ("sweeper=optuna", r"a hydra/sweeper other than"),
        ("+hydra/launcher=packed", r"another without a plus, as hydra/launcher=packed\.$"),
        ("+hydra/env=x", r"Hydra has an option of hydra/env: choose another without a plus\.$"),
        ("++hydra.run.dir=x", r"below paths.runs and is named by what it is: set paths.runs\.$"),
        ("hydra.sweep.subdir=x", r"below paths.runs and is named by what it is: set paths.runs\.$"),
        ("hydra.sweep.dir=x", r"set paths.runs\.$"),
        ("hydra.sweep={dir: x}", r"set paths.runs\.$"),
        ("hydra.run=x", r"set paths.runs\.$"),
        ("+hydra.output_subdir=.", r"set paths.runs\.$"),
        ("hydra.job.chdir=true", r"go below paths.runs wherever it is typed: leave it out"),
        ("+hydra.job.env_set.ANY=1", r"type NAME=value before the command"),
        ("++hydra.job.env_set={A: 1}", r"type NAME=value before the command"),
        ("hydra.launcher=packed", r"value: an option is chosen as hydra/launcher=packed\.$"),
        ("hydra.searchpath=[file:///nowhere]", r"there is no folder /nowhere"),
        ("hydra.searchpath=[pkg://no_such.one]", r"there is no package no_such.one here that"),
        ("+hydra.callbacks.a._target_=zq.zq", r"a callback is code, .*: leave it out"),
        ("hydra.callbacks={a: 1}", r"a callback is code"),
        ("+hydra/callbacks=x", r"a callback is code"),
    ],
)
def test_a_key_that_hydra_has_not_is_one_sentence(word: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_keys_of_hydra(["seed=1", word])


@pytest.mark.parametrize(
    "word",
    [
        "hydra.job.chdir=false",
        "hydra.output_subdir=null",
        "+hydra.launcher.any=1",
        "+hydra.sweeper.params.seed='1,2'",
        "hydra/launcher=local",
        "hydra/sweeper=hydra_peft",
        "hydra.searchpath=[file:///tmp,pkg://hydra_peft]",
        "+hydra.job_logging.any.other=1",
        "hydra.zq=1",  # Hydra says itself that it is not there
        "+seed=1",
        "+hydra.zq",
        "--cfg=job",
    ],
)
def test_others_are_left_to_hydra(word: str) -> None:
    check_keys_of_hydra([word])


def test_no_words_at_all_are_taken() -> None:
    assert check_flags([]) == []
    check_keys_of_hydra([])


def test_values_of_flags_are_no_overrides() -> None:
    assert check_flags(["--cfg", "job", "-p", "dataset.name", "seed=1"]) == ["seed=1"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("a=1 -m b=2 --cfg=job", "-m --cfg=job a=1 b=2"),
        ("a=1 --config-dir c=d b=2 -p p --cfg job c=3", "--config-dir c=d -p p --cfg job a=1 b=2"),
        ("a=1 --info b=2 -i plugins c=3", "--info=all -i plugins a=1 b=2"),
        ("a=1 -cn=x --nope=1", "-cn=x --nope=1 a=1"),
        ("-sc install=bash", "-sc install=bash"),
    ],
)
def test_flags_may_stand_between_overrides(words: str, expected: str) -> None:
    given = words.split()
    assert flags_first(given) == [*expected.split(), *(["c=3"] if "c=3" in given else [])]


@pytest.mark.parametrize(
    "words", ["a=1 --cfg", "-cd seed=1", "a=1 -cn -m", "seed=1 -p +method.rank=1"]
)
def test_a_flag_without_its_value_takes_no_setting(words: str) -> None:
    with pytest.raises(UserError, match=r"^argument --.*: expected one argument: see python"):
        flags_first(words.split())


def test_a_sweep_that_is_asked_to_be_none() -> None:
    check_keys_of_hydra(["hydra.mode=MULTIRUN"])
    with pytest.raises(UserError, match="-m makes a sweep of the command already"):
        check_keys_of_hydra(["-m", "hydra.mode=RUN"])


def test_keys_of_a_cluster_are_those_of_its_package() -> None:
    package = pytest.importorskip("hydra_plugins.hydra_submitit_launcher.config")
    known = {field.name for field in dataclasses.fields(package.SlurmQueueConf)} - {"_target_"}
    said = of_a_cluster("hydra.launcher.zq")
    assert set(said.rstrip(".").partition("slurm has ")[2].split(", ")) == known
