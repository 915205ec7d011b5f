"""Order of jobs and of the trials of their searches in a packed sweep."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hydra_peft.config.identity import config_id
from hydra_peft.runs.tuning import certain_trials
from hydra_peft.sweeps.job import Job
from hydra_peft.sweeps.with_trials import WithTrials

SEARCH = (
    *("method=lora", "protocol.tune=true", "protocol.tune_seed=0"),
    *("protocol.grid.optimizer.lr=[1e-3,1e-2]", "protocol.grid.method.scale=null"),
    "protocol.grid.method.dropout=null",
)


def test_a_job_waits_for_its_trials_and_a_shared_trial_is_there_once(
    make_job: Callable[..., Job],
) -> None:
    jobs = [make_job(*SEARCH), make_job("method=hydra"), make_job(*SEARCH, "seed=1")]
    todo = WithTrials([(job, job.run_config()) for job in jobs])
    assert len(todo) == 5
    first, second, plain = (one for _ in range(3) if (one := todo.take()) is not None)
    assert [first.is_trial, second.is_trial, plain.is_trial] == [True, True, False]
    assert first.trial == config_id(first.job.run_config()) != second.trial
    assert plain.job is jobs[1]
    assert not todo.any_ready()
    assert todo.take() is None
    todo.ended(second)
    assert not todo.any_ready()
    todo.ended(first)
    last = [todo.take() for _ in range(2)]
    assert [one.job for one in last if one] == [jobs[0], jobs[2]]
    assert not todo


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (("method=lora",), 0),
        (SEARCH, 2),
        ((*SEARCH, "sweep.on_existing=rerun"), 0),
        ((*SEARCH, "protocol.search=elevater", "protocol.grid.optimizer.weight_decay=[0,1e-3]"), 2),
    ],
)
def test_trials_are_certain_where_no_score_decides(
    make_job: Callable[..., Job], words: tuple[str, ...], count: int
) -> None:
    config = make_job(*words).run_config()
    trials = certain_trials(config)
    assert len(trials) == count
    assert all(one.protocol.evaluate_split == "val200" for one in trials)


def test_of_a_sampler_the_first_draws_are_certain(make_job: Callable[..., Job]) -> None:
    pytest.importorskip("optuna")
    words = (*SEARCH, "protocol.search=optuna")
    counts = [
        len(certain_trials(make_job(*words, f"protocol.trials={n}").run_config())) for n in (4, 30)
    ]
    assert counts == [4, 10]
