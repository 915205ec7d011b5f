"""SLURM's commands as far as submitit calls them, with this machine as the only node.

Installed under their names by :func:`install`; jobs of an array run one after the other.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

COMMANDS = ("sbatch", "srun", "scontrol", "squeue", "scancel")
FLAG = re.compile(r"^#SBATCH --([a-z-]+)=(.*)$", re.MULTILINE)


def install(folder: Path) -> Path:
    """Write the commands into ``folder``; what they know of jobs is kept there too."""
    folder.mkdir()
    for name in COMMANDS:
        command = folder / name
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "$@"\n')
        command.chmod(0o755)
    return folder


def sbatch(state: Path, script: str) -> None:
    number = 100 + len(list(state.glob("*.sh")))
    kept = state / f"{number}.sh"
    kept.write_text(Path(script).read_text())
    command = [sys.executable, __file__, "run", str(kept)]
    subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    sys.stdout.write(f"Submitted batch job {number}\n")


def run(state: Path, script: str) -> None:
    flags = dict(FLAG.findall(Path(script).read_text()))
    for task, name in _tasks(Path(script)):
        number = Path(script).stem
        known = {"SLURM_JOB_ID": number, "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}
        if task is not None:
            known |= {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": str(task)}
        if "cpus-per-task" in flags:
            known["SLURM_CPUS_PER_TASK"] = flags["cpus-per-task"]
        _run_one(state, script, name, {**os.environ, **known})


def _tasks(script: Path) -> list[tuple[int | None, str]]:
    flags = dict(FLAG.findall(script.read_text()))
    array = re.match(r"0-(\d+)", flags.get("array", ""))
    tasks = range(int(array[1]) + 1) if array else [None]
    return [(task, script.stem if task is None else f"{script.stem}_{task}") for task in tasks]


def _run_one(state: Path, script: str, name: str, environment: dict[str, str]) -> None:
    requeued = state / f"{name}.requeued"
    while True:
        code = subprocess.run(["bash", script], env=environment, check=False).returncode
        if not requeued.exists():
            break
        requeued.unlink()
    (state / f"{name}.state").write_text("COMPLETED" if code == 0 else "FAILED")


def srun(state: Path, *arguments: str) -> int:
    words, paths = list(arguments), {}
    while words[0].startswith("--"):
        option = words.pop(0)
        if option in ("--output", "--error"):
            paths[option] = _filled(words.pop(0))
    seen = {key: os.environ.get(key, "") for key in ("SRUN_CPUS_PER_TASK", "OMP_NUM_THREADS")}
    (state / "threads").write_text(" ".join(seen.values()))
    with open(paths["--output"], "a") as out, open(paths["--error"], "a") as err:
        return subprocess.run(words, stdout=out, stderr=err, check=False).returncode


def _filled(pattern: str) -> str:
    known = {"%t": "SLURM_PROCID", "%j": "SLURM_JOB_ID"}
    known |= {"%A": "SLURM_ARRAY_JOB_ID", "%a": "SLURM_ARRAY_TASK_ID"}
    for letter, variable in known.items():
        pattern = pattern.replace(letter, os.environ.get(variable, ""))
    return pattern


def scontrol(state: Path, action: str, name: str) -> None:
    assert action == "requeue"
    (state / f"{name}.requeued").touch()


def squeue(state: Path, *_: str) -> None:
    for script in state.glob("*.sh"):
        for _task, name in _tasks(script):
            ended = state / f"{name}.state"
            said = ended.read_text() if ended.exists() else "RUNNING"
            sys.stdout.write(f"{name}|{said}|None\n")


def scancel(*_: object) -> None:
    raise NotImplementedError


if __name__ == "__main__":
    state_folder = Path(__file__).parent
    wanted, *rest = sys.argv[1:]
    if wanted in COMMANDS:
        state_folder = Path(os.environ["FAKE_SLURM"])
    elif rest:
        state_folder = Path(rest[0]).parent
    sys.exit(globals()[wanted](state_folder, *rest))
