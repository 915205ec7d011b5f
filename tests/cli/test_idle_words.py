"""Words that change nothing in a run are refused; the same words where they act are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from class_folders import write_classes

from hydra_peft.cli.idle_words import check_acting
from hydra_peft.config.check import check_config
from hydra_peft.config.identity import config_id
from hydra_peft.errors import UserError

Compose = Callable[..., Any]
TUNED = "it is of tuning: add protocol.tune=true"


@pytest.mark.parametrize(
    ("word", "reason", "acting"),
    [
        ("protocol.search=optuna", TUNED, ["protocol.tune=true"]),
        (
            "protocol.trials=5",
            "it is of a search by Optuna",
            ["protocol.tune=true", "protocol.search=optuna"],
        ),
        ("protocol.grid.optimizer.lr=[0.1,0.2]", TUNED, ["protocol.tune=true"]),
        ("protocol.tune_seed=3", TUNED, ["protocol.tune=true"]),
        ("dataset.split_seed=5", "it is of drawing", ["dataset.shots=5"]),
        ("dataset.split_seed=5", "it is of drawing", ["dataset.train_size=40"]),
        ("dataset.sampling_seed=3", "it is of drawing", ["dataset.shots=5"]),
        (
            "scheduler.warmup_lr=1e-4",
            "it is of a warm-up",
            ["scheduler.warmup_epochs=1"],
        ),
        ("data.max_length=10", "it is of texts", ["dataset=mini_glue/acceptable"]),
        ("++model.tokenizer=x", "it is of texts", ["dataset=mini_glue/acceptable"]),
        (
            "+dataset.prompts={classes: {a: a}, templates: ['{}']}",
            "it is of a head that starts from texts",
            ["head=text_prompts"],
        ),
    ],
)
def test_a_word_acts_or_is_refused(
    compose_train: Compose, word: str, reason: str, acting: list[str]
) -> None:
    model = "model=roberta_mini" if "mini_glue" in acting[0] else "model=clip_mini"
    start = ["dataset=mini/digits", "method=linear", "train.epochs=3", "scheduler.warmup_epochs=0"]
    idle = check_config(compose_train(*start, word))
    with pytest.raises(UserError, match=f"nothing in this run: {reason}.*, or leave it out"):
        check_acting(["seed=1", word], [idle])
    with pytest.raises(UserError, match="changes nothing in any of these runs: "):
        check_acting([word], [idle, check_config(compose_train(*start, word, "seed=1"))])
    acts = check_config(compose_train(*start, model, word, *acting))
    check_acting([word], [acts])
    check_acting([word], [idle, acts])
    check_acting([word], [])


@pytest.mark.parametrize(
    ("word", "grid", "reason"),
    [
        (
            *("optimizer.lr=1", "optimizer.lr:[1,2],method.scale:[1,2]"),
            r"add protocol\.grid\.optimizer\.lr=null to set it",
        ),
        ("optimizer.lr=1", "optimizer.lr:[1,2]", r"set protocol\.tune=false to set it"),
        (
            "method.rank=3",
            "method.rank:[1,2],train.epochs:[2]",
            "add protocol.grid.method.rank=null",
        ),
        (
            "protocol.trial_epochs=1",
            "train.epochs:[3,4]",
            r"add protocol\.grid\.train\.epochs=null",
        ),
    ],
)
def test_what_tuning_chooses_is_not_set(
    compose_train: Compose, word: str, grid: str, reason: str
) -> None:
    start = ["dataset=mini/digits", "scheduler.warmup_epochs=0", word]
    tune = ["protocol.tune=true", f"protocol.grid={{{grid}}}"]
    tuned = check_config(compose_train(*start, *tune))
    with pytest.raises(UserError, match=f"'{word}' changes nothing in this run: .*{reason}"):
        check_acting([word], [tuned])
    other = ["protocol.tune=true", "protocol.grid={method.scale:[1,2]}"]
    check_acting([word], [tuned, check_config(compose_train(*start, *other))])
    check_acting(["train.epochs=3"], [tuned])


def test_a_rate_that_an_optimizer_lacks_is_of_no_use_beside_its_tuning(
    compose_train: Compose,
) -> None:
    tune = ["protocol.tune=true", "protocol.grid={optimizer.lr:[0.1,0.2]}", "optimizer=sgd"]
    without = check_config(compose_train("dataset=mini/digits", *tune))
    one = check_config(compose_train("dataset=mini/digits", *tune, "optimizer.lr=0.3"))
    assert config_id(one) == config_id(without)
    with pytest.raises(
        UserError, match=r"'optimizer\.lr=0\.3' changes nothing in this run: tuning"
    ):
        check_acting(["optimizer.lr=0.3"], [one])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["protocol.grid={optimizer.lr:[-1,0.1]}"], r"^protocol\.grid\.optimizer\.lr\[0\]=-1"),
        (
            ["protocol.grid={optimizer.lr:[0.1,1e300]}"],
            r"^protocol\.grid\.optimizer\.lr\[1\]=1e\+300",
        ),
        (["protocol.grid={optimizer.lr:[abc]}"], r"^protocol\.grid\.optimizer\.lr\[0\]=abc"),
        (["protocol.grid={optimizer.lr:0.1}"], r"^protocol\.grid\.optimizer\.lr is a single value"),
        (["protocol.grid={optimizer.momentum:[0.5,0.9]}"], r"^optimizer\.lr has no value"),
        (["protocol.tune=false"], r"^optimizer\.lr has no value"),
    ],
)
def test_what_tuning_does_not_give_is_told(
    compose_train: Compose, words: list[str], told: str
) -> None:
    tune = ["dataset=mini/digits", "optimizer=sgd", "protocol.tune=true"]
    with pytest.raises(UserError, match=told):
        check_config(compose_train(*tune, *words))


def test_data_that_has_its_splits_is_not_split(compose_train: Compose, tmp_path: Path) -> None:
    own = ["dataset=folder", f"dataset.root={tmp_path}", "dataset.split=[0.5,0,0.5]"]
    write_classes(tmp_path / "train", {"dog": 10, "cat": 10})
    check_acting(own, [check_config(compose_train(*own))])
    for split in ("val", "test"):
        write_classes(tmp_path / split, {"dog": 2, "cat": 2})
    with pytest.raises(UserError, match=r"'dataset\.split=.* nothing in this run: the data has"):
        check_acting(own, [check_config(compose_train(*own))])


def test_shots_that_another_seed_draws(compose_train: Compose) -> None:
    drawn = ["dataset.shots=5", "dataset.sampling_seed=0", "dataset.split_seed=3"]
    config = check_config(compose_train("dataset=mini/digits", *drawn))
    with pytest.raises(UserError, match=r"are drawn with dataset\.sampling_seed, set that, or le"):
        check_acting(drawn, [config])


def test_a_value_that_holds_anyway_is_taken(compose_train: Compose) -> None:
    words = ["protocol.search=grid", "protocol.trials=20", "dataset.split_seed=0"]
    check_acting(words, [check_config(compose_train("dataset=mini/digits", *words))])


BOTH = ["method.rank_parallel=1", "method.rank_sequential=2"]


@pytest.mark.parametrize("words", [BOTH, ["method.rank=8", BOTH[0]], ["method.rank=2", *BOTH]])
def test_ranks_of_branches_act(compose_train: Compose, words: list[str]) -> None:
    check_acting(words, [check_config(compose_train("method=hydra", *words))])


def test_a_rank_that_both_branches_pass_over_is_refused(compose_train: Compose) -> None:
    idle = check_config(compose_train("method=hydra", "method.rank=8", *BOTH))
    said = (
        r"'method\.rank=8' changes nothing in this run: it counts without method\.rank_parallel: t"
    )
    with pytest.raises(UserError, match=said):
        check_acting(["method.rank=8", *BOTH], [idle])
    acts = check_config(compose_train("method=hydra", "method.rank=8"))
    check_acting(["method.rank=8"], [idle, acts])
