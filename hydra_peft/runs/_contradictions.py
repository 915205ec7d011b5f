"""Whether a completed record agrees with itself: what it says twice, and what can be computed.

Found is what was edited by hand, or put together from two runs; who forges a record as a whole is
not. What older code did not write is not asked for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hydra_peft.config.identity import TUNED, short_hash
from hydra_peft.data.split_roles import role_of
from hydra_peft.plain_text import quoted, shortened
from hydra_peft.runs._choices import is_trial, of_selection, of_tuning, tunes_method
from hydra_peft.runs._science import by_key, label_of, values_of

if TYPE_CHECKING:
    from hydra_peft.runs.record import Record

#: what a record says of itself, by the key of its science that says so too
_TWICE = {
    "seed": "seed",
    "benchmark": "dataset.benchmark",
    "group": "dataset.group",
    "task": "dataset.name",
    "primary": "dataset.metric",
    "protocol": "protocol.name",
    "selection.rule": "protocol.selection",
    "selection.split": "protocol.evaluate_split",
    "selection.chosen_on": "protocol.select_split",
}
#: what stands in settings in the place of a value of the task's recipe
RECIPE = "recipe"
#: groups and keys of a science of which settings have nothing, or something else
_NO_SETTING = ("seed", "dataset", "plugins", "init_from")
#: what one row's seeds have instead of shots of one seed
_BY_SEED = ("dataset.sampling_seed", "seed")
#: settings that some runs have, each as its science has it
_OF_SOME = ("plugins.", "init_from.")
#: what settings have of a data set: that a part of it is drawn
_DRAWN = ("dataset.train_size", "dataset.shots")
#: groups of every science that a run wrote
_WHOLE = {"model", "optimizer", "scheduler", "train", "protocol"}
_WEIGHTS = {True: "pretrained", False: "random"}
#: of a score in percent; one is computed from counts without any rounding of ours
_TOLERANCE = 1e-6
#: seconds by which sums of measured times may differ
_CLOCKS = 1.0
#: share by which a rate may differ from what it is computed of; ours agree in nine digits
_RATE = 0.05
#: what a machine's clock may be set back by while a run goes on
_CLOCK_SET = timedelta(days=1)


def contradiction(record: Record) -> str:
    """Return in words the first thing that a completed record cannot say, "" where there is none.

    Its values have been checked alone (:func:`hydra_peft.runs._record_values.wrong_values`).
    """
    if short_hash(record.science) != record.config_id:
        return f"config_id {shortened(record.config_id, 40)} is not that of its science"
    if record.error is not None:
        return "it is completed and says that it failed"
    parts = [_of_scores, _of_science, _of_method, _of_parameters, _of_training, of_selection]
    if not is_trial(record):
        parts += [_of_settings, of_tuning]
    return next((text for part in parts for text in part(record)), "")


def _of_scores(record: Record) -> Iterator[str]:
    count, correct = record.counts["scored"], record.counts.get("correct")
    accuracy = record.scores[record.split].get("accuracy")
    if not count or (correct or 0) > count:
        yield f"{correct} of {count} examples correct"
    elif accuracy is not None and record.primary == "accuracy":
        counted = math.nan if correct is None else 100.0 * correct / count
        if not math.isclose(accuracy, counted, rel_tol=0, abs_tol=_TOLERANCE):
            yield f"accuracy is {accuracy:.8g}, and {correct} of {count} correct are {counted:.8g}"
    read = record.data.get("counts", {})
    if read.get(record.split, count) != count:
        yield f"{count} examples were scored, and {record.split} has {read[record.split]}"
    for split, values in record.scores.items():
        if "counts" in record.data and split not in read:
            yield f"{split} has scores, and its data no such split"
        if values.keys() != record.scores[record.split].keys():
            yield f"{split} is scored by other metrics than {record.split}"


def _of_science(record: Record) -> Iterator[str]:
    """Yield what is otherwise in the science."""
    science, said = by_key(record.science), by_key(vars(record))
    pairs = [(key, said.get(key), place) for key, place in _TWICE.items() if key in said]
    for key, value, place in pairs:
        decided = science.get(place, value)
        if value != decided:
            yield f"{key} is {quoted(value)}, and {place} of its science {quoted(decided)}"
    yield from _of_sizes(science, record)
    further = values_of(science, "dataset.splits").get("further")
    further = further if isinstance(further, list) else []
    ends = [science.get(f"protocol.{key}") for key in ("evaluate_split", "select_split")]
    for split in record.scores if ends[0] else ():
        if split not in (*ends, *further):
            yield f"{split} has scores, and its science scores {quoted(ends[0])}"
    if record.tuning and not science.get("protocol.tune") and TUNED not in science.values():
        yield "it says what tuning chose, and its science tunes nothing"
    if record.init_from != record.science.get("init_from", {}):
        yield "init_from is not that of its science"
    kind = record.weights.get("kind")
    pretrained = science.get("model.pretrained")
    if isinstance(pretrained, bool) and kind not in (None, _WEIGHTS[pretrained]):
        yield f"weights.kind is {quoted(kind)}, and model.pretrained of its science {pretrained}"


def _of_sizes(science: Mapping[str, Any], record: Record) -> Iterator[str]:
    """Yield which sizes of splits and images are otherwise than in the science."""
    expected = values_of(science, "dataset.sizes") if not record.data.get("partial") else {}
    shots = science.get("dataset.shots")
    drawn = shots * science.get("dataset.classes", 0) if type(shots) is int else 0
    drawn = science.get("dataset.train_size") or drawn
    counts, roles = record.data.get("counts", {}), science.get("dataset.splits")
    for split, count in counts.items():
        whole = not drawn or role_of(split, roles) not in ("train", "fit", "val")
        if whole and expected.get(split, count) != count:
            yield f"{split} has {count} examples, and {expected[split]} in its science"
    if drawn and (count := counts.get(record.trained_on, 0)) > drawn:
        yield f"{record.trained_on} has {count} examples, and its science draws {drawn}"
    most = science.get("data.max_length")
    if most and (length := record.inputs.get("max_length", 0)) > most:
        yield f"inputs.max_length is {length}, and data.max_length of its science {most}"
    side = science.get("model.image_size")
    if side and (sides := record.inputs.get("image_size")) not in (None, [side, side]):
        yield f"inputs.image_size is {quoted(sides)}, and {quoted(side)} in its science"


def _of_settings(record: Record) -> Iterator[str]:
    """Yield what is otherwise in the settings than in the science."""
    science, settings = by_key(record.science), record.settings
    if not settings:
        yield "it has no settings"
    for key, value in settings.items():
        meant = record.seed if (key, value) == _BY_SEED else value
        if key in science and meant not in (RECIPE, decided := science[key]):
            yield f"settings.{key} is {quoted(value)}, and {key} of its science {quoted(decided)}"
        if key not in science and key.startswith(_OF_SOME):
            yield f"settings.{key} is {quoted(value)}, and its science has no {key}"
    for key in _DRAWN:
        if science.get(key) and key not in settings:
            yield f"it has no settings.{key}, and {key} of its science is {quoted(science[key])}"
    # Of a group that is there at all, unless the science is whole: code of the first days did not
    # write every one.
    there = {key.partition(".")[0] for key in settings} - {*_NO_SETTING}
    own = ("method.",) if tunes_method(record) else ()
    if record.science.keys() >= _WHOLE:
        there = record.science.keys() - {*_NO_SETTING}
        extra = (key for key in settings.keys() - science.keys() if "." in key)
        for key in sorted(key for key in extra if not key.startswith(own)):
            yield f"settings.{key} is {quoted(settings[key])}, and its science has no {key}"
    for group in sorted(group for group in there & record.science.keys() if f"{group}." not in own):
        values = record.science[group]
        decided = {f"{group}.{key}" for key in values} if isinstance(values, dict) else {group}
        # Tuning may leave open what no settings have: what held before it could be set.
        for key in sorted(k for k in decided - settings.keys() if science[k] != TUNED):
            yield f"it has no settings.{key}, and {key} of its science is {quoted(science[key])}"
        for key in sorted(k for k in settings.keys() - decided if k.startswith(f"{group}.")):
            yield f"settings.{key} is {quoted(settings[key])}, and its science has no {key}"


def _of_method(record: Record) -> Iterator[str]:
    decided = record.science.get("method")
    if isinstance(decided, dict):
        keys = {*decided, *record.method}
        if tunes_method(record):  # what it left open may act under other names, as its config says
            keys = {"name", *decided} & record.method.keys()
        for key in sorted(keys, key=str):
            value, other = record.method.get(key), decided.get(key)
            # What tuning chose stands in the record alone.
            if value != other and not (other == TUNED and key in record.method):
                yield f"method.{key} is {quoted(value)}, and {quoted(other)} in its science"
    # A plugin's label may be another in another version.
    origins = values_of(record.science, "plugins")
    label = "" if "method" in origins else label_of(json.dumps(record.method))
    if label not in ("", record.method_label):
        yield f"method_label is {quoted(record.method_label)}, and its method is {quoted(label)}"


def _of_parameters(record: Record) -> Iterator[str]:
    sizes = record.parameters
    trained = sizes["adapter"] + sizes["head"]
    if sizes.get("trainable", trained) != trained:
        yield f"{sizes['trainable']} parameters are trainable, and adapter and head have {trained}"
    if sizes["adapter"] and record.method.get("name") == "linear" and "method" in record.science:
        yield f"its adapter has {sizes['adapter']} parameters, and linear has none"
    if sizes.get("total", trained) < trained:
        yield f"{sizes['total']} parameters in all, and adapter and head have {trained}"


def _of_training(record: Record) -> Iterator[str]:
    epochs, epoch = by_key(record.science).get("train.epochs"), record.selection.get("epoch")
    if type(epochs) is int and epoch is not None:
        last = record.selection["rule"] == "last"
        if epoch > epochs or (epoch != epochs and last) or (epochs and not epoch):
            yield f"the score is of epoch {epoch} of {epochs}, by the rule '{record.rule}'"
    if epochs == 0 and (record.training or record.images_per_second):
        yield "it says how training went, and its science has no epoch"
    for start in record.resumed if type(epochs) is int else ():
        if start.get("epoch", 0) > epochs:
            yield f"it was resumed at epoch {start['epoch']} of {epochs}"
    seen, said = _seen(record), (record.images_per_second or 0.0) * record.times.get("train", 0.0)
    if seen and said and not math.isclose(said, seen, rel_tol=_RATE):
        yield (
            f"{record.images_per_second:g} examples a second in {record.times['train']:g} s of "
            f"training are not the {seen:,} of its epochs"
        )
    total = record.times.get("total", math.inf)
    for phase, seconds in record.times.items():
        if seconds > total + _CLOCKS:
            yield f"{phase} took {seconds:g} s of {total:g} s in all"
    if record.ended and record.begun - datetime.fromisoformat(record.ended) > _CLOCK_SET:
        yield f"it ended {record.ended}, before it started {record.started}"


def _seen(record: Record) -> int:
    """Return how many examples training saw in all its epochs; 0 where that is not known."""
    train = values_of(record.science, "train")
    epochs, batch = train.get("epochs"), train.get("batch_size")
    count = record.data.get("counts", {}).get(record.trained_on)
    drops = train.get("drop_last", False)
    if not (type(epochs) is type(batch) is int and type(drops) is bool) or count is None:
        return 0  # one of them was tuned
    return epochs * (count - count % batch if drops and batch > 0 else count)
