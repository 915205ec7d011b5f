"""Settings of a group are typed by dotted key, and what is asked of a key is asked of each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hydra_peft.cli.mapping_words import check_no_mappings
from hydra_peft.errors import UserError

Cli = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("method={rank:3}", "type method.rank=3"),
        ("+method={rank:3}", "type method.rank=3"),
        ("train={epochs:3,compile:false}", "type train.epochs=3 train.compile=false"),
        ("train={epochs:3},{epochs:4}", "type train.epochs=3,4"),
        ("method=lora,{rank:2}", "type method.rank=2"),
        ("++sweep={dry_run:true}", "type sweep.dry_run=true"),
        ("launcher={gpus:[0,2]}", "type 'launcher.gpus=[0,2]'"),
        ("logger={wandb:{project:x}}", "type logger.wandb.project=x"),
        ("logger.wandb={project:x}", "type logger.wandb.project=x"),
        ("dataset.splits={train:a}", "type dataset.splits.train=a"),
        ("+protocol={grid:{lr:[1]}}", "type 'protocol.grid={lr:[1]}'"),
        ("paths={}", "it has none, so leave it out"),
        (
            "train={epochs:1,accumulate:1},{epochs:2,accumulate:2}",
            "type train.epochs=1,2 train.accumulate=1,2, which gives a run with each combination",
        ),
    ],
)
def test_a_mapping_of_settings_is_refused(word: str, advice: str) -> None:
    with pytest.raises(UserError) as caught:
        check_no_mappings(["seed=1", word])
    key = word.lstrip("+").partition("=")[0]
    said = f"'{word}' is a mapping, and settings of {key} are given each by itself"
    assert str(caught.value) == f"{said}: {advice}."


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("protocol={name:official}", "would give one protocol another's name"),
        ("dataset={recipe:{lr:{adapter:0.5}}}", "would change the task's recommendation"),
        ("dataset.recipe={epochs:3}", "would change the task's recommendation"),
        ("method={name:hydra,recipe:linear}", "would give one method another's name"),
        ("protocol={fills:{init:xavier}}", "would change the protocol under its name"),
    ],
)
def test_what_no_dotted_key_may_say_a_mapping_does_not_advise(word: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_no_mappings([word])


def test_long_mappings_show_the_first_words() -> None:
    with pytest.raises(UserError) as caught:
        check_no_mappings([f"train={{{','.join(f'key_number_{n}:1' for n in range(99))}}}"])
    assert "type train.key_number_0=1 train.key_number_1=1" in str(caught.value)
    assert str(caught.value).endswith("1, and the others likewise.")
    assert len(str(caught.value)) < 500


def test_values_of_a_sweep_within_a_mapping_are_typed_as_those() -> None:
    with pytest.raises(UserError, match=r"type optimizer\.lr=1e-3,5e-3\.$"):
        check_no_mappings([r"optimizer={lr:1e-3\,5e-3}"])


def test_mappings_of_open_keys_are_words() -> None:
    check_no_mappings(
        [
            *("protocol.grid={lr:[1]}", "protocol.grid.method={rank:[1]}", "~train"),
            *("data.augment_options={flip:1}", "model.arguments={depth:1}"),
            *("method.parallel_options={rank:1}", "method.sequential_options={rank:1}"),
            *("dataset.split_names={dev:val}", "+dataset.prompts.classes={ok: a cell}"),
            *("dataset.prompts={}", "dataset.sizes={a:1}", "hydra.job.env_set={A:1}", "train={"),
        ]
    )


@pytest.mark.parametrize("asked", [[], ["-m"]])
def test_runs_and_sweeps_refuse_them(cli: Cli, asked: list[str]) -> None:
    code, out, err = cli(*asked, "method=lora", "+method={rank:3}", "sweep.dry_run=true")
    assert (code, out) == (2, "")
    assert "'+method={rank:3}' is a mapping" in err
    assert err.endswith("type method.rank=3.\n")


def test_what_a_word_before_replaced_is_told_not_to_be_taken_away(cli: Cli) -> None:
    words = ["protocol.grid={method.rank:[2]}", "~protocol.grid.lr", "sweep.dry_run=true"]
    code, _, err = cli(*words)
    assert code == 2
    assert "'~protocol.grid.lr' takes nothing away" in err
