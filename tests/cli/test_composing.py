"""Jobs that share what is composed once equal jobs that Hydra composes each from the start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hydra_peft.checkout import options
from hydra_peft.cli import composing, train
from hydra_peft.cli.composing import Composer, compositions, expand
from hydra_peft.cli.hydra_errors import COMPOSITION_ERRORS, one_sentence
from hydra_peft.cli.overrides import check_overrides
from hydra_peft.config.check import check_config
from hydra_peft.errors import UserError
from hydra_peft.sweeps.job import Composition


@contextmanager
def master(conf: Path, *words: str) -> Iterator[tuple[DictConfig, ConfigLoader]]:
    train.register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        yield loader.load_configuration("train", list(words), RunMode.MULTIRUN), loader


Composed = Callable[..., list[Composition]]


@pytest.fixture
def composed(root: Path) -> Composed:
    """Compose a sweep."""

    def call(*words: str) -> list[Composition]:
        with master(root / "conf", *words) as (config, loader):
            return compositions(config, loader, expand(config, loader))

    return call


def from_scratch(config: DictConfig, loader: ConfigLoader, job: tuple[str, ...]) -> Any:
    """Return the typed config, or the sentence why there is none."""
    try:
        whole = loader.load_sweep_config(config, list(job))
        composed = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
        return check_config(composed)
    except UserError as error:
        return str(error)
    except COMPOSITION_ERRORS as error:
        return one_sentence(error)


#: jobs whose words act on each other
ENTANGLED = [
    # Each of these groups takes values from another, and some options do not exist.
    ("protocol=paper,clean", "scheduler=cosine,by_protocol", "dataset=svhn,nowhere"),
    ("method=lora,hydra", "optimizer.weight_decay=${seed},${oc.env:HOME}", "seed=1,2"),
    # Protocol and method choose a recipe, where there is one.
    ("method=hydra,fact_tk", "protocol=clean,released", "dataset=dtd,mini/digits"),
    # Data set and model choose a head together that neither of them chooses alone.
    ("dataset=mini/digits,mini_fewshot/digits", "model=vit_mini,clip_mini", "method=lora,linear"),
    # What a benchmark lays over the optimizer is what one of its options has.
    ("dataset=elevater/dtd,svhn", "optimizer=adamw,sgd", "method=lora,linear"),
    # A key that the yaml of a model has not, without a plus.
    ("model=vit_mini,clip_mini", "model.projection=64,null", "dataset=mini_fewshot/digits"),
    # Two words that act on the same key, and one that takes a whole group away.
    ("+dataset@data.other=dtd,svhn", "data=default,default", "method=lora,full"),
]
MORE = [
    ("method=lora,linear", "dataset=dtd,mini/digits", "seed=0,1", "+model.arguments.x=[1,a]"),
    ("model=timm,vit_mini", "method=lora,hydra", "model.architecture=a,b"),
    ("precision=???,${nothing},fp32", "method=lora,linear"),
    ("~optimizer", "method=lora,full", "data=default,nowhere"),
]


@pytest.mark.parametrize(
    "words", [*ENTANGLED, *(pytest.param(words, marks=pytest.mark.long) for words in MORE)]
)
def test_sharing_equals_composing_from_scratch(root: Path, words: tuple[str, ...]) -> None:
    with master(root / "conf", *words) as (config, loader):
        found = compositions(config, loader, expand(config, loader))
        assert len(found) >= 4
        # These are put together of jobs before them, where any are.
        for composition in found[-2:]:
            right = from_scratch(config, loader, composition.job.overrides)
            assert (composition.reason or composition.config) == right


def test_a_grid_of_options_is_composed_of_its_first_row_and_column(
    composed: Composed, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    composing_it = Composer._from_scratch
    monkeypatch.setattr(
        Composer, "_from_scratch", lambda *a: calls.append(a[1]) or composing_it(*a)
    )
    assert len(composed("method=lora,hydra,full", "dataset=dtd,svhn,sun397", "seed=0,1")) == 18
    assert len(calls) == 1 + 2 + 2


def test_options_that_defaults_lists_choose_by_others_are_composed_whole(tmp_path: Path) -> None:
    """An option of ``c`` that depends on ``a`` and ``b`` is the one that Hydra would take."""
    for group, option in [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]:
        (tmp_path / group).mkdir(exist_ok=True)
        (tmp_path / group / f"{option}.yaml").write_text(f"is: {option}\n")
    (tmp_path / "c").mkdir()
    for option in ("xx", "xy", "yx", "yy"):
        # The single changes give what there was: only the choice tells that something changed.
        (tmp_path / f"c/{option}.yaml").write_text(f"is: {'both' if option == 'yy' else 'one'}\n")
    (tmp_path / "train.yaml").write_text(
        "defaults:\n  - a: x\n  - b: x\n  - c: ${a}${b}\n  - override hydra/sweeper: basic\n"
    )
    with master(tmp_path) as (config, loader):
        composer = Composer(loader, config)
        jobs = [(f"a={a}", f"b={b}") for a in "xy" for b in "xy"]
        found = [composer._compose(job)["c"]["is"] for job in jobs]
    assert found == ["one", "one", "one", "both"]


def test_the_environment_in_an_override_is_read_each_time(
    composed: Composed, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in ("one", "two"):
        monkeypatch.setenv("MINE", value)
        (job, _) = composed("seed=0,1", "model.url=${oc.env:MINE}")
        assert job.config is not None
        assert job.config.model.url == value


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("seed=0,1",), "bf16"),
        (("device=cpu",), "fp32"),
        (("precision=fp32",), "fp32"),
        (("precision=auto", "protocol=official"), "bf16"),
        (("protocol=official",), "fp32"),
    ],
)
def test_the_devices_here_decide_the_precision_that_was_left_to_them(
    composed: Composed, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], expected: str
) -> None:
    def fastest(device: str) -> str:
        return "fp32" if device == "cpu" else "bf16"

    jobs = composed(*words)
    monkeypatch.setattr("hydra_peft.runs.on_device.fastest_precision", fastest)
    for job in composing.on_devices(jobs):
        assert job.config is not None
        assert job.config.precision == job.config.settings["precision"] == expected
        assert job.config.protocol.fills.precision != "auto"
        assert job.config == job.job.run_config()


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
    assert jobs[0] == ["~data.augment_options=null", "train.clip_grad=null", "seed=0"]
    assert [one.reason for one in found] == [None, None]


def test_an_override_that_is_no_text_is_refused() -> None:
    with pytest.raises(UserError, match=r"paths\.runs=/x/.udcff' is no text in UTF-8"):
        check_overrides(["seed=1", "paths.runs=/x/\udcff"])


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
        (["~protocol.grid", "protocol.grid.method.rank=[3]"], {"method.rank": [3]}),
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


@pytest.mark.long
def test_random_words_that_choose_options_give_what_each_gives_alone(root: Path) -> None:
    """Any three groups of options, first with one option each and then with others."""
    groups = ("dataset", "model", "method", "protocol", "head", "optimizer", "scheduler")
    found = {group: list(options(group)) for group in groups}
    random = Random(0)
    with master(root / "conf") as (config, loader):
        for _ in range(60):
            chosen = random.sample(groups, 3)
            sweep, alone = Composer(loader, config), Composer(loader, config)
            words = [[f"{g}={random.choice(found[g])}" for g in chosen] for _ in range(3)]
            for job in words:
                assert sweep.compose(job) == alone.compose(job)
                alone = Composer(loader, config)
