"""``scripts/figures.py``: run folders to the paper's figures and more."""

from __future__ import annotations

import dataclasses
import glob
import os
import sys
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra_peft.checkout import CACHE, RESULTS, RUNS
from hydra_peft.cli.arguments import parse_arguments
from hydra_peft.cli.guard import guarded
from hydra_peft.cli.output_files import check_name, check_spares_data
from hydra_peft.cli.tables import config_dirs
from hydra_peft.disk_errors import check_writable
from hydra_peft.errors import UserError, check_one_of
from hydra_peft.figures import CollectionFigure, Figure, FigureData, RunFigure, why_not
from hydra_peft.listed import listed
from hydra_peft.plain_text import in_short
from hydra_peft.runs.folder import check_run_folder
from hydra_peft.runs.record import Record, read_record
from hydra_peft.runs.recorded import look_at_run

if typing.TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

    from hydra_peft.runs.collection import Collection
    from hydra_peft.tables.overrides import Defaults

ALL = "all"

USAGE = """\
Draw a figure from run folders; write it as PDF and PNG, its caption and its numbers beside it.

python scripts/figures.py figure=<name> [run=<folder>[,<folder>]] [runs=<folder>]
                          [out=<folder>] [name=<file name>] [config_dir=<folder>]
                          [plugins=<module>] [<option>=<value> ...]

  figure  one of those below; all: every one that these runs give (the others are named, with the
          reason), with the options as they are by default, cache= (where generated images are
          kept) aside
  run     a run folder, as train.py printed it; figures of one run need it
          (for figure=all: a hydra run below runs)
  runs    where to look for run folders (default: results/runs)
  out     where the files go (default: results/figures)
  name    their name without ending (default: such as figure3)
  config_dir  a folder of your own yaml files that has benchmark/*.yaml, as tables.py takes it
  plugins  modules of your own that runs were trained with (docs/plugins.md)

"""


@dataclass(frozen=True)
class Arguments:
    """Arguments common to all figures; empty means not given."""

    figure: str = ""
    run: str = ""
    runs: str = str(RUNS)
    out: str = str(RESULTS / "figures")
    name: str = ""
    config_dir: str = ""
    plugins: str = ""


def main() -> int:
    """Draw, and say where the files are."""
    return guarded(_main, "out")


def _main() -> int:
    words = sys.argv[1:]
    asked = [word.partition("=")[2] for word in words if word.startswith("figure=")]
    if not asked and words and words[0] in _names():
        raise UserError(f"cannot understand '{words[0]}': type figure={words[0]}.")
    figure = _find(asked[-1]) if asked and asked[-1] != ALL else None
    arguments, settings = _parse(words, figure)
    out = Path(arguments.out).expanduser()
    check_writable(out, "out")
    check_name(arguments.name, out)
    if arguments.figure == ALL:
        if arguments.name:
            raise UserError("name= goes with one figure, not with figure=all.")
        _draw_all(arguments, out)
        return 0
    if figure is None:
        raise UserError("figure is missing: give figure=..., see --help.")
    source = _source(figure, arguments, settings)
    _check_spares_data([out / (arguments.name or figure.file)], arguments, source)
    data = _data(figure, source, settings)
    _publish(figure, figure.draw(data), data, out / (arguments.name or figure.file))
    return 0


def _check_spares_data(paths: Iterable[Path], arguments: Arguments, source: Any) -> None:
    """Check that no file of a figure at ``paths`` takes the place of data of the runs."""
    files = [
        file
        for path in paths
        for form in (".pdf", ".png", ".txt", ".csv", "-*.csv")
        for file in path.parent.glob(glob.escape(path.name) + form)
    ]
    runs = source if isinstance(source, list) else [Path(arguments.runs).expanduser()]
    check_spares_data(files, *runs)


def usage() -> str:
    """Return the text of ``--help``, with every figure and its options."""
    from hydra_peft.figures import all_figures

    figures = all_figures()
    width = max((len(figure.name) for figure in figures), default=0)
    lines = []
    for figure in figures:
        source = "of a run" if isinstance(figure, RunFigure) else "of all runs"
        lines.append(f"  {figure.name:<{width}}  {figure.title} ({source})")
        lines += [f"  {'':<{width}}    {option}" for option in figure.options]
    return USAGE + "\n".join(lines)


def _find(name: str) -> Figure:
    from hydra_peft.figures import find_figure

    if not name:
        raise UserError(f"figure= is empty: choose one of {', '.join(_names())}, see --help.")
    check_one_of("figure", name, _names())
    return find_figure(name)


def _names() -> list[str]:
    from hydra_peft.figures import all_figures

    return [*(figure.name for figure in all_figures()), ALL]


@dataclass(frozen=True)
class OfAll(Arguments):
    """Arguments of figure=all; its figures' own options are as they are by default."""

    cache: str = str(CACHE)


def _parse(words: list[str], figure: Figure | None) -> tuple[Arguments, Any]:
    """Parse the command line into the arguments of all figures and the settings of ``figure``."""
    if figure is None:
        cls: type[Arguments] = OfAll if f"figure={ALL}" in words else Arguments
        return parse_arguments(cls, words, usage()), None
    common, own = typing.get_type_hints(Arguments), typing.get_type_hints(figure.settings)
    defaults = {
        field.name: field.default
        for cls in (Arguments, figure.settings)
        for field in dataclasses.fields(cls)
    }
    both = common | own
    # One class, so that a misspelt key is told from all that the figure takes.
    fields = [(k, kind, dataclasses.field(default=defaults[k])) for k, kind in both.items()]
    both_cls: type[Any] = dataclasses.make_dataclass("Both", fields)
    values = vars(parse_arguments(both_cls, words, usage()))
    return (
        Arguments(**{key: values[key] for key in common}),
        figure.settings(**{key: values[key] for key in own}),
    )


def _source(figure: Figure, arguments: Arguments, settings: Any) -> Any:
    """Return the run folders, or the collection, that ``figure`` is drawn from.

    Raises:
        UserError: it is not given, or is not there.
    """
    if isinstance(figure, CollectionFigure):
        if arguments.run:
            raise UserError(
                f"figure={figure.name} is drawn from all runs below a folder: give runs=<folder> "
                "in the place of run=."
            )
        return _collected(arguments, settings)
    if any(word.startswith("runs=") for word in sys.argv[1:]) and arguments.figure != ALL:
        print(f"note: figure={figure.name} is drawn from run=; runs= changes nothing.", flush=True)
    whole = Path(arguments.run).expanduser()  # a folder's name may have commas
    if not arguments.run:
        raise UserError(
            f"run is missing: figure={figure.name} is drawn from a run's folder, give run=<folder>."
        )
    parts = [arguments.run] if os.path.isdir(whole) else listed("run", arguments.run)
    folders = [Path(part).expanduser() for part in parts]
    if isinstance(figure, RunFigure) and not figure.several and len(folders) > 1:
        raise UserError(f"figure={figure.name} takes one run, not {len(folders)}.")
    for folder in folders:
        check_run_folder(folder)
        if hasattr(settings, "checkpoint"):  # the others need no weights
            look_at_run(folder, checkpoint=settings.checkpoint or None)
        if isinstance(figure, RunFigure) and figure.check:
            figure.check(folder, settings)
    return folders


def _collected(arguments: Arguments, settings: Any) -> Collection:
    """Return all runs, with what ``conf`` gives by default; say what is wrong with those that
    ``settings`` name."""
    from hydra_peft.runs.collection import collect
    from hydra_peft.runs.selection import NAMES, chosen_by

    collection = collect(Path(arguments.runs).expanduser())
    wanted = chosen_by({key: getattr(settings, key, "") for key in NAMES}, collection)
    for warning in collection.only(wanted).warnings:
        print(in_short(f"note: {warning}"))
    return dataclasses.replace(
        collection,
        defaults=_defaults(collection.records),
        benchmarks=config_dirs(arguments.config_dir),
    )


def _data(figure: Figure, source: Any, settings: Any) -> FigureData:
    if isinstance(figure, RunFigure):
        return figure.data(source, settings, _defaults(read_record(folder) for folder in source))
    assert isinstance(figure, CollectionFigure)
    return figure.data(source, settings)


def _defaults(records: Iterable[Record]) -> Defaults:
    from hydra_peft.cli.defaults import default_settings
    from hydra_peft.tables.overrides import Origin

    return default_settings({Origin.of(record) for record in records})


def _publish(figure: Figure, picture: Picture, data: FigureData, path: Path) -> None:
    from hydra_peft.figures import save

    files = save(picture, data, path)
    print(in_short(f"figure {figure.name}: {data.caption}"))
    for note in data.notes:
        print(in_short(f"  {note}"))
    first, *others = [file.name for file in files]
    print(f"written: {path.with_name(first)}, {', '.join(others)}", flush=True)


def _draw_all(arguments: Arguments, out: Path) -> None:
    """Draw every figure that the runs give; name the others.

    Raises:
        UserError: none could be drawn.
    """
    from hydra_peft.figures import all_figures

    collection = _collected(arguments, settings=None)
    run = arguments.run or _a_run(collection)
    _check_spares_data((out / figure.file for figure in all_figures()), arguments, collection)
    drawn = 0
    for figure in all_figures():
        settings = figure.settings()
        if hasattr(settings, "cache") and isinstance(arguments, OfAll):
            settings = dataclasses.replace(settings, cache=arguments.cache)
        try:
            if isinstance(figure, RunFigure):
                source = _source(figure, dataclasses.replace(arguments, run=run), settings)
            else:
                source = collection
            data = _data(figure, source, settings)
            _publish(figure, figure.draw(data), data, out / figure.file)
        except OSError:
            raise  # no disk takes the others either
        # One that fails, for whatever reason, is not the end of the others.
        except Exception as error:
            print(in_short(f"figure {figure.name} is not drawn: {why_not(error)}"), flush=True)
            continue
        drawn += 1
    if drawn == 0:
        raise UserError(f"none of the figures could be drawn from {arguments.runs}, see above.")


def _a_run(collection: Collection) -> str:
    """Return the folder of one hydra run, on pretrained weights if there is such; "" without."""
    found = [run for run in collection.completed if run.record.method.get("name") == "hydra"]
    found.sort(
        key=lambda run: (
            run.record.random_weights,
            run.record.benchmark,
            run.record.task,
            run.record.seed,
            run.folder.name,
        )
    )
    return str(found[0].folder) if found else ""
