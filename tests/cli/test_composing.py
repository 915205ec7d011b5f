"""Jobs that share what is composed once equal jobs that Hydra composes each from the start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from composed_sweeps import from_scratch, master

from hydra_peft.checkout import options
from hydra_peft.cli import composing
from hydra_peft.cli.composing import Composer, compositions
from hydra_peft.cli.expanding import expand
from hydra_peft.cli.overrides import check_overrides
from hydra_peft.errors import UserError
from hydra_peft.sweeps.job import Composition

Composed = Callable[..., list[Composition]]


@pytest.fixture
def composed(root: Path) -> Composed:
    """Compose a sweep."""

    def call(*words: str) -> list[Composition]:
        with master(root / "conf", *words) as (config, loader):
            return compositions(config, loader, expand(config, loader))

    return call


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


def test_an_override_that_is_no_text_is_refused() -> None:
    with pytest.raises(UserError, match=r"paths\.runs=/x/.udcff' is no text in UTF-8"):
        check_overrides(["seed=1", "paths.runs=/x/\udcff"])


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
