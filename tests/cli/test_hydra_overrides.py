"""Keys that are added below ``hydra``: those that Hydra has, or that nobody but plugins knows."""

from __future__ import annotations

import pytest

from hydra_peft.cli.overrides import check_keys_of_hydra
from hydra_peft.errors import UserError


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("+hydra.zq=1", "Hydra has no key 'hydra.zq'; known there: defaults, mode"),
        ("++hydra.job.chdri=true", r"'hydra\.job\.chdri' \(did you mean 'chdir'\?\)"),
        ("+hydra.job.config.override_dirname.zq=1", r"no key 'hydra\.job\.config\.override_dir"),
    ],
)
def test_a_key_that_hydra_has_not_is_one_sentence(word: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_keys_of_hydra(["seed=1", word])


@pytest.mark.parametrize(
    "word",
    [
        "++hydra.run.dir=x",
        "+hydra.job.env_set.ANY=1",
        "+hydra.launcher.any=1",
        "+hydra.sweeper.params.seed=1,2",
        "+hydra.job_logging.any.other=1",
        "hydra.zq=1",  # Hydra says itself that it is not there
        "+seed=1",
        "+hydra.zq",
        "--cfg=job",
    ],
)
def test_others_are_left_to_hydra(word: str) -> None:
    check_keys_of_hydra([word])
