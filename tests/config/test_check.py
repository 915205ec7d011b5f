"""Every mistake in a config is one sentence."""

from __future__ import annotations

import dataclasses
import functools
import operator
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from omegaconf import OmegaConf

from hydra_peft.config.check import check_config, check_recorded
from hydra_peft.config.identity import config_id
from hydra_peft.config.plain import CHOSEN
from hydra_peft.config.schema import RunConfig
from hydra_peft.config.typed import typed
from hydra_peft.errors import UserError
from hydra_peft.runs.on_device import on_device

Compose = Callable[..., Any]


def test_defaults_are_the_documented_run(compose_train: Compose) -> None:
    config = check_config(compose_train())
    assert (config.model.name, config.dataset.name, config.method.name) == (
        "vit_mini",
        "digits",
        "hydra",
    )
    assert config.method.targets == ["attn.proj", "mlp.fc2"]
    assert config.protocol.selection == "last"
    assert config.protocol.evaluate_split == "test"


def test_recipe_reaches_optimizer_and_method(compose_train: Compose) -> None:
    adapter, full = check_config(compose_train()), check_config(compose_train("method=full"))
    recipe = adapter.dataset.recipe
    assert adapter.optimizer.lr == recipe.lr["adapter"]
    assert full.optimizer.lr == recipe.lr["full"]
    changed = check_config(compose_train("dataset.recipe.dropout=0.25", "optimizer.lr=1"))
    assert changed.method.dropout == 0.25
    assert changed.optimizer.lr == 1.0
    assert isinstance(changed.optimizer.lr, float)


def test_folders_may_start_with_a_tilde(
    compose_train: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    paths = check_config(compose_train("paths.runs='~/r'", "paths.cache='~/c'")).paths
    assert (paths.runs, paths.cache) == ("/home/me/r", "/home/me/c")


#: a data set of which all labelled data is trained on, always
NOTHING_HELD_OUT = (
    "dataset.splits.fit=null",
    "dataset.splits.val=null",
    "~dataset.sizes.train800",
    "~dataset.sizes.val200",
)
VALIDATION = "protocol=validation"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+foo=1"], "unknown key 'foo'; known here: model, method"),
        (["model=timm", "model.architecture="], "^model.architecture= is not allowed"),
        (["head=zero_shot"], "^head=text_prompts or head=zero_shot needs texts that name the cl"),
        (["method.targets=[]"], r"^method.targets=\[\] is not a list of name patterns"),
        (["method=adaptformer", "method.targets=[]"], r"^method.targets=\[\] is not a list of na"),
        (["method=compacter", "method.rank=5"], "^method.rank=5 of method .* of method.phm_dim="),
        (["method=lora", "method.parts=[x]"], r"^method.parts=\['x'\] is not a list of some of"),
        (["method.init=xaver"], "^method.init=xaver is not allowed: it must be one of gaussian"),
        (["method=noah", "method.space=[]"], r"^method.space=\[\] has no size"),
        (
            ["method=hydra", "method.rank_scale=alpha_over_r", "method.rank_sequential=3"],
            "^method.rank_scale=alpha_over_r divides by one rank.*set method.rank_scale=none",
        ),
        (["+method.rnak=2"], "unknown key 'method.rnak' of method 'hydra' .did you mean 'rank'"),
        (
            ["+optimizer.lrr=1"],
            "unknown key 'optimizer.lrr' of optimizer 'adamw' .did you mean",
        ),
        (["+dataset.mini={name: a, classes: 2}"], "keys of dataset: .* as mini/<name>@_here_"),
        (["method.rank=x"], "method.rank=x is not allowed: it must be a whole number"),
        (["method.rank=1.5"], "method.rank=1.5 is not allowed: it must be a whole number"),
        (["train.epochs=1e3"], r"epochs=1000.0 .* an exponent \(train.epochs=1000\)\."),
        (["method.rank=0"], "method.rank=0 is not allowed: it must be at least 1"),
        (["method.rank=null"], "method.rank=null is not allowed: it must be a whole number"),
        (["optimizer.lr=null"], "optimizer.lr=null is not allowed: it must be a number"),
        (
            ["dataset.name=1e3"],
            "dataset.name=1000.0 is not allowed: it must be a text, and .*quote",
        ),
        (["model.architecture=true"], "architecture=True is not allowed: it must be a text, and"),
        (["method.init=null"], "method.init=null is not allowed: it must be one of gaussian"),
        (
            ["method.targets=attn"],
            "a single value where a list is meant: put it in brackets, as .attn.\\.",
        ),
        (["paths.runs=[a,b]"], "runs=.'a', 'b'. is not allowed: it must be a text"),
        (["dataset.recipe=3"], "dataset.recipe=3 is not allowed: it must be a group of settings"),
        (["dataset.recipe.lr.full=null"], "recipe.lr.full=null is not allowed: it must be a num"),
        (["dataset.recipe.grid.lr.full=3"], "grid.lr.full is a single value where a list is meant"),
        (["dataset.recipe.grid.lr.full=[-1]"], "recipe.grid.lr.full.0.=-1.0 is not allowed"),
        (
            ["+dataset.recipe.grid.train.epoch=[1]"],
            "key 'dataset.recipe.grid.train.epoch' .did you",
        ),
        (["+dataset.recipe.grid.seed=[1]"], "recipe.grid.seed is no hyper-parameter: a seed"),
        (["train.drop_last=1"], "train.drop_last=1 is not allowed: it must be true or false"),
        (["method.name=loar"], "did you mean 'lora'"),
        (
            ["paths.runs=${HOME}/x"],
            "no key is called HOME, and a shell leaves .* double quotes, or .*'..oc.env:HOME}'",
        ),
        (["paths.runs=${NO_SUCH}/x"], "no yaml has a value for NO_SUCH; write it into"),
        (["method.recipe=foo"], "optimizer.lr points to something that is not there"),
        (["~method.recipe"], "optimizer.lr points .* no yaml has a value for method.recipe; write"),
        (["seed=-1"], "seed=-1 is not allowed"),
        (["seed=true"], "seed=true is not allowed: it must be a whole number"),
        (["seed=null"], "seed=null is not allowed: it must be a whole number"),
        (['seed="3"'], 'seed="3" is not allowed: it must be a whole number'),
        (['train.drop_last="true"'], 'train.drop_last="true" is not allowed: it must be true or'),
        (['paths.runs="/x/\ud800"'], r"paths has half a character \('\\ud800' to '\\udfff'\)"),
        (["method.targets=['\udcff']"], "method has half a character"),
        (["device=null"], "device=null is not allowed: it must be one of auto, cpu, cuda."),
        (["precision=32"], "precision=32 is not allowed: it must be one of auto, fp32, bf16."),
        (["save.predictions=null"], "=null is not allowed: it must be one of auto, true, false."),
        (["sweep.retry=[all]"], "'all'. is not allowed: it must be one of none, failed, all."),
        (["data.augment=null"], r"augment=null is not allowed: it must be one of .*, none, "),
        (["dataset.metric=[a]"], "'a'. is not allowed: it must be one of accuracy, "),
        (["data.cache=null"], "cache=null is not allowed: it must be one of train, all, none."),
        (["optimizer.decay=null"], "decay=null is not allowed: it must be one of all, weights."),
        (["device=gpu"], "device=gpu is not allowed: it must be one of auto, cpu, cuda"),
        (["precision=fp16"], "one of auto, fp32, bf16"),
        (["optimizer.lr=-1"], "optimizer.lr=-1.0 is not allowed: it must be at least 1e-12"),
        (["optimizer.lr=1e-300"], "optimizer.lr=1e-300 is not allowed"),
        (["+model.arguments.mlp_ratio=nan"], "model.arguments.mlp_ratio=nan is not .* a finite nu"),
        (["+model.arguments.a=[1,{b: inf}]"], r"model.arguments.a\[1\].b=inf is not allowed"),
        (["method=adapterdrop", "method.drop=null"], "drop=null .* a whole number or a text"),
        (["method=adapterdrop", "method.drop=[1]"], "drop=.1. .* a whole number or a text"),
        (["method=adapterdrop", "method.drop=1.5"], "drop=1.5 .* a whole number or a text"),
        (["method=adapterdrop", "method.drop=foo"], "give a number of layers, or robust"),
        (["init_from='task:'"], "task:.* is not allowed: it must be the folder of a run, or task:"),
        (["init_from='hf://a/b'"], "is not allowed: it must be the folder of a run"),
        (["method=full", "init_from='task:digits'"], "not for method 'full', which has no adapter"),
        (["init_from='task:digit'"], "no task of mini .did you mean 'digits'.*: it must be one of"),
        (
            ["protocol.tune=true", "+protocol.grid.train.epochs=[3,4,3]"],
            "protocol.grid.train.epochs has 3 twice",
        ),
        (["optimizer.lr=nan"], "optimizer.lr=nan is not allowed"),
        (["optimizer.lr=inf"], "optimizer.lr=inf is not allowed"),
        (["optimizer.betas=[0.9]"], "two numbers"),
        (["optimizer.name=lion"], "one of adamw, sgd"),
        (["optimizer.name=sgd"], "unknown key 'optimizer.betas' of optimizer 'sgd'"),
        (["scheduler=linear", "+scheduler.cycles=5"], "of scheduler 'linear'"),
        (["train.epochs=-1"], "train.epochs=-1 is not allowed"),
        (["train.epochs=2", "scheduler.warmup_epochs=2"], "leaves nothing of train.epochs=2"),
        (["dataset.recipe.epochs=2"], "leaves nothing of train.epochs=2"),
        (["train.batch_size=0"], "train.batch_size=0"),
        (["train.clip_grad=0"], "train.clip_grad"),
        (["seed=0-2"], r"a whole number \(several, .* typed as -m 'seed=range\(0,3\)'\)\."),
        (["train.epochs=2:4"], r"a whole number \(.* typed as -m 'train.epochs=range\(2,4\)'\)\."),
        (["seed=[0,2]"], r"a whole number \(.* typed as -m seed=0,2\)\."),
        (["optimizer.lr='1e-3 1e-2'"], r"a number \(.* typed as -m optimizer.lr=1e-3,1e-2\)\."),
        (
            ["method=linear", "+method.r=8"],
            "'method.r' of method 'linear': as method.rank it is of",
        ),
        (["seed='0 2'"], r"a whole number \(.* typed as -m seed=0,2\)\."),
        (["+model.arguments.x={a: {0: 1}}"], "arguments.x.a has the key 0, and keys are texts: in"),
        (["train.clip_grad=None"], "clip_grad=None is not allowed: it must be a number or null"),
        (["+method.r=4"], r"'method.r' of method 'hydra' \(did you mean 'method.rank'\?\); known"),
        (["train=3"], "'train' is a group of settings"),
        (["model=timm"], "model.architecture has no value"),
        (["optimizer=sgd"], "optimizer.lr has no value: it must be set here, as optimizer.lr="),
        (["model.pretrained=false", "model.checkpoint=a.npz"], "random weights have no"),
        (["model.drop_path=1"], "model.drop_path"),
        (["protocol.selection=best"], "needs protocol.evaluate_every"),
        (["protocol.selection=best", "protocol.evaluate_every=1"], "clean may not select"),
        (["protocol.train_split=test"], "one of train, train800"),
        (["protocol.evaluate_split=val200"], "val200 overlaps protocol.train_split=train"),
        (["protocol.evaluate_split=tset"], "one of train800, val200, train, test"),
        (["dataset.splits.val=dev"], "dataset.sizes=.* for each of dataset.splits: train800, dev"),
        (["dataset.splits.test=../a"], r"dataset.splits.test=../a is not .* a plain name"),
        (["+dataset.splits.further=[a/b]"], r"dataset.splits.further\[0\]=a/b is not allowed"),
        (["dataset.group=' '"], "dataset.group=  is not allowed: it must be a name of at most 100"),
        (["model.name=" + 101 * "9"], "model.name=9{99}… is not allowed"),
        (["protocol.name='a\tb'"], "protocol.name=a.* is not allowed: it must be a name"),
        (["train.clip_grad=1e-300"], "train.clip_grad=1e-300 is not allowed"),
        (["method.scale=0"], "method.scale=0.* is not allowed: .* 1e-09 or more away from 0"),
        (["~dataset.splits"], "dataset.splits.train has no value: it must be set here"),
        (["~dataset.splits.test"], "dataset.splits.test has no value: it must be set here"),
        ([*NOTHING_HELD_OUT, "protocol.tune=true"], "digits has none: name such splits in"),
        ([*NOTHING_HELD_OUT, VALIDATION], "dataset.splits.fit names, and this data"),
        (
            [*NOTHING_HELD_OUT[2:], "~dataset.splits.fit", "~dataset.splits.val", VALIDATION],
            "protocol.train_split takes the split that dataset.splits.fit names, and this data",
        ),
        (["paths.runs=''"], "paths.runs=''"),
        (["method.scale=nan"], "method.scale=nan is not allowed: it must be at least -1,000"),
        (["method.targets=[]"], "is not a list of name patterns"),
        (["method.targets=['']"], "is not a list of name patterns"),
        (["~train.epochs"], "train.epochs has no value"),
        (["sweep.on_existing=ignore"], "one of skip, rerun, error"),
        (["dataset.recipe.epochs=abc"], "dataset.recipe.epochs=abc is not allowed"),
        (["~scheduler"], "the config has no 'scheduler'"),
    ],
)
def test_mistakes(compose_train: Compose, overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        check_config(compose_train(*overrides))
    assert "\n" not in str(caught.value)


#: what no key takes that has a value of this type
ABSURD: dict[type, tuple[Any, ...]] = {
    bool: (2, "yes"),
    int: (10**9, -(10**9), True, "x"),
    float: (1e300, -1e300, float("nan"), True, "x"),
    type(None): (1e300, 10**9, -(10**9), True, "x"),
}
#: keys that may be null and take a number
NULLABLE = {"clip_grad", "period_epochs", "evaluate_every", "rank_parallel", "rank_sequential"}


def numbers_and_switches(
    node: Any, path: tuple[Any, ...] = ()
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield the place of every number and boolean of a config, and its value; of a list one."""
    items = node.items() if isinstance(node, dict) else list(enumerate(node))[-1:]
    for key, value in items:
        if isinstance(value, dict | list):
            yield from numbers_and_switches(value, (*path, key))
        elif isinstance(value, bool | int | float) or key in NULLABLE:
            yield (*path, key), value


def refusal(path: tuple[Any, ...], values: dict[str, Any]) -> str:
    """Return what is said of the group that ``path`` is in; nothing where it is accepted."""
    group, whole = path[0], "grid" in path  # grids take their types from other groups
    cls = typing.get_type_hints(RunConfig)[group]
    try:
        if dataclasses.is_dataclass(cls) and group not in CHOSEN and not whole:
            typed(cast(Any, cls), values[group], group)
        else:
            check_config(OmegaConf.create(values))
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.long)])
def test_every_number_and_switch_refuses_what_nobody_means(
    compose_train: Compose, whole: bool
) -> None:
    """Each absurd value at each place; in short, one at each, in turn."""
    plain = cast(dict[str, Any], OmegaConf.to_container(compose_train("dataset=dtd"), resolve=True))
    places = dict(numbers_and_switches(plain))
    assert len(places) > 60
    wrong = []
    for number, (path, value) in enumerate(places.items()):
        *inner, last = path
        parent = functools.reduce(operator.getitem, inner, plain)
        named = [key for key in path if isinstance(key, str)][-1]
        absurd_values = ABSURD[type(value)]
        for absurd in absurd_values if whole else [absurd_values[number % len(absurd_values)]]:
            parent[last] = absurd
            said = refusal(path, plain)
            a_seed = named in ("seed", "split_seed") and absurd == 10**9
            if named not in said and not a_seed:
                wrong.append((path, absurd, said))
        parent[last] = value
    assert not wrong


def test_a_number_that_no_float_holds_is_refused(compose_train: Compose) -> None:
    config = compose_train()
    config.optimizer.lr = 10**400
    with pytest.raises(UserError, match="optimizer has a number that is too"):
        check_config(config)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["scheduler.min_lr=0.5"], "scheduler.min_lr=0.5 is above optimizer.lr=0.01"),
        (["scheduler.warmup_lr=0.5"], "scheduler.warmup_lr=0.5 is above optimizer.lr=0.01"),
        (
            ["protocol.tune=true", "protocol.grid.optimizer.lr=[1,1e-9]"],
            "optimizer.lr=1e-09, .* cannot be run: .* is above optimizer.lr=1e-09",
        ),
        (["train.batch_size=100001"], "it must be at least 1 and at most 100,000"),
        (["dataset.recipe.dropout=-1"], "dataset.recipe.dropout=-1.0 is not allowed"),
        (["protocol.grid.method.scale=[]"], r"protocol.grid.method.scale=\[\] is not allowed"),
    ],
)
def test_numbers_that_contradict_others_or_the_recipe(
    compose_train: Compose, overrides: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        check_config(compose_train(*overrides))


@pytest.mark.parametrize(
    ("overrides", "epochs"),
    [
        ([], 2),
        (["train.epochs=19"], 1),
        (["train.epochs=10"], 1),
        (["train.epochs=1"], 0),
        (["train.epochs=100"], 2),
        (["train.epochs=5", "scheduler.warmup_epochs=3"], 3),
        (["train.epochs=10", "dataset.recipe.warmup_epochs=8"], 4),
        (["dataset=dtd", "train.epochs=50"], 5),
        (["dataset=dtd", "protocol=official", "train.epochs=25"], 2),
    ],
)
def test_the_warm_up_of_a_recipe_shortens_with_the_run(
    compose_train: Compose, overrides: list[str], epochs: int
) -> None:
    config = check_config(compose_train(*overrides))
    assert config.scheduler.warmup_epochs == epochs
    recommended = config.dataset.recipe.warmup_epochs
    told = "recipe" if epochs == recommended else epochs
    assert config.settings["scheduler.warmup_epochs"] == told
    # However it came to be so short, it is the same run.
    by_hand = check_config(compose_train(*overrides, f"scheduler.warmup_epochs={epochs}"))
    assert config_id(config) == config_id(by_hand)


@pytest.mark.parametrize(
    ("protocol", "precision"),
    [("clean", "bf16"), ("paper", "bf16"), ("validation", "bf16"), ("official", "fp32")],
)
def test_precision_is_the_protocols(
    compose_train: Compose, monkeypatch: pytest.MonkeyPatch, protocol: str, precision: str
) -> None:
    monkeypatch.setattr("hydra_peft.runs.on_device.fastest_precision", lambda _device: "bf16")
    assert on_device(check_config(compose_train(f"protocol={protocol}"))).precision == precision
    asked = on_device(check_config(compose_train(f"protocol={protocol}", "precision=fp32")))
    assert asked.precision == asked.settings["precision"] == "fp32"


def test_configs_of_earlier_code_are_read(compose_train: Compose) -> None:
    config = compose_train("precision=fp32")
    earlier = OmegaConf.to_container(config, resolve=True)
    assert isinstance(earlier, dict)
    earlier["dataset"]["column"] = "digits"
    del earlier["protocol"]["fills"]["precision"]
    del earlier["dataset"]["splits"]
    assert config_id(check_recorded(earlier)) == config_id(check_config(config))
    assert earlier["dataset"]["column"] == "digits"
    with pytest.raises(UserError, match=r"unknown key 'dataset\.column'"):
        check_config(OmegaConf.create(earlier))


def test_protocols_take_splits_by_their_role(compose_train: Compose) -> None:
    names = "dataset.splits={train: all, fit: most, val: dev, test: eval, further: [shifted]}"
    sizes = "dataset.sizes={all: 9, most: 5, dev: 4, eval: 3, shifted: 2}"
    for protocol, splits in (("clean", ("all", "eval")), ("validation", ("most", "dev"))):
        overrides = [f"protocol={protocol}", f"+{names}", f"+{sizes}"]
        overrides = ["~dataset.splits", "~dataset.sizes", *overrides]
        found = check_config(compose_train(*overrides)).protocol
        assert (found.train_split, found.evaluate_split) == splits
    all_trained_on = check_config(compose_train(*NOTHING_HELD_OUT))
    assert config_id(all_trained_on) != config_id(check_config(compose_train()))


def test_the_grid_of_vtab1k_holds_what_it_says(root: Path) -> None:
    # docs/protocols.md and conf/recipe/vtab1k.yaml
    grid = yaml.safe_load((root / "conf/recipe/vtab1k.yaml").read_text())["grid"]
    tasks = [yaml.safe_load(file.read_text()) for file in root.glob("conf/dataset/*.yaml")]
    tasks = [task for task in tasks if task["benchmark"] == "vtab1k"]
    assert len(tasks) == 19
    used: dict[str, set[float]] = {
        key: {float(version[key]) for task in tasks for version in task["versions"].values()}
        for key in ("scale", "dropout")
    }
    assert set(grid["lr"]["adapter"]) == {task["recipe"]["lr"]["adapter"] for task in tasks}
    assert grid["scale"] == [min(used["scale"]), 1.0, max(used["scale"])]
    assert grid["dropout"] == [min(used["dropout"]), max(used["dropout"])]
    assert used["scale"] == {0.1, 1.0, 1.5, 2.5, 3.0, 4.0, 4.5}
    counts = [len(grid["lr"]["adapter"]) * len(grid["scale"]) * len(grid["dropout"])]
    counts.append(len(grid["lr"]["adapter"]) * len(used["scale"]) * len(used["dropout"]))
    said = (root / "docs/protocols.md").read_text()
    assert counts == [18, 63]
    assert "18 combinations. All seven scales and three dropouts would make 63" in said


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("train.epochs=3.5", "train.epochs=3.5 is not allowed: it must be a whole number."),
        ("method.rank=[2]", "method.rank=[2] is not allowed: it must be a whole number."),
        ("optimizer.lr=fast", "optimizer.lr=fast is not allowed: it must be a number."),
    ],
)
def test_a_value_of_another_type_is_told_in_words(
    compose_train: Callable[..., Any], word: str, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        check_config(compose_train(word))
    assert str(caught.value) == message
