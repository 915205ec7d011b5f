"""``scripts/check_data.py dataset=...``: one's own data before anyone trains on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra_peft.checkout import RESULTS
from hydra_peft.cli.arguments import check_given_once
from hydra_peft.cli.home import expand_home
from hydra_peft.cli.output_files import check_output
from hydra_peft.data.sources import own_places
from hydra_peft.errors import UserError
from hydra_peft.files import real_path

if TYPE_CHECKING:
    from hydra_peft.data.inspection import Inspection

#: words of the config that a data set depends on
_KEYS = ("dataset", "paths.", "extent@dataset", "hydra.searchpath", "recipe@dataset.recipe")
#: lines printed of problems, notes and classes; the json has all
_SHOWN, _CLASSES = 10, 60


def is_asked_for(words: Sequence[str]) -> bool:
    """Whether ``words`` choose a data set of the config, not a benchmark."""
    return any(word.startswith(_KEYS[0]) for word in words)


def inspect_data(words: Sequence[str]) -> int:
    """Print what the chosen data set is like, write json and contact sheet; 1 if it is wrong.

    Raises:
        UserError: a word that is not understood, or data that is laid out otherwise.
    """
    out, chosen = _split(words)
    from hydra_peft.cli.composed import composing

    with composing() as compose:
        config = compose(chosen)
    dataset = config.dataset
    path = out or RESULTS / "data_check" / f"{dataset.benchmark}-{dataset.name}.json"
    own = own_places(dataset.source_options)
    for file in (path, path.with_suffix(".png")):
        check_output(file, "out", inputs=own, endings=(".json", ".png"))
    from hydra_peft.cli.idle_words import check_acting
    from hydra_peft.data.contact_sheet import contact_sheet
    from hydra_peft.data.images import EncodedImages
    from hydra_peft.data.inspection import files_by_class, inspect
    from hydra_peft.data.sources import is_of_images, load_task
    from hydra_peft.files import atomic_write, write_json
    from hydra_peft.runs.first_look import check_data, data_request

    check_acting((word for word in chosen if word.startswith("dataset.split")), [config])
    check_data(config)
    names = tuple(dataset.sizes)
    data = load_task(dataset.source, data_request(dataset, config.paths, names))
    images = [part.inputs.get("image") for part in data.splits.values()]
    if not data.classes or not all(isinstance(one, EncodedImages) for one in images):
        name = f"{dataset.benchmark}/{dataset.name}"
        if dataset.folder is None or not is_of_images(dataset.source):
            advice = "each run checks it before it trains"
        else:
            advice = f"give benchmark={dataset.benchmark} task={dataset.name} for prepared data"
        raise UserError(f"dataset {name} has no encoded images by class to look at: {advice}.")
    found = inspect(data, dataset.splits)
    _print(found, names)
    write_json(path, {"dataset": dataset.name, "splits": names, **dataclasses.asdict(found)})
    sheet = path.with_suffix(".png")
    atomic_write(sheet, contact_sheet(files_by_class(data, dataset.splits.train)))
    print(f"\nwritten: {path}\n         {sheet}")
    return 1 if found.problems else 0


def _split(words: Sequence[str]) -> tuple[Path | None, list[str]]:
    """Return the file that ``out=`` names, and the words of the config."""
    check_given_once(words)
    out, chosen, folder = None, [], False
    for word in words:
        key, _, value = word.partition("=")
        if folder or key == "--config-dir":
            folder = not folder and not value
            if place := (value if key == "--config-dir" else word):
                chosen.append(f"hydra.searchpath=['file://{real_path(Path(place))}']")
        elif word == "out=":
            raise UserError("out= has no value: leave it out, or give one.")
        elif key == "out":
            out = Path(value).expanduser()
        elif word.startswith(_KEYS):
            chosen.append(expand_home(word))
        else:
            raise UserError(
                f"cannot understand '{word}': with dataset=... there are dataset.<key>=..., "
                "paths.<key>=..., --config-dir=<folder> and out=<file>, see --help."
            )
    return out, chosen


def _print(found: Inspection, splits: Sequence[str]) -> None:
    import pandas as pd

    from hydra_peft.plain_text import in_one_line

    lines = [
        {"class": in_one_line(name), **{s: counts.get(s, 0) for s in splits}}
        for name, counts in found.counts.items()
    ]
    total = {s: sum(counts.get(s, 0) for counts in found.counts.values()) for s in splits}
    shown = [*lines[:_CLASSES], {"class": "all", **total}]
    print(pd.DataFrame(shown).to_markdown(index=False, disable_numparse=True))
    if len(lines) > _CLASSES:
        print(f"{len(lines) - _CLASSES} more classes, see the json.")
    modes = ", ".join(f"{mode} {count:,}" for mode, count in found.modes.items())
    print(f"\nwidth {_range(found.widths)}, height {_range(found.heights)} pixels; modes: {modes}")
    print(f"content sha256 {found.sha256[:12]}")
    for kind, sentences in (
        ("", [*found.problems, *found.unreadable[1:]]),
        ("note: ", found.notes),
    ):
        for sentence in sentences[:_SHOWN]:
            print(f"{kind}{in_one_line(sentence)}")
        if len(sentences) > _SHOWN:
            print(f"{kind}{len(sentences) - _SHOWN} more, see the json.")


def _range(values: tuple[int, int, int]) -> str:
    least, median, greatest = values
    return f"{least}" if least == greatest else f"{least} to {greatest} (median {median})"
