"""Words that Hydra cannot take, each told as what to type instead."""

from __future__ import annotations

import shlex

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra_peft.cli.hydra_errors import COMPOSITION_ERRORS, one_sentence
from hydra_peft.cli.overrides import CONF, check_choices
from hydra_peft.cli.quoted_words import as_typed
from hydra_peft.cli.train import _defaults, register
from hydra_peft.errors import UserError


def told(*words: str) -> str:
    """Return what is said of a single run with these words."""
    register()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            typed = [word for word in words if word != "-m"]
            loader.load_configuration("train", typed, RunMode.RUN)
    except COMPOSITION_ERRORS as error:
        return one_sentence(error, _defaults, words)
    finally:
        GlobalHydra.instance().clear()
    raise AssertionError(f"{words} were taken")


@pytest.mark.parametrize(
    "value",
    ["/x/läufe", "a/epoch=9.pth", "/x/a#b", "/x/[a]", "/x/{a}", "/x(1)/y", "/x/it's", '/x/"q"',
     "a;b", 'C:\\a "b"\\', "/x/数据", "a!b", "&"],
)  # fmt: skip
def test_special_characters_are_shown_as_a_shell_takes_them(value: str) -> None:
    word = f"paths.runs={value}"
    sentence = told(word)
    assert sentence.startswith(f"cannot understand the override '{word}': ")
    shown = sentence.partition(", as in ")[2].removesuffix(".")
    (typed,) = shlex.split(shown)
    assert OverridesParser.create().parse_override(typed).value() == value


@settings(max_examples=25, derandomize=True, deadline=None, database=None)
@given(st.text(max_size=12))
def test_any_text_is_shown_so_that_it_is_read_as_it_is_or_not_at_all(value: str) -> None:
    shown = as_typed("paths.runs", value)
    if shown is None:
        assert "${" in value or not value.isprintable()
    else:
        (typed,) = shlex.split(shown)
        read = OverridesParser.create().parse_override(typed).value()
        assert read == value or (value[:1] + value[-1:] == "[]" and isinstance(read, list))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["method.rank"], "the override 'method.rank': it lacks its value, type method.rank=8."),
        (["paths.runs=/r9", "sweep.dry_run"], "lacks its value, type sweep.dry_run=true."),
        (["paths.runs=/my", "data"],
         "'paths.runs=\"/my data\"', or if data is the key, it lacks its value: data=<name>."),
        (["experiment"], "it lacks its value, type +experiment=<name>."),
        (["method.rank", "4"], "words at blanks: without them it is method.rank=4."),
        (["seed", ":", "3"], "without them it is seed=3."),
        (["seed:", "0,", "1"], "without them it is -m seed=0,1."),
        (["-m", "seed=", "0", "1"], "without them it is seed=0,1."),
        (["-m", "seed=0", "1", "2", "method=lora"], "without them it is seed=0,1,2."),
        (["-m", "method=lora", "hydra"], "without them it is method=lora,hydra."),
        (["-m", "dataset=mini/digits", "mini/cells"], "is dataset=mini/digits,mini/cells."),
        (["method=lora", "nothing"], "'nothing': expected key=value."),
        (["optimizer:lr=1e-3"], "(did you mean optimizer.lr=1e-3?)."),
        (["method/rank:4"], "(did you mean method.rank=4?)."),
        (["model.checkpoint", "=", "a/epoch=9.pth"], "is model.checkpoint=a/epoch=9.pth."),
        (["paths.runs = /x/läufe"], "(did you mean 'paths.runs=\"/x/läufe\"'?)."),
        (["dataset.root=/my", "pics/x"], "so all of it needs quotes: 'dataset.root=/my pics/x'."),
        (["logger=csv", "wandb"], "without them it is 'logger=[csv,wandb]'."),
        (["+experiment=demo", "mini"], "'mini': expected key=value."),
        (["method.name:lora"], "'method.name:lora': expected key=value."),
        (["seed+=3"], "(did you mean seed=3?)."),
        (["++ seed=3"], "(did you mean seed=3?)."),
        (["seed == 3"], "(did you mean seed=3?)."),
        (["seed:x"], "'seed:x': expected key=value, and seed must be a whole number."),
        (["device", ":", "gpu"], "expected key=value, and device must be one of auto, cpu, cuda."),
        (["method", "lora", "rank", "4"], "without them it is method=lora."),
        (["paths.runs=/x", "sed:3"], "'sed:3': expected key=value (did you mean seed=3?)."),
        (["train:{epochs: 3}"], "settings of train are typed as train.epochs=3."),
        (["model.checkpoint:", "s3://x/y"], "'model.checkpoint:': expected key=value."),
        (["\u201cseed=3\u201d"], "only looks like '\"' (for that one type seed=3)."),
        (["~ method"], "'~ method': what is taken away is typed as ~key, without blanks"),
        (["optimizer={lr=1e-3}"], "settings of optimizer are typed as optimizer.lr=0.001."),
        (["data=cache=all"], "settings of data are typed as data.cache=all."),
        (["zq"], "cannot understand the override 'zq': expected key=value."),
        (["method.rnak"], "'method.rnak': expected key=value (did you mean method.rank=8?)."),
        (["method.rank:4"], "expected key=value (did you mean method.rank=4?)."),
        (["method.rnak: 4"], "(did you mean method.rank=4?)."),
        (["seed:", "3"], "'seed:': a shell parts words at blanks: without them it is seed=3."),
        (["seed:=3"], "'seed:=3': expected key=value (did you mean seed=3?)."),
        (["lr:1e-4"], "(did you mean optimizer.lr=1e-4?)."),
        (["datset:mini/digits"], "(did you mean dataset=mini/digits?)."),
        (["paths.runs:/my x"], "(did you mean 'paths.runs=/my x'?)."),
        (["experiment:mini"], "(did you mean +experiment=mini?)."),
        (["model.arguments.depth:2"], "(did you mean model.arguments.depth=2?)."),
        (["seed = 3"], "'seed = 3': expected key=value (did you mean seed=3?)."),
        (["seed:", "=3"], "'seed:': a shell parts words at blanks: without them it is seed=3."),
        (["dataset=", "mini/digits"], "without them it is dataset=mini/digits."),
        (["seed", "=", "3", "method=lora"], "at blanks: without them it is seed=3."),
        (["paths.runs=", "/x"], "'/x': a shell parts words at blanks: without them it is paths.r"),
        (["seed=0", ",1,", "2"], "without them it is -m seed=0,1,2."),
        (["model.arguments={num_heads=2}"], "typed as 'model.arguments={num_heads:2}'."),
        (["model.arguments=(a=2,b=[1]"], "typed as 'model.arguments={a:2,b:[1]}'."),
        (["model.arguments={img_size:32"], "typed as 'model.arguments={img_size:32}'."),
        (["train=epochs=3"], "settings of train are typed as train.epochs=3."),
        (["model.arguments={a}"], "must be a group of settings, as in model.arguments='{a: 1}'."),
        (["läufe=1"], "expected key=value, and 'läufe' can be no key."),
        (["paths.runs=[1"], "a bracket or quote is not closed, and a text with special"),
        (["method.targets=[a"], "a bracket or quote is not closed, and method.targets must be"),
        (["seed=[1"], "'[' is too many: type seed=1."),
        (["optimizer.lr=1e-3;"], "';' is too many: type optimizer.lr=1e-3."),
        (["method=(lora,hydra)"], "have no brackets: type -m method=lora,hydra."),
        (["method={lora,hydra}"], "have no brackets: type -m method=lora,hydra."),
        (["logger={csv,wandb}"], "a list has square brackets: type 'logger=[csv,wandb]'."),
        (["launcher.gpus=(0,1)"], "a list has square brackets: type 'launcher.gpus=[0,1]'."),
        (["optimizer.lr=(1e-3)"], "a value has no brackets: type optimizer.lr=1e-3."),
        (["optimizer.betas=(0.9,0.999)"],
         "a list has square brackets: type 'optimizer.betas=[0.9,0.999]'."),
        (["optimizer.lr=logspace(1,2)"], "sort,str,tag), and optimizer.lr must be a number."),
        (["method.targets=extend_list(a)"], "str,tag), and method.targets must be a list."),
        (["model.url=foo(3)"], "str,tag), and such values are written out."),
        (["device=a;b"], "'device=a;b': device must be one of auto, cpu, cuda."),
        (["seed=foo(3)"], "there is no function 'foo' (only bool,choice,"),
        (["optimizer.lr=interval(1e-3)"],
         "interval(1e-3) has no values (missing a required argument: 'end'), and optimizer.lr "
         "must be a number."),
        (["optimizer.lr=1e\u22123"],
         "'\u2212' only looks like '-' (for that one type optimizer.lr=1e-3)."),
        (["\u2013m"], "'\u2013m': '\u2013' only looks like '-'."),
        (["seed=\xa03"], "'\\xa0' only looks like ' ' (for that one type seed=3)."),
        (["method.targets=[attn.pröj, fc2]"],
         "as in 'method.targets=[\"attn.pröj\",fc2]'."),
        (["protocol.grid.optimizer.lr=[1e-4,ö]"],
         "the override 'protocol.grid.optimizer.lr=[1e-4,ö]': a text with special characters needs "
         "quotes, as in 'protocol.grid.optimizer.lr=[1e-4,\"ö\"]'."),
        (["protocol.grid.optimizer.lr=range(1,3)"],
         "where one list is needed: write them out, as in protocol.grid.optimizer.lr=[a,b]."),
        (["+hydra.sweeper.params={seed: 0,1}"],
         "in a mapping a text with special characters needs quotes of its own, as in "
         "'+hydra.sweeper.params={a: \"0,1\"}'."),
        (["paths.runs=a\nb"], "a text with special characters needs quotes."),
        (["paths.runs=${a"], "a text with special characters needs quotes."),
        (["method.targets=[attn.proj,", "mlp.fc2]", "seed=1"],
         "all of it needs quotes: 'method.targets=[attn.proj, mlp.fc2]'."),
        (["paths.runs=/my", "dir", "seed=1"], "needs quotes: 'paths.runs=/my dir'."),
        (["seed=0,1"], "'seed=0,1' gives several values, one for each run of a sweep: add -m, as "
                       "in -m seed=0,1."),
        (['model.checkpoint="/a/epoch=1","step=9.pth"'],
         "one path with a comma, quote it, as in 'model.checkpoint=\"/a/epoch=1,step=9.pth\"'"),
        (["launcher.gpus=0,1"], "where one list is needed: type 'launcher.gpus=[0,1]'."),
        (["protocol.grid.method.rank=1,2"], "type 'protocol.grid.method.rank=[1,2]'."),
        (["sweep.dry_run=true,false"], "where one is needed: give one of them."),
        (["method=glob(*lora)"], "add -m, as in -m 'method=glob(*lora)'."),
        (["method=glob(zq*)"], "'method=glob(zq*)' matches no option of method: see python "),
        (["dataset=mini/glob(c*)"], "of a folder are named, as in -m dataset=mini/cells."),
        (["dataset=zq/glob(c*)"], "of a folder are named, as in dataset='glob(zq/c*)'."),
        (["method=lora,hydra"], "add -m, as in -m method=lora,hydra."),
        (["seed=range(0,3)"], "add -m, as in -m 'seed=range(0,3)'."),
        (["paths.runs=/a,b"],
         "if it is one path with a comma, quote it, as in 'paths.runs=\"/a,b\"'."),
        (["method.targets=attn.proj,mlp.fc2"],
         "where one list is needed: type 'method.targets=[attn.proj,mlp.fc2]'."),
        (["hydra.sweeper.params={seed:1}"], "values to sweep over are given as -m seed=0,1"),
        (["hydra.sweeper.prams.seed=1"], "there is no key 'hydra.sweeper.prams.seed': see "),
        (["hydra/launcher=locl"], "unknown hydra/launcher 'locl' (did you mean 'local'?): choose"),
        (["optimizer.lr=interval(0,1)"],
         "needs: give them as in -m optimizer.lr=0,1,2, range(0,3) or choice(0,1), or let "
         "protocol.tune=true protocol.search=optuna draw them from between "
         "protocol.grid.optimizer.lr=[a,b]."),
        (["seed=interval(0,1)"], "give them as in -m seed=0,1,2, range(0,3) or choice(0,1)."),
        (["protocol.grid.lr=interval(0,1)"],
         "'protocol.grid.lr=interval(0,1)' names no values: a grid has a list, "
         "protocol.grid.lr=[a,b], from between the ends of which"),
        (["seed=range(3,1)"], "'seed=range(3,1)' gives no job: its range is empty."),
        (["seed=range(1,2,0)"], "has more than 100,000 values, or no end at all."),
        (["seeds=0,1"], "unknown key 'seeds' (did you mean 'seed'?)"),
        (["method-rank=4"], "unknown key 'method-rank' (did you mean 'method.rank'?)"),
        (["training.epochs=3"], "unknown key 'training.epochs' (did you mean 'train.epochs'?)"),
        (["lr=0.1,0.2"], "unknown key 'lr': it stands after the name of its group, as optim"),
        (["~lr"], "it stands after the name of its group, as optimizer.lr."),
        (["name=x"], "unknown key 'name'; known here: head, "),
        (["lora_rank=4"], "unknown key 'lora_rank' (did you mean 'method.rank'?)"),
        (["method.lora_alpha=8"], "(did you mean 'method.scale', alpha / rank?); known here: "),
        (["optimizer.learning_rate=1"], "learning_rate' (did you mean 'optimizer.lr'?); known"),
        (["fp16=true"], "unknown key 'fp16' (did you mean 'precision'?)"),
        (["tasks=dtd"], "unknown key 'tasks' (did you mean 'dataset'?)"),
        (["config_dir=x"], "unknown key 'config_dir' (did you mean '--config-dir'?)"),
        (["lora.seed=1"], "unknown key 'lora.seed': it stands without a group, as seed."),
        (["train.paths.runs=/x"], "unknown key 'train.paths.runs' (did you mean 'paths.runs'?)"),
        (["model.depth=3"], "(did you mean 'model.arguments.depth'?)"),
        (["dataset=mini/digits", "dataset.root=/x"],
         "of your own, which is read with dataset=folder dataset.root=... (or dataset=csv); known"),
        (["dataset=mnist"], "unknown dataset 'mnist' (did you mean 'elevater/mnist'?): choose"),
        (["dataset=mini_glue"], "(did you mean 'mini_glue/"),
        (["dataset=vtab1k/dtd"], "(did you mean 'dtd'?): choose"),
        (["++experiment=mini"], "is not chosen with two plus: type +experiment=mini."),
        (["method.parts=[q,v]"], "'method.parts': it is of method=ia3, kadaptation, lora; known"),
        (["method=full", "method.dropout=0.1"], "'method.dropout': it is of method=adapter, ad"),
        (["head.dropout=0.1"], "unknown key 'head.dropout': it is of head=roberta; known here: "),
        (["method.lr=1"], "unknown key 'method.lr' (did you mean 'optimizer.lr'?); known"),
        (["optimizer.scale=1"], "(did you mean 'method.scale' or 'head.scale'?)"),
        (["method.a=b"], "unknown key 'method.a'; known here: name, "),
        (["~"], "~ alone takes nothing away"),
        (["~init_from"], "'~init_from' takes nothing away: it is null already, so leave it out."),
        (["~train.clip_grad"], "takes nothing away: it is null already"),
        (["~protocol.grid.scale=[7]"], "The value of 'protocol.grid.method.scale' is"),
        (["lora.rank=4"], "unknown key 'lora.rank' (did you mean 'method.rank'?)"),
        (["+seed=3"], "seed has a value, which is changed without a plus: type seed=3."),
        (["+method.targets=fc2"], "without a plus: type 'method.targets=[fc2]'."),
        (["+seed=3", "seed=4"], "seed is given twice, as '+seed=3' and as 'seed=4': leave one of"),
        (["protocol.grid=lr:[1e-3", "protocol.grid=5e-3]"], "apart, type 'protocol.grid={lr:[1e"),
        (["protocol.grid.lr=[1e-3,5e-3"], "is not closed, type 'protocol.grid.lr=[1e-3,5e-3]'."),
        (["+hydra/job_logging=none"], "hydra/job_logging is chosen more than once"),
        (["hydra/job_logging=zq"], "there is no config 'hydra/job_logging/zq': see"),
        (["hydra/sweeper=optuna"], "a hydra/sweeper other than hydra_peft neither plans jobs nor"),
        (["hydra.sweep.dir=null"], "hydra.sweep.dir=null is not allowed: it must be a text, or be"),
        (["hydra.job.name=[a]"], "hydra.job.name=['a'] is not allowed: it must be a text, or be "),
        (["hydra.job.num=x"], "hydra.job.num=x is not allowed: it must be a whole number, or be"),
        (["hydra.mode=zq"], "hydra.mode=zq is not allowed: it must be one of RUN, MULTIRUN, or be"),
        (["hydra.searchpath=null"], "=null is not allowed: it must be a list, or be left out."),
        (["hydra.launcher.partition=gpu"], "is of SLURM: add -m hydra/launcher=slurm, or leave"),
        (["hydra.launcher.additional_parameters.account=me"], "a plus, as +hydra.launcher.addit"),
        (["hydra.launcher.partion=gpu"], "(did you mean 'partition'?): launchers of this machine"),
        (["hydra.job.chdri=1"], "Hydra has no key 'hydra.job.chdri' (did you mean 'chdir'?)"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_as_what_to_do(words: list[str], message: str) -> None:
    assert message in told(*words)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("method=[lora,hydra]", "for one run with each, type -m method=lora,hydra."),
        ("optimizer=[adamw,adamw]", "names several options where one is needed"),
        ("method=linear,[lora,hydra]", "type -m method=linear,lora,hydra."),
        ("logger=csv,wandb", "for runs with each of them, type logger=[csv,wandb]."),
        ("logger=[csv],[wandb,csv]", "type logger=[csv,wandb]."),
        ("hydra/launcher=[basic,local]", "where one is needed: choose one."),
        ("+method=[lora,hydra]", "for one run with each, type -m method=lora,hydra."),
        ("+experiment=[demo,mini]", "each is a sweep of its own"),
        ("+experiment=demo,mini", "each is a sweep of its own"),
        ("+experiment=demo +experiment=mini", "its own: give each a command."),
        ("+experiment=mini experiment=mini", "'+experiment=mini experiment=mini' names several"),
    ],
)
def test_a_group_has_one_option(word: str, message: str) -> None:
    with pytest.raises(UserError, match="names several") as caught:
        check_choices(["seed=1", *word.split()])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("word", "form"),
    [
        ("~method", "method=<name>"),
        ("~dataset=mini/digits", "dataset=<name>"),
        ("+method=lora", "method=lora"),
        ("++head=linear", "head=linear"),
    ],
)
def test_what_every_run_has_is_neither_taken_away_nor_added(word: str, form: str) -> None:
    group = form.split("=")[0]
    with pytest.raises(UserError) as caught:
        check_choices([word])
    said = f"'{word}': every run has one option of {group}; choose it as {form}."
    assert str(caught.value) == said


@pytest.mark.parametrize(
    "word",
    [
        "method.targets=[range(0,3)]",
        "+model.arguments={a: {b: choice(1,2)}}",
        "protocol.grid.optimizer.lr=[interval(1e-4,1e-3)]",
    ],
)
def test_values_of_a_sweep_within_a_list_are_refused(word: str) -> None:
    with pytest.raises(UserError) as caught:
        check_choices([word])
    assert str(caught.value).startswith(f"'{word}': range(), choice() and the like give each run")


def test_a_key_that_no_file_can_be_called_by_is_unknown() -> None:
    with pytest.raises(UserError, match=r"unknown key 'x{40}\.\.\.'"):
        check_choices(["x" * 300 + "=1"])


def test_sweeps_over_options_and_lists_of_values_stay() -> None:
    check_choices(["method=lora,hydra", "method=glob(*lora)", "method.targets=[a,b]", "seed=[",
                   "x", "+experiment=demo", "~experiment",
                   "protocol.grid.optimizer.lr=[1,2]"])  # fmt: skip
