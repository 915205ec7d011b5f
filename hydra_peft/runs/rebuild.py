"""A finished run, rebuilt from its folder alone."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hydra_peft.adaptation.merging import merge
from hydra_peft.adaptation.parameters import adapter_state_dict, count_parameters
from hydra_peft.adaptation.storage import TENSORS, load_adapter
from hydra_peft.adapters.base import NotMergeable
from hydra_peft.adapters.droppable import drop_layers
from hydra_peft.backbones.inputs import image_size, preparation, text_encoding
from hydra_peft.config.schema import RunConfig
from hydra_peft.data.split import Split
from hydra_peft.errors import UserError
from hydra_peft.files import sha256_of
from hydra_peft.plain_text import in_one_line, quoted, tensor_name
from hydra_peft.quoting import unquoted
from hydra_peft.runs.assembly import (
    build_skeleton,
    check_model,
    describe_data,
    load_backbone,
    load_task,
    prepare_splits,
)
from hydra_peft.runs.config_file import CONFIG
from hydra_peft.runs.first_look import data_request, splits_scored
from hydra_peft.runs.folder import predictions_name
from hydra_peft.runs.record import Record
from hydra_peft.runs.recorded import check_weights, in_file, read_completed, where_weights_are
from hydra_peft.runs.stored_outputs import score_stored
from hydra_peft.tensor_files import read_headers
from hydra_peft.training.devices import resolve_device
from hydra_peft.training.evaluation import Score, evaluate

#: more than any machine's; a record that says so is not believed
MAX_THREADS = 1024


@dataclass(frozen=True)
class Rescored:
    """Scores of one split, computed now.

    Attributes:
        unmerged: score with the branches in place.
        merged: score of the merged model; None where there is none.
        stored: score of the outputs that the run kept; None where there are none, or damaged ones.
        dropped: scores without the adapters of the first m layers, by m.
    """

    unmerged: Score
    merged: Score | None
    stored: Score | None
    dropped: Mapping[int, Score] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Comparison of recorded scores with those of the rebuilt model.

    Attributes:
        recorded: the run's record.
        scores: by split, the one that counts first.
        doubts: a sentence for each thing in the folder that contradicts another.
        unmergeable: why there is no merged score.
    """

    recorded: Record
    scores: Mapping[str, Rescored]
    doubts: tuple[str, ...]
    unmergeable: str = ""

    @property
    def unmerged(self) -> Score:
        """The score of the split that counts, with the branches in place."""
        return self.scores[self.recorded.split].unmerged

    @property
    def merged(self) -> Score | None:
        """The score of the merged model; None where there is none."""
        return self.scores[self.recorded.split].merged


@dataclass(frozen=True)
class RebuiltRun:
    """A completed run's model, on the CPU, and what made it.

    Attributes:
        folder: where it was rebuilt from.
        record: what the run recorded.
        config: its checked config.
        model: the trained model, unmerged, head included.
    """

    folder: Path
    record: Record
    config: RunConfig
    model: nn.Module


def rebuild(
    folder: Path, *, checkpoint: str | None = None, doubts: list[str] | None = None
) -> RebuiltRun:
    """Rebuild the model of the run in ``folder``; no data is read.

    Nothing large is built before it is known to have the size that the record names.

    Args:
        folder: a completed run's folder.
        checkpoint: the backbone's weights, where they have moved since; None takes the recorded.
        doubts: gets a sentence where the folder contradicts itself; None refuses it.

    Raises:
        UserError: the run did not complete, or the weights are not those of the record.
    """
    record, config = read_completed(folder, checkpoint=checkpoint, doubts=doubts)
    check_weights(folder, config.model, moved=checkpoint is not None)
    with in_file(folder / CONFIG):
        check_model(config, elsewhere=True)
        skeleton = build_skeleton(config.model, config.head, config.method, config.dataset.classes)
    _check_sizes(skeleton, record, folder)
    _check_adapter(record, folder, doubts)
    with unquoted():
        where = where_weights_are(config.model)
        backbone, weights = load_backbone(config.model, config.seed, where)
    check_same("backbone weights", weights.sha256, record.weights.get("sha256"), folder)
    config.head.attach(backbone, config.dataset.classes)
    load_adapter(backbone, folder, check_weights=False)
    return RebuiltRun(folder, record, config, backbone)


def _check_adapter(record: Record, folder: Path, doubts: list[str] | None) -> None:
    """Compare the adapter's file with its hash in the record; those of older code have none.

    Raises:
        UserError: it is another one, and ``doubts`` is None.
    """
    if record.adapter in ("", now := sha256_of(folder / TENSORS)):
        return
    sentence = (
        f"{folder / TENSORS} (sha256 {now[:12]}) is not what the run saved "
        f"({in_one_line(record.adapter[:12])}): changed since, or of another run?"
    )
    if doubts is None:
        raise UserError(sentence)
    doubts.append(sentence)


def _check_sizes(skeleton: nn.Module, record: Record, folder: Path) -> None:
    """Check that the model is as large as recorded, fits this machine, and its tensors fit it.

    Args:
        skeleton: the adapted model, without storage.
    """
    counts = dataclasses.asdict(count_parameters(skeleton))
    for name, count in counts.items():
        recorded = record.parameters.get(name, count)
        if count != recorded:
            raise UserError(
                f"{folder}: the model of its {CONFIG} has {count:,} {name} parameters, its record "
                f"says {recorded:,}: edited?"
            )
    needed = 4 * counts["total"]  # bytes, in float32
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory:
        raise UserError(
            f"the model of the run in {folder} takes {needed / 2**30:,.0f} GiB, and this machine "
            f"has {memory / 2**30:,.0f}: rebuild it on another."
        )
    expected = {name: tuple(t.shape) for name, t in adapter_state_dict(skeleton).items()}
    shapes = {name: shape for name, (shape, _) in read_headers(folder / TENSORS).items()}
    if shapes != expected:
        wrong = sorted(
            n for n in shapes.keys() | expected.keys() if shapes.get(n) != expected.get(n)
        )
        raise UserError(
            f"{folder / TENSORS} does not fit the model of its {CONFIG}: it lacks, has in another "
            f"shape, or has beyond it {', '.join(map(tensor_name, wrong[:3]))}."
        )


def load_scored_split(run: RebuiltRun, *, cache: Path, data: str | None = None) -> Split:
    """Return the images of the split that counts for ``run``; see :func:`load_scored_splits`."""
    counted = run.config.protocol.evaluate_split
    return load_scored_splits(run, [counted], cache=cache, data=data)[counted]


@unquoted()
def load_scored_splits(
    run: RebuiltRun, names: Sequence[str], *, cache: Path, data: str | None = None
) -> dict[str, Split]:
    """Return images that ``run`` was scored on, in its model's size, by split.

    Args:
        names: of the splits.
        cache: where the task's images are cached on this machine.
        data: folder of prepared data, where it has moved since; None takes the recorded.

    Raises:
        UserError: the images are missing, or are not those of the record.
    """
    config, model = run.config, run.model
    splits = load_scored(run.folder, run.record, config, names, cache=cache, data=data)
    encoding = text_encoding(model, config.data.max_length)
    return prepare_splits(splits, config.dataset, config.data, image_size(model), cache, encoding)


@unquoted()
def load_scored(
    folder: Path,
    record: Record,
    config: RunConfig,
    names: Sequence[str],
    *,
    cache: Path,
    data: str | None = None,
) -> Mapping[str, Split]:
    """Return splits that the run in ``folder`` was scored on, as their source has them, by name.

    Args:
        folder, record, config: of the run.
        names, cache, data: as of :func:`load_scored_splits`.

    Raises:
        UserError: see :func:`load_scored_splits`.
    """
    paths = dataclasses.replace(config.paths, cache=str(cache), data=data or config.paths.data)
    loaded = load_task(config.dataset, data_request(config.dataset, paths, names))
    now = describe_data(config.dataset, config.data, loaded)
    for split in names:
        of_record = split_hash(record.data, split)
        check_same(f"{split} {record.of}", str(split_hash(now, split)), of_record, folder)
    there, recorded = now.get("classes"), record.data.get("classes")
    if isinstance(there, list) and isinstance(recorded, list):
        _check_classes(there, recorded, folder)
    return {name: loaded.splits[name] for name in names}


def _check_classes(now: list[Any], recorded: list[Any], folder: Path) -> None:
    for number, (name, before) in enumerate(itertools.zip_longest(now, recorded)):
        if name != before:
            raise UserError(
                f"class {number} of the data is called {quoted(name)} and was {quoted(before)} for "
                f"the run in {folder}: its examples are the same, so call the class as it was."
            )


def reevaluate(
    folder: Path,
    *,
    cache: Path,
    checkpoint: str | None,
    data: str | None,
    device: str,
    drop: Sequence[int] = (),
) -> Comparison:
    """Rebuild the model of the run in ``folder`` and score it again, unmerged and merged.

    On a CPU torch is set to the recorded number of threads.

    Args:
        folder: a completed run's folder.
        cache: where the task's images are cached on this machine.
        checkpoint: the backbone's weights, where they have moved since; None takes the recorded.
        data: folder of prepared data, where it has moved since; None takes the recorded.
        device: ``auto``, ``cpu`` or ``cuda``.
        drop: numbers of first layers without whose adapters the model is scored too.

    Raises:
        UserError: the run did not complete, weights or data are not those of the record, or no
            adapters can be dropped, or not so many.
    """
    where = resolve_device(device)
    doubts: list[str] = []
    run = rebuild(folder, checkpoint=checkpoint, doubts=doubts)
    if where.type == "cpu":
        _set_threads(run.record)
    splits = load_scored_splits(run, splits_scored(run.config), cache=cache, data=data)
    model = run.model.to(where)
    arguments: dict[str, Any] = {
        "prepare": preparation(model, run.config.data.normalization, where),
        "device": where,
        "precision": run.config.precision,
    }
    task, stored = run.config.task(), _stored_scores(run, splits, doubts)

    def score() -> dict[str, Score]:
        return {name: evaluate(model, task, split, **arguments) for name, split in splits.items()}

    unmerged, merged, dropped = score(), dict[str, Score](), dict[int, dict[str, Score]]()
    for count in drop:
        drop_layers(model, count)
        dropped[count] = score()
    if drop:
        drop_layers(model, 0)
    why = f"nothing to merge for method {run.config.method.name}"
    try:
        if merge(model):
            merged = score()
    except NotMergeable as error:
        why = str(error)
    scores = {
        n: Rescored(
            unmerged[n], merged.get(n), stored.get(n), {m: one[n] for m, one in dropped.items()}
        )
        for n in splits
    }
    return Comparison(run.record, scores, tuple(doubts), why)


def _set_threads(record: Record) -> None:
    """Set torch to the number of threads of the run: another sums in another order, which can flip
    a close call."""
    threads = record.hardware.get("threads")
    if type(threads) is int and 1 <= threads <= MAX_THREADS:
        torch.set_num_threads(threads)


def _stored_scores(
    run: RebuiltRun, splits: Mapping[str, Split], doubts: list[str]
) -> dict[str, Score | None]:
    """Return the scores of the outputs that the run kept; of damaged ones add to ``doubts``."""
    stored: dict[str, Score | None] = {}
    for name, split in splits.items():
        path = run.folder / predictions_name(name, run.record.split)
        sha256 = run.record.outputs.get(name, "")
        try:
            stored[name] = score_stored(path, run.config.task(), split.targets, sha256)
        except UserError as error:
            doubts.append(str(error))
    return stored


def split_hash(description: Mapping[str, Any], split: str) -> str | None:
    """Return the hash of ``split`` that data is described with, in a record or now; None where a
    record has none."""
    splits = description.get("splits")
    found = splits.get(split) if isinstance(splits, Mapping) else None
    return found if isinstance(found, str) else None


def check_same(what: str, now: str, recorded: object, folder: Path) -> None:
    """Check that data or weights still have the hash that the run in ``folder`` recorded."""
    if not isinstance(recorded, str):
        raise UserError(
            f"the record of the run in {folder} has no sha256 of its {what}, so that nothing says "
            "whether these are those: edited?"
        )
    if now != recorded:
        raise UserError(
            f"the {what} (sha256 {now[:12]}) are not those of the run in {folder} "
            f"({str(recorded)[:12]}): its score cannot be reproduced with them."
        )
