"""protocol.grid: any hyper-parameter by dotted key, told before anything starts where it cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from vtab1k_records import vtab_record

from hydra_peft.config.check import check_config, check_recorded
from hydra_peft.config.grid import choices, logarithmic, used
from hydra_peft.config.identity import config_id, science
from hydra_peft.config.plain import as_configured
from hydra_peft.config.text import from_yaml, to_yaml
from hydra_peft.errors import UserError
from hydra_peft.tables.overrides import Origin, marks

Compose = Callable[..., Any]
TUNE = ("protocol.tune=true", "precision=fp32")


def composed(compose_train: Compose, *words: str) -> Any:
    """Return the checked config of a command line."""
    return check_config(compose_train(*TUNE, *words))


def test_a_mapping_of_dotted_keys_replaces_the_protocols_grid(compose_train: Compose) -> None:
    grid = "protocol.grid={method.rank:[2,4],optimizer.lr:[1e-3,5e-3],train.batch_size:[16]}"
    config = composed(compose_train, grid)
    assert config.protocol.grid == {
        "optimizer.lr": [1e-3, 5e-3],
        "method.rank": [2, 4],
        "train.batch_size": [16],
    }
    tried = choices(config)
    assert len(tried) == 4
    last = tried[-1].apply(config)
    assert (last.optimizer.lr, last.method.rank, last.train.batch_size) == (5e-3, 4, 16)
    assert logarithmic(config) == set(config.protocol.grid)


@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_a_key_is_added_to_the_protocols_grid_or_set_in_it(
    compose_train: Compose, plus: str
) -> None:
    added = composed(compose_train, f"{plus}protocol.grid.train.label_smoothing=[0,0.1]")
    keys = ["optimizer.lr", "method.scale", "method.dropout", "train.label_smoothing"]
    assert list(added.protocol.grid) == keys
    assert added.protocol.grid["train.label_smoothing"] == [0.0, 0.1]
    for name in ("lr", "optimizer.lr"):  # the first as commands of before had it
        config = composed(compose_train, f"{plus}protocol.grid.{name}=[1]")
        assert config.protocol.grid["optimizer.lr"] == [1.0]
    without = composed(compose_train, "protocol.grid.method=null")
    assert list(without.protocol.grid) == ["optimizer.lr"]


def test_choices_and_switches_are_values_too(compose_train: Compose) -> None:
    words = (
        *("optimizer=sgd", "optimizer.lr=0.1", "protocol.grid.optimizer.nesterov=[false,true]"),
        *("protocol.grid.method.init=[gaussian,xavier]", "protocol.grid.train.clip_grad=[null,1]"),
        "protocol.grid.method.targets=[[attn.proj],[attn.proj,mlp.fc2]]",
    )
    grid = composed(compose_train, *words).protocol.grid
    assert grid["optimizer.nesterov"] == [False, True]
    assert grid["method.init"] == ["gaussian", "xavier"]
    assert grid["train.clip_grad"] == [None, 1.0]
    assert grid["method.targets"] == [["attn.proj"], ["attn.proj", "mlp.fc2"]]


def test_what_a_run_does_not_have_is_left_out(compose_train: Compose) -> None:
    words = ("+protocol.grid.optimizer.momentum=[0,0.9]", "method=linear")
    assert list(used(composed(compose_train, *words))) == ["optimizer.lr"]


def test_a_run_of_which_the_grid_has_nothing_is_refused(compose_train: Compose) -> None:
    words = ("method=linear", "protocol.grid={method.rank:[2,4],method.scale:[1,2]}")
    with pytest.raises(
        UserError, match=r"for method linear, .* \(method\.scale, method\.rank\): add"
    ):
        composed(compose_train, *words)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["protocol.grid.method.rnak=[2]"], "'protocol.grid.method.rnak'.*'rank'"),
        (["protocol.grid.optimiser.lr=[1]"], "'protocol.grid.optimiser.lr'.*'optimizer'"),
        (["protocol.grid.method.rank=[2,two]"], r"rank\[1\]=two .* must be a whole number"),
        (["protocol.grid.method.rank=[0]"], r"rank\[0\]=0 .* at least 1"),
        (["protocol.grid.method.bias=[1]"], r"bias\[0\]=1 .* true or false"),
        (["protocol.grid.method.rank=4"], r"write it as protocol.grid.method.rank=\[a,b\]"),
        (["protocol.grid.train.epochs=[]"], r"train.epochs=\[\] is not allowed"),
        (["protocol.grid={}"], "nothing to choose from"),
        (["protocol.grid.dataset.name=[digits]"], "would change the data or the task"),
        (["protocol.grid.data.cache=[none]"], "would change the data"),
        (["protocol.grid.protocol.train_split=[train]"], "would change the splits"),
        (["protocol.grid.model.architecture=[vit_mini]"], "would change the backbone"),
        (["protocol.grid.rank=[2,4]"], r"\(did you mean 'protocol.grid.method.rank'\?\); tuning"),
        (["protocol.grid.learning_rate=[1]"], r"\(did you mean 'protocol.grid.optimizer.lr'\?\)"),
        (["protocol.grid.drop_path=[0]"], r"\(did you mean 'protocol.grid.model.drop_path'\?\)"),
        (["protocol.grid.method.r=[1]"], r"\(did you mean 'protocol.grid.method.rank'\?\); known"),
        (["protocol.grid.seed=[0,1]"], "is no hyper-parameter"),
        (["protocol.grid.device=[cpu]"], "is no hyper-parameter"),
        (["protocol.grid.train.compile=[auto]"], "how fast a run is"),
        (["protocol.grid.method.name=[lora]"], "-m method="),
        (["protocol.grid.method.init=[gaussian,normal]"], r"grid\.method\.init\[1\]=normal is not"),
        (["protocol.grid.scheduler.warmup_epochs=[0,20]"], "warmup_epochs=20.*leaves nothing"),
        (["protocol.grid={train.epochs:[1],train: {epochs: [2]}}"], "has train.epochs twice"),
        (["protocol.grid.method.dropout=[0,0.1,0]"], r"dropout has 0\.0 twice, which would be"),
    ],
)
@pytest.mark.parametrize("search", ["grid", "optuna"])
def test_what_cannot_be_tuned_is_told(
    compose_train: Compose, search: str, words: list[str], told: str
) -> None:
    with pytest.raises(UserError, match=told) as caught:
        composed(compose_train, f"protocol.search={search}", *words)
    assert "\n" not in str(caught.value)


def test_more_combinations_than_can_be_trained(compose_train: Compose) -> None:
    rates = ",".join(f"{i}e-4" for i in range(1, 102))
    words = (f"protocol.grid.optimizer.lr=[{rates}]", f"protocol.grid.method.scale=[{rates}]")
    with pytest.raises(UserError, match=r"20,402 combinations.*protocol.search=optuna"):
        composed(compose_train, *words)
    composed(compose_train, *words, "protocol.search=optuna")


def test_identity_is_the_grid_and_not_what_it_decides(compose_train: Compose) -> None:
    def id_of(*words: str) -> str:
        return config_id(composed(compose_train, *words))

    rank = "protocol.grid.method.rank=[2,4]"
    assert id_of(rank) == id_of(rank, "method.rank=8") != id_of()
    assert id_of("protocol.grid.method.rank=[4]") == id_of(
        "protocol.grid.method.rank=[4]", "method.rank=8"
    )
    found = science(composed(compose_train, rank))
    assert (found["method"]["rank_parallel"], found["method"]["rank_sequential"]) == ("tuned",) * 2
    assert found["method"]["scale"] == found["optimizer"]["lr"] == "tuned"
    # The order in which keys are written is none of a search's.
    grid = "protocol.grid={%s}"
    lr, batch = "optimizer.lr:[1]", "train.batch_size:[8,16]"
    assert id_of(grid % f"{lr},{batch}") == id_of(grid % f"{batch},{lr}")
    assert science(composed(compose_train, grid % batch))["optimizer"]["lr"] != "tuned"


@pytest.mark.parametrize(
    ("grid", "typed"),
    [
        (
            "scheduler.warmup_ratio:[0,0.1],scheduler.warmup_epochs:[0]",
            "scheduler.warmup_ratio=0.5",
        ),
        ("scheduler.warmup_ratio:[0.1],scheduler.warmup_epochs:[0]", "scheduler.warmup_ratio=0"),
        ("scheduler.warmup_ratio:[0],scheduler.warmup_epochs:[0]", "scheduler.warmup_ratio=0.1"),
        ("optimizer.decay:[all,weights]", "optimizer.decay=weights"),
        ("train.accumulate:[1,2]", "train.accumulate=2"),
        ("train.accumulate:[2,1]", "train.accumulate=1"),
        ("train.eval_after:[null,1]", "train.eval_after=2"),
        ("train.drop_last:[true]", "train.drop_last=false"),
        ("method.init:[gaussian,kaiming]", "method.init=kaiming"),
        ("method.rank_scale:[none,alpha_over_r],method.rank:[1,4]", "method.rank=2"),
        ("model.drop_path:[0,0.1],data.normalization:[backbone,imagenet]", "model.drop_path=0.2"),
    ],
)
def test_identity_and_settings_are_the_same_whatever_is_typed_and_chosen(
    compose_train: Compose, grid: str, typed: str
) -> None:
    words = (f"protocol.grid={{{grid}}}", "scheduler.warmup_epochs=0")
    config, other = composed(compose_train, *words), composed(compose_train, *words, typed)
    assert other.settings == config.settings
    found = [choice.apply(each) for each in (config, other) for choice in choices(each)]
    assert {config_id(one) for one in found} == {config_id(config)} == {config_id(other)}


def test_a_config_of_older_code_has_the_same_identity(compose_train: Compose) -> None:
    from omegaconf import OmegaConf

    config = compose_train(*TUNE)
    values: Any = OmegaConf.to_container(config, resolve=True)
    grid = values["protocol"]["grid"]
    old = {"lr": grid["optimizer"]["lr"], **grid["method"]}
    written = to_yaml({**values, "protocol": {**values["protocol"], "grid": old}})
    # The id is that of before grids had other keys, see test_identity.
    assert config_id(check_recorded(from_yaml(written, "it"))) == "56f79f2ca140"


def test_a_label_names_the_key_as_one_types_it() -> None:
    usual = {"protocol.tune": True, "protocol.grid": {"lr": [1.0]}}
    grid = {"lr": [2.0], "train.epochs": [3]}
    run = vtab_record("Hydra", "dtd", 1.0, settings={**usual, "protocol.grid": grid})
    assert marks(run, {Origin.of(run): usual}) == (
        *("tuned", "protocol.grid.optimizer.lr=[2.0]", "protocol.grid.train.epochs=[3]"),
    )


def test_a_recipe_may_have_values_of_any_key_for_all_methods_or_one_kind(
    compose_train: Compose,
) -> None:
    words = (
        "dataset=mini/digits",
        "protocol.tune=true",
        "+dataset.recipe.grid.optimizer.weight_decay.adapter=[0.0,0.1]",
        "+dataset.recipe.grid.train.epochs=[3,4]",
    )
    own = check_config(compose_train(*words, "method=lora"))
    assert own.protocol.grid["optimizer.weight_decay"] == [0.0, 0.1]
    assert own.protocol.grid["train.epochs"] == [3, 4]
    linear = check_config(compose_train(*words, "method=linear"))
    assert "optimizer.weight_decay" not in linear.protocol.grid
    assert linear.protocol.grid["train.epochs"] == [3, 4]
    # A protocol's values, or its null, come before the recipe's; a rebuilt run has its own grid.
    decided = check_config(
        compose_train(
            *words,
            "method=lora",
            "+protocol.grid.train.epochs=[5]",
            "+protocol.grid.optimizer.weight_decay=null",
        )
    )
    assert decided.protocol.grid["train.epochs"] == [5]
    assert "optimizer.weight_decay" not in decided.protocol.grid
    assert check_recorded(as_configured(decided)).protocol.grid == decided.protocol.grid
