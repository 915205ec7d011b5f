"""Whatever is typed wrongly ends with one sentence and exit code 2, and starts nothing.

Every case is wrong by the way it is made; none is tried to find out.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

Case = tuple[str, ...]
#: exit code and stderr of a command line, after which nothing may be there
Refused = Callable[..., str]
Cli = Callable[..., tuple[int, str, str]]

#: wherever a run that starts in spite of it would be done soon
QUICK = ("train.epochs=1", "scheduler.warmup_epochs=0", "method=linear", "device=cpu")
#: whole numbers, each at least 1, or 0 where that is no mistake
COUNTS = ("train.epochs", "train.batch_size", "launcher.jobs_per_gpu", "dataset.classes")
WHOLE = (*COUNTS, "seed", "scheduler.warmup_epochs", "train.checkpoint_every", "train.accumulate")
NUMBERS = ("optimizer.lr", "optimizer.weight_decay", "optimizer.eps", "train.clip_grad",
           "train.label_smoothing", "scheduler.warmup_lr", "scheduler.min_lr",
           "model.drop_path")  # fmt: skip
CHOICES = ("device", "precision", "data.cache", "data.normalization", "scheduler.name",
           "optimizer.name", "sweep.on_existing", "sweep.retry", "train.compile",
           "dataset.metric", "launcher.cpu_slots", "launcher.gpus", "dataset.source")  # fmt: skip
SWITCHES = ("sweep.dry_run", "sweep.fail_fast", "data.allow_partial", "model.pretrained",
            "train.drop_last", "protocol.tune")  # fmt: skip
SECTIONS = ("model", "dataset", "data", "method", "head", "optimizer", "scheduler", "protocol",
            "train", "paths", "sweep", "launcher", "model.arguments", "dataset.sizes",
            "dataset.recipe.grid", "hydra", "hydra.job", "hydra.sweep")  # fmt: skip
GROUPS = ("model", "dataset", "data", "method", "head", "optimizer", "scheduler", "protocol",
          "paths")  # fmt: skip
EVERY = (*WHOLE, *NUMBERS, *CHOICES, *SWITCHES)

#: no name of ours has these letters in a row
UNKNOWN = st.text("abcdefgh_", min_size=0, max_size=8).map(lambda text: f"{text}zq")
NOISE = st.text(
    st.characters(exclude_characters="'\"\\", exclude_categories=["Cs"]), min_size=1, max_size=12
)
#: as a quoted string no number, no choice and no truth value
QUOTED = NOISE.map(lambda text: f"'zq{text}'")
NOT_WHOLE = st.sampled_from(["1.5", "nan", "inf", "-inf", "1e400", "[1]", "{a:1}", "[]", "-1",
                             "true", "''", "'1 2'", "0x", "-" + "9" * 30])  # fmt: skip
NOT_A_NUMBER = st.sampled_from(["nan", "inf", "-inf", "-1", "1e999", "[1,2]", "{a:1}", "[]", "''",
                                "1,5e", "-1e-30"])  # fmt: skip
HUGE = st.builds(
    lambda key, digits: f"{key}={'9' * digits}",
    st.sampled_from(["train.epochs", "seed", "dataset.classes"]),
    st.integers(11, 400),
)
BAD_VALUE = st.one_of(
    HUGE,
    st.tuples(st.sampled_from(WHOLE), st.one_of(NOT_WHOLE, QUOTED)),
    st.tuples(st.sampled_from(NUMBERS), st.one_of(NOT_A_NUMBER, QUOTED)),
    st.tuples(st.sampled_from(CHOICES), st.one_of(QUOTED, st.sampled_from(["-1", "{a:1}", "''"]))),
    st.tuples(st.sampled_from(SWITCHES), st.one_of(QUOTED, st.sampled_from(["2.5", "[true]"]))),
).map(lambda pair: "=".join(pair))
UNKNOWN_KEY = st.builds(
    lambda begun, name, value: f"{begun}.{name}{value}",
    # Hydra takes what is added to its own section, and does nothing with it.
    st.sampled_from(
        [
            f"{plus}{section}"
            for plus in ("", "+", "++")
            for section in SECTIONS
            if not plus or not section.startswith("hydra")
        ]
    ),
    st.lists(UNKNOWN, min_size=1, max_size=4).map(".".join),
    st.sampled_from(["=1", "=null", "=[1,{a:2}]", "='x y'"]),
)
NOT_THERE = st.builds(
    lambda section, name: f"~{section}.{name}", st.sampled_from(SECTIONS), UNKNOWN
)
OPENED = st.builds(
    lambda key, opening, rest: f"{key}={opening}{rest}",
    st.sampled_from(EVERY),
    st.sampled_from(["[", "{", "(", "'", '"', "[1,", "{a:", "${", "${a:", "choice(", "range(1,"]),
    st.text("abc123,: ", max_size=6),
)
NO_OVERRIDE = st.one_of(
    st.sampled_from(["", " ", "=", "=1", "+", "++", "~", "~=1", "train", "train.", ".=1", "..a=1"]),
    st.builds("{}{}=1".format, st.sampled_from(EVERY), st.sampled_from("\x01\x7fé☃'[{")),
    st.builds("{}=1{}".format, st.sampled_from(EVERY), st.sampled_from("\x01\x7f]})'")),
)  # fmt: skip
NOWHERE = st.builds(
    lambda key, target: f"{key}={target}",
    st.sampled_from(EVERY),
    st.one_of(
        UNKNOWN.map(lambda name: f"${{{name}}}"),
        UNKNOWN.map(lambda name: f"${{train.{name}.x}}"),
        UNKNOWN.map(lambda name: f"${{{name}:1}}"),
        UNKNOWN.map(lambda name: f"${{oc.env:{name}}}"),
        st.sampled_from(["${}", "${.}", "${project_root:1,2}"]),
    ),
)
CIRCLE = st.lists(st.sampled_from(EVERY), min_size=1, max_size=4, unique=True).map(
    lambda keys: tuple(
        f"{key}=${{{following}}}" for key, following in zip(keys, [*keys[1:], keys[0]], strict=True)
    )
)
OPTION = st.one_of(
    st.builds(lambda group, name: f"{group}={name}", st.sampled_from(GROUPS), UNKNOWN),
    st.builds(lambda group, name: f"+{name}={group}", st.sampled_from(GROUPS), UNKNOWN),
    st.builds(lambda group: f"+{group}=zq", st.sampled_from(GROUPS)),
    st.builds(lambda group: f"~{group}", st.sampled_from([g for g in GROUPS if g != "head"])),
    st.builds(lambda group: f"{group}=null", st.sampled_from(GROUPS)),
    st.builds(lambda group, name: f"{group}@{name}=x", st.sampled_from(GROUPS), UNKNOWN),
    st.sampled_from(["method=../../x", "method=/etc/passwd", "+experiment=../../x"]),
)
TARGET = st.builds(
    lambda section, target: f"+{section}._target_={target}",
    st.sampled_from(SECTIONS[:13]),
    st.sampled_from(["os.system", "builtins.exec", "subprocess.Popen"]),
)
SWEEP = st.builds(
    lambda key, value: ("-m", f"{key}={value}"),
    st.sampled_from(COUNTS),
    st.one_of(
        st.sampled_from(["range(", "choice(", "choice()", "range(1,2,0)", "range(3,1)", "1,,2",
                         "1,", "range(0,5,-1)", "glob(*)", "interval(0,1)", "sort(1,2",
                         "shuffle(1,2)x", "range(a,b)", "choice(1,2", "1,[", "range(1,1e400)",
                         "range(9999999999)"]),
        st.lists(QUOTED, min_size=2, max_size=3).map(",".join),
        NOT_WHOLE.map(lambda value: f"1,{value}"),
    ),
)  # fmt: skip
HYDRA = st.sampled_from([
    ("hydra=null",), ("hydra.job=1",), ("hydra.mode=zq",), ("hydra.searchpath=1",),
    ("hydra.output_subdir=[]",), ("hydra/launcher=zq",), ("hydra/sweeper=zq",),
    ("hydra.run.dir=${zq}",), ("hydra.run.dir='a\0b'",), ("hydra.job.chdir=zq",),
    ("hydra/job_logging=zq",), ("hydra.job_logging=1",), ("hydra.callbacks=1",),
    ("+hydra.zq=1",), ("++hydra.job.zq=1",), ("-m", "+hydra.run.zq=1"),
    ("+hydra.callbacks.a._target_=os.system",), ("+hydra.callbacks.a._target_=zq.zq",),
    ("+hydra.callbacks.a._target_=logging.os.system",),
    ("-m", "hydra.sweeper=null"), ("-m", "hydra.launcher=null"),
    ("-m", "hydra.sweeper._target_=os.system"), ("-m", "hydra.launcher._target_=os.system"),
    ("-m", "hydra.launcher._target_=zq"), ("-m", "hydra.sweeper.params=1"),
    ("-m", "+hydra.sweeper.params.seed='range('"), ("-m", "+hydra.sweeper.params.zq=1,2"),
    ("-m", "hydra.sweeper.max_batch_size=0"), ("-m", "hydra.sweeper.max_batch_size=x"),
    ("-m", "hydra.sweep.dir=${zq}"), ("-m", "hydra.sweep.dir='a\0b'"),
    ("-m", "hydra.sweep.dir=/proc/zq"), ("hydra.run.dir=/proc/zq",),
])  # fmt: skip
FLAGS = st.sampled_from([
    ("--zq",), ("-z",), ("--cfg",), ("--cfg", "zq"), ("--info", "zq"), ("-p",),
    ("--config-name=zq",), ("--config-dir=/zq",), ("--config-path=/zq",), ("--version=1",),
    ("--experimental-rerun", "config.pickle"),
])  # fmt: skip
PATHS = st.builds(
    lambda key, text: f"{key}='{text}\0{text}'",
    st.sampled_from(["paths.runs", "paths.cache", "paths.data", "model.checkpoint"]),
    st.text("ab/.~", max_size=5),
)
#: one wrong word, and one that is wrong only in a sweep's second job
WORD = st.one_of(
    BAD_VALUE, UNKNOWN_KEY, NOT_THERE, OPENED, NO_OVERRIDE, NOWHERE, OPTION, TARGET, PATHS
)
ONE: st.SearchStrategy[Case] = st.one_of(WORD.map(lambda word: (word,)), CIRCLE)
CASES: st.SearchStrategy[Case] = st.one_of(
    ONE,
    ONE,
    ONE.map(lambda words: ("-m", *words, "model.name=a,b")),
    st.tuples(st.just("train.epochs=1"), BAD_VALUE, WORD),
    SWEEP,
    HYDRA,
    FLAGS,
)

YAML = {
    "an unknown key": "train: {zq: 1}",
    "an unknown group": "zq: {a: 1}",
    "not a mapping": "- 1\n- 2",
    "a mapping that is not closed": "train: {epochs: 1",
    "a tab for indentation": "train:\n\tepochs: 1",
    "a key twice": "seed: 1\nseed: 2",
    "a tag of Python": "seed: !!python/object/apply:os.system ['true']",
    "a tag of nobody": "seed: !zq 1",
    "an alias to nowhere": "seed: *zq",
    "a circle of aliases": "train: &a\n  epochs: *a",
    "no utf-8": "seed: \udcff",
    "a control character": "seed: \x01",
    "a NUL in a path": 'paths: {data: "a\\0b"}',
    "a list for a number": "seed: [1]",
    "a mapping for a number": "seed: {a: 1}",
    "a number for a group": "optimizer: 1",
    "nothing for a group": "model: null",
    "a group that is text": "train: text",
    "a default that is not there": "defaults:\n  - zq",
    "a default that is no default": "defaults: 1",
    "an override of what is not there": "defaults:\n  - override /zq: 1",
    "something to instantiate": "optimizer: {_target_: os.system}",
    "a circle of interpolations": "seed: ${train.epochs}\ntrain: {epochs: ${seed}}",
    "an interpolation that is not closed": "seed: '${train.epochs'",
    "no number": "optimizer: {lr: .nan}",
    "a date": "seed: 2020-01-01",
    "a number as key": "train: {1: 2}",
    "a merge key of nothing": "train: {<<: 1}",
}


@pytest.fixture
def short() -> Sequence[str]:
    return QUICK


@pytest.fixture
def refused(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Call the entry point; return its sentence after checking that it is one and nothing began."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> str:
        code, out, err = cli(*words)
        check(code, out, err, tmp_path)
        return err

    return call


def check(code: int, out: str, err: str, folder: Path) -> None:
    """Check that a command ended with one sentence, and left nothing in ``folder``."""
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.endswith("\n")
    # What a terminal takes for the end of a line, in a value that was typed, is one too.
    assert len(err.splitlines()) == 1, err
    assert "Traceback" not in err
    assert {path.name for path in folder.iterdir()} <= {"conf"}


@pytest.mark.parametrize("count", [5, pytest.param(200, marks=pytest.mark.long)])
def test_random_mistakes(refused: Refused, count: int) -> None:
    seen: set[Case] = set()

    @settings(max_examples=count + 3 + count // 20, derandomize=True, deadline=None, database=None)
    @given(CASES)
    def try_one(case: Case) -> None:
        refused(*case)
        seen.add(case)

    try_one()
    assert len(seen) >= count


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m", "seed=range(1,2,0)"], "has more than 100,000 values, or no end at all"),
        (["-m", "seed=range(9999999999)"], "has more than 100,000 values"),
        (["-m", "seed=range(3,1)"], "gives no job"),
        (["-m", "seed=glob(*)"], "'seed=glob(*)' matches no option of seed: see "),
        (["-m", "dataset=glob(mini/c*)"], "of dataset: name them, as in dataset=mini/cells."),
        (["seed=${oc.env:ZQ}"], "seed needs the environment variable ZQ, which is not set: export"),
        (["seed=${seed}"], "seed points to itself"),
        (["seed=${zq:1}"], "no function 'zq' is known for ${...}"),
        (["-m", "hydra.sweeper=null"], "hydra.sweeper is a group of settings"),
        (["-m", "hydra.launcher._target_=os.system"], "not the hydra_plugins package"),
        (["-m", "hydra.sweeper.params=1"], "is no mapping"),
        (["-m", "hydra.sweeper._target_=a.B"], "other than hydra_peft neither plans jobs nor"),
        (["="], "a value needs a key: settings are typed as key=value."),
        (["hydra/launcher=[packed]"], "is a list where one is needed: type hydra/launcher=packed."),
        (["logger=none"], "'logger=none': for a run without a tracker, type logger=[]."),
        (["logger=[none]"], "'logger=[none]': for a run without a tracker, type logger=[]."),
        (["method_recipe=x"], "method_recipe follows from method and protocol, and is nothing to"),
        (["-m", "benchmark_protocol=glue_paper"], "benchmark_protocol follows from data set and"),
        (["logger={}"], "'logger={}': for a run without a tracker, type logger=[]."),
        (["logger=null"], "for a run without a tracker, type logger=[]."),
        (
            ["dataset=folder", "dataset.root=/", "dataset.split=0.8"],
            "dataset.split=0.8 is not allowed: it must be the shares of train, val and test",
        ),
        (["+logger=wandb"], "every run has options of logger; choose it as logger=wandb."),
        (["hydra.verbose=null"], "Hydra cannot work with hydra.verbose=null: leave it out."),
        (["method=[lora]"], "'method=[lora]' is a list where one is needed: type method=lora."),
        (["-m", "hydra.sweeper.max_batch_size=0"], "null or at least 1"),
        (["-m", "hydra.sweep.dir=/proc/zq"], "below paths.runs and is named by what it is"),
        (["--experimental-rerun=a.pickle"], "unpickles a file"),
        (["--package", "a"], "--package a says what --cfg shows: add --cfg job."),
        (["+recipe@dataset.recipe=neutral"], "would change the task's recommendation"),
        (["--config-dir=/tmp", "--config-dir=/"], "is given twice, and one would count"),
        (["--config-dir=/dev/null"], "--config-dir=/dev/null is no folder: give the one"),
        (
            ["dataset=folder", "dataset.root=/", "--cfg=job", "--resolve"],
            "dataset.splits.train is of data of your own, whose splits are known when",
        ),
        (["--zq"], "there is no flag --zq: settings are typed without dashes as key=value; see"),
        (["--multi-run"], "there is no flag --multi-run (did you mean --multirun?): see python"),
        (["\u2014multirun"], "there is no flag \u2014multirun: type --multirun."),
        (["r=4"], "unknown key 'r' (did you mean 'method.rank'?)"),
        (["-s", "3"], "there is no flag -s: see"),
        (["-sc", "query=bash"], "-sc query=... is what a shell asks by itself: install the"),
        (["--cfg job"], "'--cfg job' is several words in one pair of quotes, --cfg among them"),
        (
            ["paths.runs=/x seed=3"],
            "'paths.runs=/x seed=3' is several words in one pair of quotes, seed=... among them: ",
        ),
        (
            ["--experiment", "mini"],
            "settings are typed without dashes, as +experiment=mini;",
        ),
        (["--seed", "1"], "there is no flag --seed: settings are typed without dashes, as seed=1;"),
        (
            ["--seed 3"],
            "there is no flag --seed: settings are typed without dashes, as seed=3; see",
        ),
        (["--", "seed=1"], "there is no flag --: settings are typed as key=value, without dashes."),
        (["--multi", "seed=0,1"], "there is no flag --multi (did you mean --multirun?)"),
        (["-zq"], "unrecognized arguments: -zq"),
        (["-multirun", "seed=0,1"], "no flag -multirun: type --multirun."),
        (["-hlep"], "unrecognized arguments: -hlep: see python scripts/train.py --help."),
        (["-cfg=job"], "there is no flag -cfg: type --cfg=job."),
        (["model.arguments=3"], "a group of settings, as model.arguments={name: value}."),
        (["lr=0.1"], "unknown key 'lr': it stands after the name of its group, as optimizer.lr."),
        (["+lr=0.1"], "unknown key 'lr': it stands after the name of its group, as optimizer.lr."),
        (
            ["-m", "lr=0.1,0.2"],
            "error: unknown key 'lr': it stands after the name of its group, as",
        ),
        (["--lr", "0.1"], "settings are typed without dashes, as optimizer.lr=0.1; see"),
        (["--batch-size=8"], "settings are typed without dashes, as train.batch_size=8; see"),
        (["-lr=0.1"], "there is no flag -lr: settings are typed without dashes, as optimizer.lr="),
        (["epochs=1"], "as train.epochs."),
        (["rank=4"], "as method.rank."),
        (["train.precision=16"], "'train.precision': it stands without a group, as precision."),
        (["SEED=1"], "unknown key 'SEED' (did you mean 'seed'?)"),
        (["method=LoRA"], "unknown method 'LoRA' (did you mean 'lora'?)"),
        (["-m", "seed=0,1,"], "'seed=0,1,': a comma is too many: type seed=0,1."),
        (["-m", "seed=0,,1"], "a comma is too many: type seed=0,1."),
        (["-m", "seed=0,", "1"], "a shell parts words at blanks: without them it is seed=0,1."),
        (["method=,lora"], "a comma is too many: type method=lora."),
        (
            ["method.targets=[attn.proj,]"],
            "too many: type 'method.targets=[attn.proj]'.",
        ),
        (
            ["paths.runs=/a,b,"],
            "=/a,b, or if it is of the path, 'paths.runs=\"/a,b,",
        ),
        (["seed==1"], "an = is too many: type seed=1."),
        (["optimizer.lr=10^-3"], "a power of ten is written as optimizer.lr=1e-3."),
        (["optimizer.lr=5*10^-3"], "a power of ten is written as optimizer.lr=5e-3."),
        (["method=lora\r"], "'method=lora' is followed by a carriage return, which ends lines on"),
        (["paths.cache='a\0b'"], "paths.cache='a\\x00b' is not allowed"),
        (["train.epochs=" + "9" * 30], "at most 1,000,000"),
        (["dataset.classes=" + "9" * 12], "at most 1,000,000"),
        (["device='a\nerror: b\x1b'"], "device=a error: b\\x1b is not allowed"),
    ],
)
def test_mistakes_that_once_ended_otherwise(
    refused: Refused, arguments: list[str], message: str
) -> None:
    assert message in refused(*arguments)


@pytest.mark.parametrize("what", YAML)
def test_malformed_configs(refused: Refused, tmp_path: Path, what: str) -> None:
    sentence = refused(*with_config(tmp_path, YAML[what]))
    assert "could not find" not in sentence.lower()


def test_what_is_refused_is_in_the_file(refused: Refused, tmp_path: Path) -> None:
    # The control: the file is found and read, so the others are refused for what they hold.
    assert "seed=-41 is not allowed" in refused(*with_config(tmp_path, "seed: -41"))


def with_config(folder: Path, text: str) -> tuple[str, str]:
    """Write a config of one's own; return the words that add it."""
    file = folder / "conf/extra/added.yaml"
    file.parent.mkdir(parents=True)
    content = f"# @package _global_\n{text}\n"
    file.write_bytes(content.encode(errors="surrogateescape"))
    return f"--config-dir={folder}/conf", "+extra=added"


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "seed=range(1,2,0)"],
        ["-m", "hydra.launcher._target_=os.system"],
    ],
)
def test_mistakes_in_a_process_of_their_own(
    root: Path, tmp_path: Path, arguments: list[str]
) -> None:
    paths = [f"paths.runs={tmp_path}/runs", f"paths.cache={tmp_path}/cache"]
    done = subprocess.run(
        [sys.executable, str(root / "scripts/train.py"), *QUICK, *paths, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    check(done.returncode, done.stdout, done.stderr, tmp_path)
