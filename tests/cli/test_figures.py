"""scripts/figures.py: what is asked for is drawn, and mistakes are one sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fabricated_models import put_model
from fabricated_runs import put

from hydra_peft.cli import figures
from hydra_peft.config.check import check_config
from hydra_peft.errors import UserError
from hydra_peft.figures import mistakes


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def called(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["figures.py", *words])
        try:
            code = figures.main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return called


@pytest.fixture(scope="module")
def linear(compose_train: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_model(compose_train, tmp_path_factory.mktemp("linear"), "method=linear")


Call = Callable[..., tuple[int, str, str]]
#: of a run whose figures have few panels
FEW_LAYERS = "method.targets=[blocks.4.mlp.fc2]"


def test_a_figure_of_a_run(call: Call, compose_train: Callable[..., Any], tmp_path: Path) -> None:
    place = tmp_path / "runs" / "mini" / "digits" / "one"
    run = put_model(compose_train, place, FEW_LAYERS)
    code, out, err = call("figure=3", f"run={run}", f"out={tmp_path}/new/out")
    assert (code, err) == (0, "")
    assert "figure 3: Measured: mini/digits; hydra r=2+2" in out
    assert f"written: {tmp_path}/new/out/figure3.pdf, figure3.png, figure3.txt, figure3.csv" in out
    names = sorted(path.name for path in (tmp_path / "new" / "out").iterdir())
    assert names == [
        "figure3-summary.csv",
        "figure3.csv",
        "figure3.pdf",
        "figure3.png",
        "figure3.txt",
    ]
    before = [path.read_bytes() for path in sorted((tmp_path / "new" / "out").iterdir())]
    assert call("figure=3", f"run={run}", f"out={tmp_path}/b", "name=x")[0] == 0
    again = [tmp_path / "b" / name.replace("figure3", "x") for name in names]
    assert [path.read_bytes() for path in again] == before


def test_help_lists_figures_and_options(call: Call) -> None:
    code, out, _ = call("figure=3", "--help")
    assert code == 0
    assert "  3 " in out
    assert "checkpoint=<file>" in out
    assert call("--help")[1] == out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "figure is missing: give figure=..."),
        (["figure="], "figure= is empty: choose one of 3, "),
        (["figure=33"], "figure '33' is unknown (did you mean '3'?): choose one of 3, 4, "),
        (["figure=3"], "run is missing: figure=3 is drawn from a run's folder, give run=<folder>"),
        (["figure=3", "run=/nowhere"], "/nowhere is not there: give the folder of a run"),
        (["figure=3", "run=a,b"], "figure=3 takes one run, not 2"),
        (["figure=4", "run=a", "images=2"], "images=2 is too few: give 8 or more."),
        (["figure=3", "rnu=a"], "unknown key 'rnu' (did you mean 'run'?)"),
        (["figure=3", "chekpoint=a"], "unknown key 'chekpoint' (did you mean 'checkpoint'?)"),
        (["figure=3", "x"], "cannot understand 'x': expected key=value, see --help"),
        (["pareto"], "cannot understand 'pareto': type figure=pareto."),
        (["figure=3", "runs"], "'runs': expected key=value, such as runs=..., see --help"),
        (
            ["figure=3", "chekpoint"],
            "expected key=value (did you mean checkpoint=...?), see --help",
        ),
        (["figure=all", "runs=/nowhere"], "/nowhere is not a folder"),
        (["figure=all", "name=x"], "name= goes with one figure"),
        (["figure=3", f"name={'a' * 300}"], "a… is too long: a file may have 200 bytes in its"),
        (["figure=3", f"out={'a' * 300}"], "out is not allowed: no file or folder can be called"),
        (["figure=3", "name=../x"], "name=../x is not allowed: give a name alone"),
    ],
)
def test_mistakes(call: Call, words: list[str], message: str) -> None:
    code, out, err = call(*words)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert out == ""


def test_all_draws_what_it_can_and_names_the_rest(
    call: Call, compose_train: Callable[..., Any], tmp_path: Path
) -> None:
    runs = tmp_path / "runs" / "a,b"
    put_model(compose_train, runs / "0", FEW_LAYERS, "model.pretrained=false")
    put_model(compose_train, runs / "1", FEW_LAYERS, "seed=1")
    places = [f"{key}={tmp_path}/{key}" for key in ("runs", "out", "cache")]
    code, out, _ = call("figure=all", *places)
    assert code == 0
    assert "figure 3: Measured" in out
    assert "pretrained" in out
    assert (tmp_path / "out" / "figure3.pdf").is_file()
    assert "figure 4 is not drawn: the test images" in out  # fabricated: nobody knows them
    assert "figure branches: Measured" in out
    assert "no CKA: the test images" in out


def test_all_without_anything_to_draw_is_a_mistake(
    call: Call, compose_train: Callable[..., Any], tmp_path: Path
) -> None:
    put_model(compose_train, tmp_path / "runs" / "a" / "0", status="failed")
    code, out, err = call("figure=all", f"runs={tmp_path}/runs", f"out={tmp_path}/out")
    assert code == 2
    assert "figure 3 is not drawn: run is missing" in out
    assert "none of the figures could be drawn" in err


def test_of_all_runs_what_was_overridden_is_in_the_caption(
    call: Call, compose_train: Callable[..., Any], tmp_path: Path
) -> None:
    for number, method in enumerate(("lora", "hydra")):
        words = [f"method={method}", "train.epochs=7"]
        settings = check_config(compose_train("device=cpu", *words)).settings
        place = tmp_path / "runs" / "mini" / str(number)
        put_model(compose_train, place, *words, settings=settings, config_id=f"{number:012x}")
    put_model(compose_train, tmp_path / "runs" / "mini" / "bad", "seed=5", status="failed")
    where = (f"runs={tmp_path}/runs", f"out={tmp_path}/out")
    code, out, err = call("figure=pareto", *where)
    assert (code, err) == (0, "")
    assert "note: runs that did not complete are left out: 1 failed." in out
    _, of_another, _ = call("figure=pareto", *where, "methods=lora")
    assert "left out: 1 failed" not in of_another
    assert "; seed 0; all with scheduler.warmup_epochs=0, train.epochs=7." in out
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["pareto.csv", "pareto.pdf", "pareto.png", "pareto.txt"]
    for word, message in (
        ("sheet=9", "sheet=9 is too large: these runs make 1."),
        ("head=no", "head=no is not allowed: it must be true or false."),
        ("mean=median", "mean=median is not known: it must be one of tasks, groups."),
        ("protocol=cleen", "protocol=cleen: no run has it (did you mean 'clean'?)"),
    ):
        code, _, err = call("figure=pareto", f"runs={tmp_path}/runs", word)
        assert code == 2
        assert message in err


@pytest.mark.parametrize("words", [["figure=pareto", "name=0"], ["figure=all"]])
def test_no_figure_becomes_an_image_of_the_data(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    put(tmp_path / "runs")
    asked: list[Path] = []

    def spares(files: list[Path], *runs: Path) -> None:
        asked.extend(files)
        raise UserError(f"data of {runs}")

    monkeypatch.setattr(figures, "check_spares_data", spares)
    name = "0" if "name=0" in words else "pareto"
    for ending in (".png", ".txt", "-more.csv", ".jpg", "more.png"):
        (tmp_path / f"{name}{ending}").touch()
    code, _, err = call(*words, f"runs={tmp_path}/runs", f"out={tmp_path}")
    assert (code, err) == (2, f"error: data of {(tmp_path / 'runs',)}\n")
    assert {file.name for file in asked} == {
        f"{name}{end}" for end in (".png", ".txt", "-more.csv")
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["figure=3"], "has no low-rank branches (method linear): choose one of hydra, lora or"),
        (["figure=4"], "has no low-rank branches (method linear): choose one of hydra, lora or"),
        (["figure=confusion", "split=val"], "was not scored on split=val: choose test."),
        (["figure=confusion"], "has no predictions.safetensors: removed, or of older code"),
        (["figure=mistakes", "images=121"], "images=121 is not allowed: it must be at most 120."),
        (["figure=mistakes"], "has no predictions.safetensors: removed, or of older code"),
    ],
)
def test_what_a_look_at_the_run_tells_is_told_before_torch_is_loaded(
    call: Call, linear: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    # Whoever imports them would load torch, or compose conf, which takes seconds as well.
    for name in ("runs.rebuild", "runs.predictions", "cli.defaults"):
        monkeypatch.setitem(sys.modules, f"hydra_peft.{name}", None)
    if words[0] not in ("figure=3", "figure=4"):  # which needs no weights
        monkeypatch.setattr(figures, "look_at_run", None)
    code, out, err = call(*words, f"run={linear}", f"out={linear}/figures")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_texts_have_no_mistakes_to_show(
    compose_train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["dataset=mini_glue/acceptable", "model=roberta_mini", "device=cpu"]
    config = check_config(compose_train(*words))
    monkeypatch.setattr(mistakes, "of_classes", lambda *_: (None, config, "test"))
    with pytest.raises(UserError, match="the examples of acceptable are no images: nothing to"):
        mistakes.check(Path("run"), mistakes.Settings())
