"""How scripts start: help at once, and a sentence where Python lacks what they need."""

from __future__ import annotations

import importlib.util
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from hydra_peft.cli import demo, train
from hydra_peft.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("[!_]*.py"))
#: exit code and stderr of a script whose ``main`` is as given
Begin = Callable[[Callable[[], int]], tuple[object, str]]


@pytest.fixture
def starter() -> ModuleType:
    spec = importlib.util.spec_from_file_location("start_of_scripts", ROOT / "scripts/_start.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def begin(
    starter: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Begin:
    def begun(main: Callable[[], int]) -> tuple[object, str]:
        module = ModuleType("hydra_peft.cli.made_up")
        module.main = main  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        with pytest.raises(SystemExit) as end:
            starter.start("made_up")
        return end.value.code, capsys.readouterr().err

    return begun


def test_help_of_every_script_loads_nothing_heavy() -> None:
    probe = (
        "import contextlib, importlib, io, sys, hydra_peft\n"
        f"for name in {SCRIPTS!r}:\n"
        "    sys.argv = [name, 'help']\n"  # which is --help, everywhere
        "    said = io.StringIO()\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(said):\n"
        "        assert not importlib.import_module('hydra_peft.cli.' + name).main(), name\n"
        "    assert f'python scripts/{name}.py' in said.getvalue(), (name, said.getvalue())\n"
        "heavy = {'torch', 'timm', 'tensorboard', 'matplotlib', 'pandas', 'optuna', 'scipy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", [["seed=1"], ["--hlep"], ["-m"]])
def test_the_demo_refuses_words(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["demo.py", *words])
    monkeypatch.setattr(train, "main", lambda: pytest.fail("it started"))
    assert demo.main() == 2
    assert f"'{words[0]}' is not understood, the demo takes no arguments" in capsys.readouterr().err


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_python_without_the_packages_says_how_to_set_them_up(name: str, tmp_path: Path) -> None:
    # -S leaves the environment's packages out, as a Python does that was not activated.
    bare = [sys.executable, "-S", str(ROOT / f"scripts/{name}.py"), "--help"]
    done = subprocess.run(bare, capture_output=True, text=True, check=False, cwd=tmp_path, env={})
    assert (done.returncode, done.stdout) == (2, "")
    assert f"error: this Python ({sys.executable}) has no package 'hydra_peft': " in done.stderr
    assert f"'make install' in {ROOT}" in done.stderr
    assert f"source {ROOT}/.venv/bin/activate'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_package_that_is_missing_later_is_named(begin: Begin) -> None:
    def main() -> int:
        import not_installed_anywhere.at_all  # type: ignore[import-not-found]

        return not_installed_anywhere.at_all.zero

    code, said = begin(main)
    assert code == 2
    assert "has no package 'not_installed_anywhere': " in said


def test_a_package_that_another_one_needs_is_named(
    begin: Begin, starter: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def main() -> int:
        absent = ModuleNotFoundError("No module named 'numpy'", name="numpy")
        raise ImportError("Unable to import required dependency") from absent

    monkeypatch.setattr(sys, "prefix", f"{starter.ROOT}/.venv")
    code, said = begin(main)
    assert code == 2
    assert f"has no package 'numpy': type 'make install' in {starter.ROOT} again.\n" in said


@pytest.mark.parametrize("kind", [ImportError, MemoryError, OSError, SystemError])
def test_a_library_that_cannot_be_loaded_is_one_sentence(
    begin: Begin, kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heavy_one.py").write_text(f"raise {kind.__name__}('failed\\nto map segment')")
    monkeypatch.syspath_prepend(tmp_path)

    def main() -> int:
        importlib.import_module("heavy_one")
        return 0

    code, said = begin(main)
    assert code == 2
    assert "cannot load what is needed (failed to map segment): free memory" in said
    assert said.count("\n") == 1


def test_a_limit_of_memory_is_named(starter: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (800 * 2**20, -1))
    sentence = starter._sentence(ImportError("libtorch_cpu.so: failed to map segment"))
    assert "only 800 MiB of memory are allowed (ulimit -v): raise that limit." in sentence


def test_too_little_memory_is_told_before_libraries_speak(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100 * 2**20, -1))
    monkeypatch.setattr("os._exit", sys.exit)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "4")  # a user's own stays
    code, said = begin(lambda: pytest.fail("it started"))
    assert code == 2
    assert said.startswith("error: only 100 MiB of memory are allowed (ulimit -v): raise that limi")
    assert os.environ["OPENBLAS_NUM_THREADS"] == "4"


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_working_folder_that_is_gone_is_told_as_that(name: str, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = [sys.executable, "-S", str(ROOT / f"scripts/{name}.py"), "--help"]
    done = subprocess.run(
        ["sh", "-c", 'cd "$0" && rmdir "$0" && exec "$@"', str(gone), *script],
        capture_output=True, text=True, check=False, env={},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: the folder that you are in is not there any more: change to another one (cd).\n"
    )


def test_an_old_python_is_told(
    starter: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(starter, "NEEDED", (99, 0))
    with pytest.raises(SystemExit) as end:
        starter.start("train")
    assert end.value.code == 2
    assert "error: this is Python 3." in capsys.readouterr().err


@pytest.mark.parametrize(
    "bug",
    [
        ImportError("cannot import name 'x'", name="hydra_peft.cli.train"),
        ModuleNotFoundError("no module", name="hydra_peft.cli.trian"),
        MemoryError("while training"),
        OSError("a pipe of ours"),
    ],
)
def test_what_is_ours_is_a_bug_with_its_traceback(starter: ModuleType, bug: Exception) -> None:
    def main() -> int:
        raise bug

    module = ModuleType("hydra_peft.cli.made_up_bug")
    module.main = main  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    try:
        with pytest.raises(type(bug)):
            starter.start("made_up_bug")
    finally:
        del sys.modules[module.__name__]


def test_ctrl_c_before_main_minds_it_is_one_sentence(begin: Begin) -> None:
    def main() -> int:
        raise KeyboardInterrupt

    assert begin(main) == (130, "error: interrupted; what was complete before is kept.\n")


def test_mistakes_and_codes_pass_through(begin: Begin) -> None:
    assert begin(lambda: 1)[0] == 1
    assert begin(lambda: 0)[0] == 0
    with pytest.raises(UserError):
        begin(_mistaken)


def _mistaken() -> int:
    raise UserError("of a main that is not guarded")
