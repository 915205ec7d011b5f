"""``scripts/evaluate.py``: score a finished run again, from its folder alone."""

from __future__ import annotations

import dataclasses
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra_peft.cards import check_card
from hydra_peft.checkout import CACHE
from hydra_peft.cli.arguments import Device, parse_arguments
from hydra_peft.cli.guard import complain, guarded
from hydra_peft.data.sources import labels_of
from hydra_peft.errors import UserError
from hydra_peft.listed import listed
from hydra_peft.metrics import find_metric, score_text, value_text
from hydra_peft.plain_text import in_short
from hydra_peft.quoting import unquoted
from hydra_peft.runs.first_look import data_request, splits_scored
from hydra_peft.runs.folder import METRICS, check_run_folder, predictions_name
from hydra_peft.runs.history import read_history
from hydra_peft.runs.kept_predictions import KEPT, why_none
from hydra_peft.runs.record import Record, read_record
from hydra_peft.runs.recorded import look_at_run
from hydra_peft.runs.seal import without_seal

if TYPE_CHECKING:  # they load torch
    from hydra_peft.training.evaluation import Score


USAGE = """\
Rebuild a finished run's model from its folder and score it again, unmerged and merged; score
the outputs that it stored, too.

python scripts/evaluate.py run=<folder> [device=auto] [checkpoint=<file>]
                           [cache=<folder>] [data=<folder>] [drop=<m>,<m>] [plugins=<module>]

  run         a run folder, as train.py printed it
  device      auto, cpu or cuda (the recorded score is reproduced exactly on the same kind)
  checkpoint  the backbone's weights, if they have moved since
  cache       where decoded and generated images are kept (default: results/cache)
  data        the folder of prepared data, if it has moved since
  drop        of a run of method=adapterdrop method.drop=robust: score it without the adapters of
              the first m layers, too
  plugins     modules of your own that the run was trained with (docs/plugins.md)

Exit code 0: reproduced (merged: to within one image); 1: not, or the folder contradicts itself;
2: a mistake."""


@dataclass(frozen=True)
class Arguments:
    """The script's arguments."""

    run: str
    device: Device = "auto"
    checkpoint: str = ""
    data: str = ""
    cache: str = str(CACHE)
    drop: str = ""
    plugins: str = ""


def main() -> int:
    """Print the recorded, stored, unmerged and merged score; return 0 if they agree, else 1."""
    return guarded(_main, "cache")


def _main() -> int:
    arguments = parse_arguments(Arguments, sys.argv[1:], USAGE)
    folder = Path(arguments.run).expanduser()
    check_card(arguments.device)
    with _edits_told_first(folder):
        _look_first(folder, arguments)
        from hydra_peft.runs.rebuild import reevaluate

        compared = reevaluate(
            folder,
            cache=Path(arguments.cache).expanduser(),
            checkpoint=arguments.checkpoint or None,
            data=arguments.data or None,
            device=arguments.device,
            drop=_counts(arguments.drop),
        )
    record, doubts, failed = compared.recorded, list(compared.doubts), []
    doubts += _of_epochs(folder, record)
    unsealed: list[Path] = []
    with suppress(UserError):  # told above
        read_record(folder, unsealed=unsealed)
    for sentence in without_seal(unsealed):
        print(in_short(f"note: {sentence}"), file=sys.stderr)
    name = f"{record.benchmark}/{record.task} {record.label} seed {record.seed}"
    for split, scores in compared.scores.items():
        print(in_short(f"{name}, {split} of {scores.unmerged.count} examples"))
        recorded, count = record.scores[split], _count(record, split)
        correct = record.counts.get("correct") if split == record.split else None
        _print("recorded", recorded, count, correct)
        doubts += _stored_doubt(record, split, scores.stored)
        _print("unmerged", scores.unmerged.values, scores.unmerged.count)
        agrees = scores.unmerged.count == count and _agree(scores.unmerged.values, recorded)
        if scores.merged is None:
            print(in_short(f"  merged    {compared.unmergeable}"))
        else:
            _print("merged", scores.merged.values, scores.merged.count)
            # Merging rounds, which may turn one example over; more of them in other metrics.
            agrees = agrees and _agree(scores.merged.values, recorded, 1 / max(count, 1))
        for number, score in scores.dropped.items():
            _print(f"drop={number}", score.values, score.count)
        if not agrees:
            before, now = _texts(record, split, scores.unmerged)
            if scores.unmerged.count != count:
                before, now = f"{before} of {count}", f"{now} of {scores.unmerged.count} examples"
            on = "" if split == record.split else f" on {split}"
            failed.append(f"the recorded score{on} is not reproduced: {before} recorded, {now}")
    for sentence in [*doubts, *(f"{text} measured." for text in failed)]:
        complain(sentence)
    return 1 if doubts or failed else 0


def _of_epochs(folder: Path, record: Record) -> list[str]:
    """Return what the run's epochs contradict of its record; one may be copied without them."""
    if not os.path.lexists(folder / METRICS):
        return []
    try:
        history = read_history(folder, record)
    except UserError as error:
        return [str(error)]
    return [history.faults] if history and history.faults else []


@contextmanager
def _edits_told_first(folder: Path) -> Iterator[None]:
    """Let a mistake say that the run's record or config was edited, which it may come of."""
    try:
        yield
    except UserError as error:
        doubts: list[str] = []
        with suppress(UserError):
            read_record(folder, doubts)
        if not doubts or doubts[0] in str(error):
            raise
        # Of a config that cannot be read the doubt is this very mistake.
        is_told = str(error).partition(" ")[2].rstrip(".") in doubts[0]
        raise UserError(doubts[0] if is_told else f"{doubts[0]} With it: {error}") from None


def _counts(text: str) -> tuple[int, ...]:
    """Return the numbers of layers that ``drop=`` names.

    Raises:
        UserError: one is no whole number from 0.
    """
    parts = listed("drop", text) if text else []
    if not all(part.isascii() and part.isdigit() and len(part) < 5 for part in parts):
        raise UserError(f"drop={text} is not allowed: it must be whole numbers, as in drop=0,5.")
    return tuple(dict.fromkeys(map(int, parts)))


def _count(record: Record, split: str) -> int:
    """Return how many examples of ``split`` the record counts; 0 where it counts none."""
    if split == record.split:
        return record.counts["scored"]
    return int(record.data.get("counts", {}).get(split, 0))


def _stored_doubt(record: Record, split: str, stored: Score | None) -> list[str]:
    """Print the score of the outputs that the run stored; return what contradicts the record."""
    name, why = predictions_name(split, record.split), why_none(record, split)
    if stored is None:
        if record.predictions.get(split) == KEPT:
            why = f"the run kept {name}, which is gone or damaged"
        if why:
            print(in_short(f"  stored    none: {why}"))
        return []
    _print("stored", stored.values, stored.count)
    # A run that went on after its scoring stored what it computed anew.
    share = 1 / stored.count if record.resumed else 0.0
    if why:
        return [f"there is a {name}, and the record says that {why}: edited, or of another run?"]
    if _agree(stored.values, record.scores[split], share):
        return []
    before, now = _texts(record, split, stored)
    return [f"the record contradicts the run's {name}: {before} recorded, {now} stored."]


def _texts(record: Record, split: str, score: Score) -> tuple[str, str]:
    """Return the recorded and the other value of a metric that differs, the primary one first."""
    recorded, found = record.scores[split], score.values
    names = sorted({*recorded, *found}, key=lambda name: (name != record.primary, name))
    pairs = {name: (recorded.get(name, math.nan), found.get(name, math.nan)) for name in names}
    differing = (k for k, (a, b) in pairs.items() if not _agree({k: a}, {k: b}))
    name = next(differing, record.primary)
    text = value_text if name == record.primary else score_text
    before, now = (text(name, value, 4) for value in pairs[name])
    return before, now


def _print(name: str, values: Mapping[str, float], count: int, correct: int | None = None) -> None:
    """Print the values of a score; beside accuracy how many are correct, ``correct`` if given."""
    if correct is None:
        correct = round(values.get("accuracy", 0.0) * count / 100)
    texts = [
        f"{value_text(metric, value, 4)}  "
        + (f"{correct} correct" if metric == "accuracy" else metric)
        for metric, value in values.items()
    ]
    print(in_short(f"  {name:9} {', '.join(texts)}"))


def _agree(some: Mapping[str, float], others: Mapping[str, float], share: float = 0.0) -> bool:
    """Whether two scores have the same metrics, with values that near each other.

    Args:
        share: of the examples that may be scored otherwise; of an error, which has no bound, the
            share of its value that an average example has.
    """

    def near(name: str, value: float, other: float) -> bool:
        whole = 100.0 if find_metric(name).unit else abs(other)
        # A little more than the share, which is computed in floating point.
        tolerance = max(1.005 * share * whole, 1e-9)
        return math.isclose(value, other, rel_tol=1e-9, abs_tol=tolerance)

    return some.keys() == others.keys() and all(
        near(name, value, others[name]) for name, value in some.items()
    )


def _look_first(folder: Path, arguments: Arguments) -> None:
    """Check what keeps the run from being scored and can be seen without torch, which takes long.

    What contradicts itself is scored all the same: that is how it is found out what is right.

    Raises:
        UserError: something is missing or damaged.
    """
    check_run_folder(folder)
    if arguments.checkpoint and not Path(arguments.checkpoint).expanduser().is_file():
        raise UserError(f"checkpoint={arguments.checkpoint} is not there, or is no file.")
    config = look_at_run(folder, checkpoint=arguments.checkpoint or None, doubts=[])
    if _counts(arguments.drop) and getattr(config.method, "drop", None) != "robust":
        raise UserError(
            f"drop={arguments.drop}: the run's method, {config.method.label}, leaves no adapters "
            "out: that takes a run of method=adapterdrop method.drop=robust."
        )
    paths = dataclasses.replace(config.paths, data=arguments.data or config.paths.data)
    request = data_request(config.dataset, paths, config.dataset.stored(splits_scored(config)))
    with unquoted():
        labels_of(config.dataset.source, request)
