"""Jobs that the words of a sweep and of its preset stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from composed_sweeps import from_scratch, master
from hydra.types import RunMode
from omegaconf import OmegaConf

from hydra_peft.cli.composing import compositions
from hydra_peft.cli.expanding import expand
from hydra_peft.config.check import check_config
from hydra_peft.errors import UserError


def test_jobs_beside_the_product_differ_in_several_keys(root: Path) -> None:
    beside = "hydra.sweeper.beside=[{method:linear,train.epochs:0}]"
    words = ("+hydra.sweeper.params.method='lora,hydra'", beside, "seed=0,1")
    with master(root / "conf", *words) as (config, loader):
        jobs = expand(config, loader)
    assert [tuple(job) for job in jobs] == [
        *((f"method={m}", f"seed={s}") for m in ("lora", "hydra") for s in (0, 1)),
        *(("method=linear", "train.epochs=0", f"seed={s}") for s in (0, 1)),
    ]
    # What is typed for a key that says what such a row is, is for the others.
    with master(root / "conf", beside, "method=lora,hydra", "train.epochs=9") as (config, loader):
        jobs = expand(config, loader)
    assert [tuple(job) for job in jobs] == [
        *((f"method={m}", "train.epochs=9") for m in ("lora", "hydra")),
        ("method=linear", "train.epochs=0"),
    ]
    for wrong in ("1", "[lora]"):
        with (
            master(root / "conf", f"hydra.sweeper.beside={wrong}") as (config, loader),
            pytest.raises(UserError, match=r"hydra\.sweeper\.beside.* no (list|mapping)"),
        ):
            expand(config, loader)


def test_a_preset_names_options_to_sweep_over_as_one_text(root: Path) -> None:
    with (
        master(root / "conf", "+hydra.sweeper.params.method=[lora,hydra]") as (config, loader),
        pytest.raises(UserError, match=r"params\.method is a list .*, write 'method: lora,hydra'"),
    ):
        expand(config, loader)


def test_a_value_beside_the_product_is_named_where_it_stands(root: Path) -> None:
    words = ("hydra.sweeper.beside=[{},{train:{epochs:1}}]",)
    with (
        master(root / "conf", *words) as (config, loader),
        pytest.raises(
            UserError, match=r"^hydra\.sweeper\.beside\[1\]: 'train=.*: type train.epochs=1\.$"
        ),
    ):
        expand(config, loader)


@pytest.mark.parametrize(
    "word",
    [
        "hydra.sweeper.beside=[{method:linear,sweep.dry_run:true}]",
        "hydra.sweeper.beside=[{method:linear,launcher.cpu_slots:1}]",
        "hydra.sweeper.beside=[{hydra.mode:RUN}]",
        "hydra.sweeper.beside=[{hydra/launcher:local}]",
        "hydra.sweeper.beside=[{+experiment:demo}]",
        "+hydra.sweeper.params={hydra/launcher:local}",
        "+hydra.sweeper.params={+experiment:demo}",
    ],
)
def test_what_a_sweep_has_as_a_whole_is_no_value_of_some_jobs(root: Path, word: str) -> None:
    with (
        master(root / "conf", word) as (config, loader),
        pytest.raises(UserError, match=r"^hydra\.sweeper\.(beside|params).* of the whole sweep"),
    ):
        expand(config, loader)


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"~method": None}, r"^'~method=null': every run has one option of method"),
        (
            {"protocol.grid.lr": "[1]", "protocol.grid": "{lr:[2]}"},
            r"^protocol\.grid\.optimizer\.lr is given twice, as 'protocol\.grid\.lr=\[1\]' and as",
        ),
    ],
)
def test_what_a_preset_cannot_sweep_over_is_told(
    root: Path, params: dict[str, Any], reason: str
) -> None:
    with master(root / "conf") as (config, loader):
        config.hydra.sweeper.params = params
        with pytest.raises(UserError, match=reason):
            expand(config, loader)


def test_a_preset_takes_a_key_away(root: Path) -> None:
    with master(root / "conf", "seed=0,1") as (config, loader):
        config.hydra.sweeper.params = {"~data.augment_options": None, "train.clip_grad": None}
        jobs = expand(config, loader)
        found = compositions(config, loader, jobs)
    assert jobs[0] == ["~data.augment_options", "train.clip_grad=null", "seed=0"]
    assert [one.reason for one in found] == [None, None]


P1 = {
    "method": "lora,hydra",
    "protocol.tune": True,
    "protocol.grid": "{optimizer.lr:[1e-3,5e-3]}",
    "protocol.grid.method.rank": "[2,4]",
}
OPEN = {
    **{"{opt}": "data.augment_options", "{par}": "method.parallel_options"},
    "{arg}": "model.arguments",
}
#: of protocol=default
PROTOCOLS = {
    "optimizer.lr": [2e-3, 5e-3, 1e-2],
    "method.scale": [0.5, 1.0],
    "method.dropout": [0.0, 0.1],
}
RATES, RANKS = {"optimizer.lr": [1e-3, 5e-3]}, {"method.rank": [2, 4]}


@pytest.mark.parametrize(
    ("typed", "grid"),
    [
        ([], RATES | RANKS),
        (["protocol.grid={optimizer.lr:[0.01]}"], {"optimizer.lr": [0.01]}),
        (["protocol.grid={method.rank:[8]}"], {"method.rank": [8]}),
        (["protocol.grid.lr=[0.01]"], RANKS | {"optimizer.lr": [0.01]}),
        (["++protocol.grid.optimizer={lr:[0.01]}"], RANKS | {"optimizer.lr": [0.01]}),
        (["protocol.grid.method.rank=[8]"], RATES | {"method.rank": [8]}),
        (["~protocol.grid.method.rank"], RATES),
        (["~protocol.grid.method"], RATES),
        (["~protocol.grid.lr"], RANKS),
        (["~protocol.grid", "protocol.grid.method.rank=[3]"], PROTOCOLS | {"method.rank": [3]}),
        (["protocol.grid.optimizer=null"], RANKS),
    ],
)
def test_typed_words_count_over_those_of_a_preset(
    root: Path, typed: list[str], grid: dict[str, Any]
) -> None:
    with master(root / "conf") as (config, loader):
        config.hydra.sweeper.params = P1
        config.hydra.overrides.task = typed
        found = compositions(config, loader, expand(config, loader))
        assert [one.reason for one in found] == [None, None]
        for one in found:
            assert one.config == from_scratch(config, loader, one.job.overrides)
            assert one.config.protocol.grid == grid


def test_what_a_presets_sweep_alone_adds_may_be_taken_away(root: Path) -> None:
    words = ["+hydra.sweeper.params={protocol.grid.method.rank:[2]}", "~protocol.grid.method.rank"]
    with master(root / "conf", *words) as (config, loader):
        (job,) = compositions(config, loader, expand(config, loader))
    assert job.config is not None
    assert "method.rank" not in job.config.protocol.grid


RANKS_1_2 = {"method.rank": "1,2"}
LINEAR = [{"method": "linear"}]


@pytest.mark.parametrize(
    ("params", "beside", "typed", "jobs"),
    [
        (RANKS_1_2, [], ["~method.rank", "method=linear"], ["method=linear"]),
        (RANKS_1_2, [], ["~method.rank"], [""]),
        (RANKS_1_2, [], ["~method.rank", "method.rank=3"], ["method.rank=3"]),
        (RANKS_1_2, [], ["method=lora,linear", "~method.rank"], ["method=lora", "method=linear"]),
        (RANKS_1_2, LINEAR, ["~method.rank"], ["", "method=linear"]),
        (
            RANKS_1_2,
            [{"method": "linear", "~method.rank": None}],
            [],
            ["method.rank=1", "method.rank=2", "method=linear"],
        ),
        ({"method": "lora_qkv", "method.rank": 3}, [], ["~method.rank"], ["method=lora_qkv"]),
        (
            {"dataset.shots": "2,4", "seed": 0},
            LINEAR,
            ["~dataset.shots", "~seed"],
            ["", "method=linear"],
        ),
        ({"data.augment_options.number": 1}, [], ["~data.augment_options"], [""]),
        ({"train.epochs": 3}, [{"train.epochs": 4}], ["~train.epochs"], ["", "train.epochs=4"]),
    ],
)
def test_what_a_preset_gives_is_taken_off(
    root: Path,
    params: dict[str, Any],
    beside: list[dict[str, Any]],
    typed: list[str],
    jobs: list[str],
) -> None:
    with master(root / "conf") as (config, loader):
        config.hydra.sweeper.params = params
        config.hydra.sweeper.beside = beside
        config.hydra.overrides.task = typed
        found = expand(config, loader)
        assert [" ".join(words) for words in found] == jobs
        assert [one.reason for one in compositions(config, loader, found)] == [None] * len(jobs)


@pytest.mark.parametrize(
    ("own", "word", "key", "kept"),
    [
        (
            {"protocol.grid.optimizer.lr": "[0.1]"},
            "protocol.grid={optimizer.lr:[1e-3],method.scale:[1,2]}",
            "protocol.grid",
            {"optimizer.lr": [0.1], "method.scale": [1, 2]},
        ),
        (
            {"data.augment_options.magnitude": 5},
            "data.augment_options={number:2,magnitude:7}",
            "data.augment_options",
            {"flip": 0.0, "number": 2, "magnitude": 5},
        ),
        ({"protocol.grid.lr": "[0.1]"}, "~protocol.grid", "protocol.grid", {"optimizer.lr": [0.1]}),
    ],
)
def test_a_row_keeps_its_own_beside_what_is_typed_for_all(
    root: Path, own: dict[str, Any], word: str, key: str, kept: dict[str, Any]
) -> None:
    with master(root / "conf") as (config, loader):
        config.hydra.sweeper.params = {"protocol.tune": True, "data.augment": "randaugment"}
        config.hydra.sweeper.beside = [own]
        config.hydra.overrides.task = [word]
        row = compositions(config, loader, expand(config, loader))[-1]
    assert row.config is not None, row.reason
    group, _, name = key.partition(".")
    assert getattr(getattr(row.config, group), name) == kept


def test_a_value_that_is_asked_for_is_that_of_a_preset(root: Path) -> None:
    with master(root / "conf") as (config, loader):
        config.hydra.sweeper.params = {"method.rank": "1,2"}
        config.hydra.overrides.task = ["~method.rank=2"]
        one, other = compositions(config, loader, expand(config, loader))
    assert one.reason is not None
    assert "The value of 'method.rank' is 1 and not 2" in one.reason
    assert other.reason is None


def test_a_key_that_a_method_lacks_and_a_preset_gives_is_said_to_be_the_presets(root: Path) -> None:
    with master(root / "conf") as (config, loader):
        config.hydra.sweeper.params = {"method.rank": 2}
        config.hydra.overrides.task = ["method=linear"]
        (one,) = compositions(config, loader, expand(config, loader))
    assert one.reason is not None
    assert one.reason.startswith("unknown key 'method.rank': it is of method=adapter,")
    assert one.reason.endswith(" The preset's sweep gives it: add '~method.rank' to take it off.")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (
            "optimizer.lr=0,001",
            r"two values: type a decimal number with a point, as optimizer\.lr=0\.001\.",
        ),
        ("sweep.retry=failed,all", r"several values where one is needed: give one of them\."),
        ("launcher.cpu_slots=1,2", r"several values where one is needed: give one of them\."),
        ("launcher.gpus=0,1", r"where one list is needed: type 'launcher\.gpus=\[0,1\]'\."),
    ],
)
def test_values_that_are_none_of_jobs_are_refused(root: Path, word: str, said: str) -> None:
    with master(root / "conf", word) as (config, loader), pytest.raises(UserError, match=said):
        expand(config, loader)


def test_a_key_that_no_preset_gives_is_missed(root: Path) -> None:
    with master(root / "conf") as (config, loader):
        config.hydra.overrides.task = ["method=lora,linear", "~method.rank"]
        one, other = compositions(config, loader, expand(config, loader))
    assert one.reason is None
    assert other.reason is not None
    assert other.reason.startswith("unknown key 'method.rank': it is of method=")


def test_a_preset_gives_a_mapping_as_yaml(root: Path) -> None:
    with master(root / "conf") as (config, loader):
        config.hydra.sweeper.params = {"protocol.tune": True, "protocol.grid": RATES | RANKS}
        (job,) = compositions(config, loader, expand(config, loader))
        assert job.config is not None
        assert job.config.protocol.grid == RATES | RANKS
        config.hydra.sweeper.params = {"protocol.grid": {"method.rank": ["true"]}}
        with pytest.raises(UserError, match=r"params\.protocol\.grid is a mapping .* a text"):
            expand(config, loader)


@pytest.mark.parametrize(
    "words",
    [
        ["data.augment=randaugment", "{opt}={number:1}", "{opt}={magnitude:5}"],
        ["data.augment=randaugment", "{opt}={number:1}", "+{opt}={magnitude:5}"],
        ["method=branches", "method.sequential=seqlora", "{par}={rank:1}", "{par}={scale:2}"],
        ["protocol.grid.method={rank:[1]}", "protocol.grid.method={scale:[2]}"],
        ["model.pretrained=false", "{arg}={qk_norm:true}", "{arg}={class_token:true}"],
        ["~optimizer.lr", "optimizer.lr=0.1"],
        ["~protocol.grid.lr", "protocol.tune=true"],
        ["~protocol.grid.method", "protocol.grid.method.rank=[1]"],
        ["~model.arguments", "model.arguments.qk_norm=true"],
    ],
)
def test_a_sweep_of_one_is_the_single_run(root: Path, words: list[str]) -> None:
    for short, key in OPEN.items():
        words = [word.replace(short, key) for word in words]
    with master(root / "conf", *words) as (config, loader):
        (job,) = compositions(config, loader, expand(config, loader))
        whole = loader.load_configuration("train", words, RunMode.RUN)
        alone = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
        assert job.reason is None
        assert job.config == check_config(alone)
