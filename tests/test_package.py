"""The package as it is installed: what is in it, its command, what its library needs."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hydra_peft.__main__ as command
from hydra_peft import checkout
from hydra_peft.cli import tables

#: packages of the extras, which the library of adapters does without
EXTRAS = {
    *("hydra", "omegaconf", "torchvision", "tensorboard", "sklearn", "pandas", "scipy", "tqdm"),
    *("PIL", "yaml", "matplotlib", "jinja2", "tabulate"),
}
LIBRARY = ("adaptation", "adapters", "methods")
#: blocks packages as if they were not there, but for what timm itself takes (torchvision, yaml)
WITHOUT = """\
import sys, timm, torch
blocked = {blocked}
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(name, name=name)
for name in [n for n in sys.modules if n.partition(".")[0] in blocked]:
    del sys.modules[name]
sys.meta_path.insert(0, Block())
import hydra_peft
def model():
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", num_classes=5, depth=2)
one, other = model(), model()
hydra_peft.inject(one, "hydra")
hydra_peft.save_adapter(one, "adapter")
hydra_peft.load_adapter(other, "adapter")
hydra_peft.merge(other)
hydra_peft.unmerge(other)
"""


def test_conf_and_published_tables_are_inside(root: Path) -> None:
    assert (checkout.PACKAGE / "conf").resolve() == root / "conf" == checkout.CONF
    assert (checkout.PACKAGE / "published").resolve() == root / "results" / "paper"
    assert checkout.IS_CHECKOUT


def test_every_command_is_a_script_and_a_module(root: Path) -> None:
    for word, name in command.COMMANDS.items():
        assert (root / "scripts" / f"{name}.py").is_file()
        assert importlib.util.find_spec(f"hydra_peft.cli.{name}") is not None
        assert re.search(rf"\b{word}\b", command.USAGE)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--help"], 0, ""),
        ([], 0, ""),
        (["frain"], 2, "unknown command 'frain' (did you mean 'train'?): see --help."),
        (["--version"], 0, ""),
        (["-help"], 0, ""),
        (["tables", "-version"], 0, ""),
        (["tables", "runs=nowhere"], 2, "nowhere is not a folder"),
        (["demo", "x"], 2, "for other settings see hydra-peft demo --help."),
        (["evaluate", "run="], 2, "run= has no value: see --help."),
    ],
)
def test_the_command(
    words: list[str],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["hydra-peft", *words])
    assert command.main() == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_a_reader_that_leaves_and_a_full_disk_are_no_bugs(word: str) -> None:
    unread, pipe = os.pipe()
    os.close(unread)
    with open(pipe, "w") as left, open("/dev/full", "w") as full:
        for out, code, said in ((left, 141, ""), (full, 2, "error: cannot write: the disk")):
            done = subprocess.run(
                [sys.executable, "-m", "hydra_peft", word],
                stdout=out, stderr=subprocess.PIPE, text=True, check=False,
            )  # fmt: skip
            assert (done.returncode, done.stderr[:29]) == (code, said)


@pytest.mark.parametrize("name", ["train", "tables", "prepare", "demo"])
def test_help_is_of_the_command_that_was_typed(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["hydra-peft", name, "--help"])
    with contextlib.suppress(SystemExit):
        command.main()
    said = capsys.readouterr().out
    assert f"hydra-peft {name}" in said
    assert "scripts/" not in said


@pytest.mark.parametrize(
    ("argv", "typed"),
    [
        ("hydra-peft tables", "`hydra-peft train -m +experiment=table8"),
        ("scripts/tables.py", "`python scripts/train.py -m +experiment=table8"),
    ],
)
def test_a_table_names_the_command_that_is_there(
    argv: str,
    typed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [argv, "table=8", f"runs={tmp_path}"])
    assert tables.main() == 0
    assert typed in capsys.readouterr().out


def test_a_folder_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setattr(sys, "argv", ["hydra-peft", "tables"])
    assert command.main() == 2
    assert "the folder that you are in is not there any more" in capsys.readouterr().err


def test_an_extra_that_is_missing_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(_: str) -> None:
        raise ModuleNotFoundError("No module named 'hydra'", name="hydra.core")

    monkeypatch.setattr(command.importlib, "import_module", missing)
    monkeypatch.setattr(sys, "argv", ["hydra-peft", "train"])
    assert command.main() == 2
    assert "the package 'hydra', which is not installed: pip install" in capsys.readouterr().err


def test_adapters_import_nothing_of_the_extras(root: Path) -> None:
    found = {}
    for path in (path for part in LIBRARY for path in (root / "hydra_peft" / part).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if bad := EXTRAS.intersection(name.partition(".")[0] for name in names):
                found[path.name] = bad
    assert found == {}


@pytest.mark.long
def test_adapters_work_without_the_extras(tmp_path: Path, root: Path) -> None:
    blocked = EXTRAS - {"torchvision", "PIL", "yaml", "tqdm"}  # timm's and the hub's own
    environment = {**os.environ, "PYTHONPATH": str(root)}
    code = WITHOUT.format(blocked=blocked)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)


@pytest.mark.long
def test_the_wheel_installed_elsewhere_runs_the_demo(tmp_path: Path, root: Path) -> None:
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    flags = ["--no-deps", "--no-build-isolation"]
    source, site, work = tmp_path / "source", tmp_path / "site", tmp_path / "work"
    subprocess.run(["git", "clone", "-q", str(root), str(source)], check=True)
    subprocess.run([*pip, "wheel", *flags, "-w", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True)
    work.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(site)}
    for words in (["demo"], ["tables", "table=8"]):
        done = subprocess.run(
            [sys.executable, "-m", "hydra_peft", *words],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert len(list((work / "results" / "demo" / "runs").rglob("result.json"))) == 8
    assert "Hydra (paper)" in done.stdout
