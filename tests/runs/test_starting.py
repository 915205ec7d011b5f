"""Runs that start from the trained adapter of another one (init_from)."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from flat_results import results

from hydra_peft.cli import train
from hydra_peft.config.identity import config_id, settings_id
from hydra_peft.config.quoting import override_value
from hydra_peft.config.schema import InitFrom, RunConfig
from hydra_peft.errors import UserError
from hydra_peft.files import sha256_of
from hydra_peft.runs import training as training_module
from hydra_peft.runs.first_look import look_first
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.rebuild import rebuild
from hydra_peft.runs.record import Record, read_record, write_record
from hydra_peft.runs.run import run
from hydra_peft.tables.grouping import build_tables
from hydra_peft.tensor_files import read_tensors

Do = Callable[..., Outcome]
Configure = Callable[..., RunConfig]
#: so slow that what was started from is still there after an epoch
STILL = ["dataset=mini/texture", "optimizer.lr=1e-10", "train.epochs=1", "method=hydra"]


def start(folder: Path) -> str:
    return f"init_from={override_value(str(folder))}"


@pytest.fixture(scope="module")
def origins() -> dict[tuple[str, ...], Outcome]:
    """A trained adapter by the words of its model."""
    return {}


@pytest.fixture
def origin(
    do: Do,
    model: list[str],
    origins: dict[tuple[str, ...], Outcome],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Outcome:
    """A copy of it among the test's own runs."""
    if tuple(model) not in origins:
        kept = tmp_path_factory.mktemp("origin")
        origins[tuple(model)] = do("method=hydra", "train.epochs=1", f"paths.runs={kept}")
    done = origins[tuple(model)]
    folder = tmp_path / "runs" / Path(*done.folder.parts[-3:])
    return dataclasses.replace(done, folder=Path(shutil.copytree(done.folder, folder)))


def test_the_adapter_is_taken_and_the_head_is_fresh(
    do: Do, configure: Configure, origin: Outcome, tmp_path: Path
) -> None:
    fresh, started = do(*STILL), do(*STILL, start(origin.folder))
    record = started.record
    saved = sha256_of(origin.folder / "adapter.safetensors")
    assert record.init_from["config_id"] == origin.record.config_id
    assert record.init_from["adapter"] == saved == origin.record.adapter
    assert record.init_from["task"] == "mini/digits"
    assert fresh.record.init_from == {}
    assert "init_from" not in fresh.record.science
    assert record.config_id != fresh.record.config_id

    trained, own, theirs = (
        read_tensors(outcome.folder / "adapter.safetensors") for outcome in (started, fresh, origin)
    )
    assert trained.keys() == own.keys()
    for name, tensor in trained.items():
        expected = own[name] if name.startswith("head.") else theirs[name]
        torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-7)
    assert any(not torch.allclose(own[n], theirs[n]) for n in own if not n.startswith("head."))

    moved = shutil.copytree(origin.folder, tmp_path / "moved")
    config = configure(*STILL, start(moved))
    assert config_id(config) == record.config_id
    shutil.rmtree(moved)
    shutil.rmtree(origin.folder)
    again = rebuild(started.folder)  # it does not need the origin
    assert again.record.init_from == record.init_from
    assert again.config.init_from is not None
    (table,), _ = build_tables([fresh.record, record])
    assert len({row.label for row in table.rows}) == 2


def test_an_interrupted_run_goes_on_from_its_checkpoint(
    do: Do, origin: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["method=hydra", "train.checkpoint_every=1", start(origin.folder)]
    whole = do(*words, f"paths.runs={tmp_path}/whole").record

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training_module, "evaluate", stopped)
        with pytest.raises(KeyboardInterrupt):
            do(*words)
    again = do(*words).record
    assert len(again.resumed) == 1
    assert results(again) == results(whole)
    assert again.scores == whole.scores


@pytest.mark.parametrize("model", [[]], ids=["pretrained"])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["method=lora"], r"is of hydra r=2\+2 with method\.name=hydra, and this run has lora"),
        (["method.rank_parallel=3"], r"with method\.rank_parallel=2, and this run has 3: set"),
        (
            ["method.targets=[mlp.fc2]"],
            r"with method\.targets=\[attn\.proj,mlp\.fc2\], and this run has \[mlp\.fc2\]",
        ),
        (["model.pretrained=false"], r"vit_mini \(model\.pretrained=true\), and this run is on"),
    ],
)
def test_another_adapter_is_told_before_torch_is_needed(
    configure: Configure, origin: Outcome, words: list[str], told: str
) -> None:
    config = configure("method=hydra", start(origin.folder), *words)
    with pytest.raises(UserError, match=told):
        look_first(config)


def test_what_tuning_may_choose_has_to_fit_the_adapter(
    configure: Configure, origin: Outcome
) -> None:
    tune = ["protocol.tune=true", "scheduler.warmup_epochs=0"]
    fits = "protocol.grid={method.scale:[1,2],method.rank_parallel:[2]}"
    look_first(configure("method=hydra", start(origin.folder), *tune, fits))
    other = "protocol.grid={method.scale:[1,2],method.rank_parallel:[2,3]}"
    said = r"^protocol\.grid\.method\.rank_parallel\[1\]: .*rank_parallel=2, and this run has 3"
    with pytest.raises(UserError, match=said):
        look_first(configure("method=hydra", start(origin.folder), *tune, other))


def test_a_row_of_a_sweep_starts_from_the_run_of_its_own_settings(
    do: Do, configure: Configure
) -> None:
    """Not from the newest: a sweep does all runs that others start from first."""
    words = ["method=lora", "train.epochs=1"]
    usual = do(*words)  # by the recipe's rate, which is typed below
    rate = usual.record.science["optimizer"]["lr"]
    slow, other = do(*words, f"optimizer.lr={rate / 2}"), do(*words, "method.scale=2")

    def taken(*more: str) -> InitFrom:
        config = configure(*words, "dataset=mini/cells", "init_from='task:digits'", *more)
        assert config.init_from is not None
        return config.init_from

    assert taken().config_id == usual.record.config_id
    assert taken(f"optimizer.lr={rate}", "method.scale=1").config_id == usual.record.config_id
    assert taken(f"optimizer.lr={rate / 2}").config_id == slow.record.config_id
    assert taken("method.scale=2") == InitFrom(
        folder=str(other.folder),
        config_id=other.record.config_id,
        adapter=other.record.adapter,
        task="mini/digits",
        settings=settings_id(other.record.settings),
    )
    do(*words, start(slow.folder))  # a run of digits that is past a fresh adapter
    assert taken().config_id == usual.record.config_id
    with pytest.raises(UserError, match="init_from=task:digits is the task that this run trains"):
        configure(*words, "init_from='task:digits'")
    none = r"none that is complete \(of one that is: .* rank_parallel=4, and this run has 3"
    with pytest.raises(UserError, match=none.replace(" rank", r" with method\.rank")):
        taken("method.rank=3")


@pytest.mark.parametrize(
    ("of", "words", "told"),
    [
        ("pissa", [], r"with method\.init=pissa, and this run has gaussian: set method\.init"),
        ("xavier", ["method.init=pissa"], "with method.init=xavier, and this run has pissa"),
        ("pissa", ["method.init=xavier"], "with method.init=pissa, and this run has xavier"),
        (
            "xavier",
            ["protocol.tune=true", "protocol.grid={method.init:[xavier,pissa]}"],
            r"^protocol\.grid\.method\.init\[1\]: .*init=xavier, and this run has pissa",
        ),
        (
            "xavier",
            ["protocol.tune=true", "protocol.grid={method.init:[gaussian]}"],
            r"^protocol\.grid\.method\.init changes nothing in a run whose adapter init_from",
        ),
    ],
)
def test_how_an_adapter_began_decides_nothing_but_whether_it_fits(
    do: Do, configure: Configure, of: str, words: list[str], told: str
) -> None:
    origin = do("method=lora", f"method.init={of}", "train.epochs=1", "optimizer.lr=0.01")
    config = configure("method=lora", "scheduler.warmup_epochs=0", start(origin.folder), *words)
    with pytest.raises(UserError, match=told):
        look_first(config)


def test_options_that_shape_no_adapter_may_differ(configure: Configure, origin: Outcome) -> None:
    words = ["method.scale=2", "method.dropout=0.1", "seed=5", "model.drop_path=0.1"]
    look_first(configure("method=hydra", start(origin.folder), *words))


def test_random_weights_of_another_seed_are_other_weights(do: Do) -> None:
    words = ["method=lora", "model.pretrained=false", "train.epochs=1"]
    folder = do(*words).folder
    with pytest.raises(UserError, match="was trained on other weights of vit_mini"):
        do(*words, "seed=1", start(folder))


@pytest.mark.parametrize("method", ["full", "linear"])
def test_what_has_no_adapter_is_no_start(do: Do, configure: Configure, method: str) -> None:
    folder = do(f"method={method}", "train.epochs=1").folder
    with pytest.raises(UserError, match=f"init_from=.* method, {method}, has no adapter"):
        configure(f"method={method}", start(folder))


def edited(change: Callable[[Record], Record]) -> Callable[[Path], object]:
    return lambda folder: write_record(change(read_record(folder)), folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (shutil.rmtree, "is not there: give the folder of a run"),
        (lambda folder: (folder / "result.json").unlink(), "is no run, it has no result.json"),
        (lambda folder: (folder / "adapter.json").unlink(), "has no adapter.json"),
        (lambda folder: (folder / "adapter.safetensors").write_bytes(b"x"), "is not what that run"),
        (edited(lambda r: dataclasses.replace(r, status="interrupted")), "run is interrupted"),
    ],
)
def test_a_start_that_is_not_there_is_a_sentence(
    configure: Configure, origin: Outcome, change: Callable[[Path], Any], told: str
) -> None:
    change(origin.folder)
    with pytest.raises(UserError, match=f"^init_from=.*{told}"):
        look_first(configure("method=hydra", start(origin.folder)))


def test_a_start_that_is_changed_between_plan_and_run_is_told(
    configure: Configure, origin: Outcome
) -> None:
    config = configure("method=hydra", start(origin.folder))
    path = origin.folder / "adapter.safetensors"
    content = bytearray(path.read_bytes())
    content[-4] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"adapter\.safetensors there is not what that run saved"):
        run(config)


@pytest.mark.parametrize("value", ["3", "''", "[a]"])
def test_a_start_is_a_folder(configure: Configure, value: str) -> None:
    with pytest.raises(UserError, match="init_from"):
        configure(f"init_from={value}")


@pytest.mark.parametrize("model", [[]], ids=["pretrained"])
def test_its_folder_is_typed_as_it_was_printed_and_swept_over(
    origin: Outcome,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "=" in origin.folder.name
    words = ["-m", f"init_from={origin.folder},null", "method=hydra", "sweep.dry_run=true"]
    words += [f"paths.runs={tmp_path}/runs", f"paths.cache={tmp_path}/cache", "device=cpu"]
    words += ["data.allow_partial=true"]
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    assert train.main() == 0
    assert "2 jobs" in capsys.readouterr().out
    assert json.loads((origin.folder / "result.json").read_text())["init_from"] == {}
