"""Whether a completed record agrees with itself: what it says twice, and what can be computed.

Found is what was edited by hand, or put together from two runs; who forges a record as a whole is
not. What older code did not write is not asked for.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Set
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hydra_peft.config.identity import TUNED, USUAL, USUAL_HEAD, short_hash
from hydra_peft.config.preparation import TRIAL
from hydra_peft.config.schema import DatasetConfig
from hydra_peft.config.text import from_yaml
from hydra_peft.errors import UserError
from hydra_peft.heads import head_class
from hydra_peft.methods import build_method, method_class
from hydra_peft.plain_text import quoted, shortened

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
_RECIPE = "recipe"
#: groups and keys of a science of which settings have nothing, or something else
_NO_SETTING = ("seed", "dataset", "plugins", "init_from")
#: settings in the place of a value, which say where it comes from
_REFERENCES = (_RECIPE, "seed", TUNED)
_WEIGHTS = {True: "pretrained", False: "random"}
#: of a score in percent; one is computed from counts without any rounding of ours
_TOLERANCE = 1e-6
#: seconds by which sums of measured times may differ
_CLOCKS = 1.0
#: share by which a rate may differ from what it is computed of; ours agree in nine digits
_RATE = 0.05
#: what a machine's clock may be set back by while a run goes on
_CLOCK_SET = timedelta(days=1)


#: groups of a config whose values stand in the science as they are, but for those of tuning
_GROUPS = ("model", "dataset", "data", "optimizer", "scheduler", "protocol", "train")
#: what a config says of its data set; of the options of a source it says the names alone
_OF_DATASET = {field.name for field in dataclasses.fields(DatasetConfig)}
#: keys that came later which a science leaves out for other reasons than their usual value
_LEFT_OUT = ("image_size", "text_sha256", "sampling_seed")
#: the end of a sentence, which the one that it becomes part of has itself
_EDITED = re.compile(r"(: (truncated or )?edited\?)?\.?$")
#: groups whose options act in another form than a config has, by what returns an option's class
_BUILT: dict[str, Callable[[str], Callable[..., Any]]] = {
    "method": method_class,
    "head": head_class,
}
#: what building a method raises that is none
_NO_METHOD = (UserError, LookupError, TypeError, ValueError, ArithmeticError, AttributeError)
_BLOCK = re.compile(r"^(\w+):.*\n(?: .*\n)*", re.MULTILINE)


def contradiction(record: Record) -> str:
    """Return in words the first thing that a completed record cannot say, "" where there is none.

    Its values have been checked alone (:func:`hydra_peft.runs._record_values.wrong_values`).
    """
    if short_hash(record.science) != record.config_id:
        return f"config_id {shortened(record.config_id, 40)} is not that of its science"
    if record.error is not None:
        return "it is completed and says that it failed"
    parts = [_of_scores, _of_science, _of_method, _of_parameters, _of_training]
    if not _is_trial(record):
        parts.append(_of_settings)
    return next((text for part in parts for text in part(record)), "")


def config_contradiction(record: Record, config: str) -> str:
    """Return in words the first thing in a completed record that its config says otherwise, ""
    where there is none.

    Args:
        config: the text of the ``config.yaml`` beside it.
    """
    try:
        values = _config(config)
    except UserError as error:
        return _EDITED.sub("", str(error))
    parts = [_of_config(record, values)]
    if not _is_trial(record):
        parts.append(_of_recipe(record, values))
    return next((text for part in parts for text in part), "")


def _config(text: str) -> dict[str, Any]:
    """Return the values of a config, block by block where it is laid out as runs write it.

    Raises:
        UserError: it is not as a run writes one.
    """
    blocks = list(_BLOCK.finditer(text))
    whole = "".join(block[0] for block in blocks) == text
    if not whole or len({block[1] for block in blocks}) < len(blocks):
        return from_yaml(text, "it")
    return {block[1]: _parsed(block[0]) for block in blocks}


def _of_config(record: Record, config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is otherwise in a config than in the record that was made with it."""
    science = record.science
    yield from _of_key("model.name", _values(config, "model"), record.model)
    for key in ("seed", "precision"):
        if key in science:
            yield from _of_key(key, config, science[key])
    tuned = _by_key(science).get("protocol.tune") is True
    grid = _values(science.get("protocol"), "grid") if tuned else {}
    for group in _GROUPS:
        decided = science.get(group)
        if isinstance(decided, dict):
            yield from _of_group(group, _values(config, group), decided, {"grid", *grid})
    for group in _BUILT if not tuned else ():
        # Before there were others every run had a linear head.
        decided = science.get(group, USUAL_HEAD if group == "head" else None)
        if isinstance(decided, dict) and group not in _values(science, "plugins"):
            given = config.get(group, decided if group == "head" else {})
            yield from _of_built(group, given, decided)


def _of_group(
    group: str, given: Mapping[str, Any], decided: Mapping[str, Any], passed: Set[str]
) -> Iterator[str]:
    for key, value in decided.items():
        if key in passed or value == TUNED:
            continue
        if key in given or (key not in _LEFT_OUT and (group != "dataset" or key in _OF_DATASET)):
            yield from _of_key(f"{group}.{key}", given, value)
    for key, usual in USUAL.get(group, {}).items() if group != "protocol" else ():
        if key in given and key not in decided and key not in (*_LEFT_OUT, *passed):
            usual = json.loads(json.dumps(usual))
            # Of a mapping a config may leave out what is as it was.
            said = {**usual, **given[key]} if _are_mappings(usual, given[key]) else given[key]
            yield from _otherwise(f"{group}.{key}", said, usual)


def _of_built(group: str, given: object, decided: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is otherwise in a group of a config once its options are as they act."""
    made = _identity(group, json.dumps(given))
    if not made:
        # That of the science may be of a plugin, or of a version with other limits.
        text = json.dumps(decided)
        if _label(text) if group == "method" else _identity(group, text):
            yield f"{group} is {quoted(given)}, which no run has"
        return
    for key, value in decided.items():
        if value != TUNED:
            yield from _of_key(f"{group}.{key}", made, value)
    for key in made.keys() - decided.keys():
        yield f"{group}.{key} is {quoted(made[key])}, there it is as it was before it could be set"


def _of_key(key: str, given: Mapping[str, Any], decided: object) -> Iterator[str]:
    """Yield what is otherwise in the group ``given`` of a config than in the record."""
    name = key.rpartition(".")[2]
    if name in given:
        yield from _otherwise(key, given[name], decided)
    else:
        yield f"it has no {key}, there it is {quoted(decided)}"


def _are_mappings(*values: object) -> bool:
    return all(isinstance(value, dict) for value in values)


def _otherwise(key: str, given: object, decided: object) -> Iterator[str]:
    if not _equal(given, decided):
        yield f"{key} is {quoted(given)}, there {quoted(decided)}"


def _equal(given: object, decided: object) -> bool:
    """Whether both are the same; a config may have 3 where 3.0 was decided, but not true for 1."""
    if isinstance(given, dict) and isinstance(decided, dict):
        same = given.keys() == decided.keys()
        return same and all(_equal(value, decided[key]) for key, value in given.items())
    if isinstance(given, list) and isinstance(decided, list):
        return len(given) == len(decided) and all(map(_equal, given, decided))
    return given == decided and isinstance(given, bool) == isinstance(decided, bool)


def _of_recipe(record: Record, config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what settings call the recipe's, and is no value of it."""
    recipe = _values(config, "dataset").get("recipe")
    if not isinstance(recipe, dict):
        return
    science = _by_key(record.science)
    for key, value in record.settings.items():
        values = _recommended(recipe, key.rpartition(".")[2], record.task)
        decided = science.get(key, TUNED)
        if value == _RECIPE and values and decided not in (TUNED, *values):
            said = ", ".join(map(quoted, values))
            yield f"its recipe has {key} {said}, there it is {quoted(decided)}, as the recipe's"


def _recommended(recipe: Mapping[str, Any], name: str, task: str) -> list[Any]:
    """Return the values that ``recipe`` has for options called ``name``; none where it has none.

    Which of several learning rates a method takes, a run's config does not say.
    """
    method, by_task = (recipe.get(part) or {} for part in ("method", "by_task"))
    found = [part[name] for part in (recipe, method) if isinstance(part, dict) and name in part]
    one = by_task.get(name) if isinstance(by_task, dict) else None
    found += [one[task]] if isinstance(one, dict) and task in one else []
    return [v for value in found for v in (value.values() if isinstance(value, dict) else [value])]


def _values(groups: object, name: str) -> dict[str, Any]:
    """Return the group ``name``; empty where there is none."""
    values = groups.get(name) if isinstance(groups, Mapping) else None
    return values if isinstance(values, dict) else {}


@lru_cache(maxsize=1024)  # the runs of a task share most of what their configs say
def _parsed(block: str) -> Any:
    """Return the value of the one key in a block of a config.

    Raises:
        UserError: it is not as a run writes one.
    """
    return next(iter(from_yaml(block, "it").values()))


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
        if read and split not in read:
            yield f"{split} has scores, and its data no such split"
        if values.keys() != record.scores[record.split].keys():
            yield f"{split} is scored by other metrics than {record.split}"


def _of_science(record: Record) -> Iterator[str]:
    """Yield what is otherwise in the science."""
    science, said = _by_key(record.science), _by_key(vars(record))
    pairs = [(key, said.get(key), place) for key, place in _TWICE.items() if key in said]
    for key, value, place in pairs:
        decided = science.get(place, value)
        if value != decided:
            yield f"{key} is {quoted(value)}, and {place} of its science {quoted(decided)}"
    yield from _of_sizes(science, record)
    if record.init_from != record.science.get("init_from", {}):
        yield "init_from is not that of its science"
    kind = record.weights.get("kind")
    pretrained = science.get("model.pretrained")
    if isinstance(pretrained, bool) and kind not in (None, _WEIGHTS[pretrained]):
        yield f"weights.kind is {quoted(kind)}, and model.pretrained of its science {pretrained}"


def _of_sizes(science: Mapping[str, Any], record: Record) -> Iterator[str]:
    """Yield which sizes of splits and images are otherwise than in the science."""
    expected = _values(science, "dataset.sizes") if not record.data.get("partial") else {}
    drawn = science.get("dataset.shots") or science.get("dataset.train_size")
    for split, count in record.data.get("counts", {}).items():
        whole = split == record.split or not drawn
        if whole and expected.get(split, count) != count:
            yield f"{split} has {count} examples, and {expected[split]} in its science"
    side = science.get("model.image_size")
    if side and (sides := record.inputs.get("image_size")) not in (None, [side, side]):
        yield f"inputs.image_size is {quoted(sides)}, and {quoted(side)} in its science"


def _of_settings(record: Record) -> Iterator[str]:
    """Yield what is otherwise in the settings than in the science."""
    science, settings = _by_key(record.science), record.settings
    if not settings:
        yield "it has no settings"
    for key, value in settings.items():
        if not _is_reference(value) and value != (decided := science.get(key, value)):
            yield f"settings.{key} is {quoted(value)}, and {key} of its science {quoted(decided)}"
    # Of a group that is there at all; code of the first days did not write every one.
    there = {key.partition(".")[0] for key in settings} - {*_NO_SETTING}
    for group in sorted(there & record.science.keys()):
        values = record.science[group]
        decided = {f"{group}.{key}" for key in values} if isinstance(values, dict) else {group}
        for key in sorted(decided - settings.keys()):
            yield f"it has no settings.{key}, and {key} of its science is {quoted(science[key])}"
        for key in sorted(k for k in settings.keys() - decided if k.startswith(f"{group}.")):
            yield f"settings.{key} is {quoted(settings[key])}, and its science has no {key}"


def _of_method(record: Record) -> Iterator[str]:
    decided = record.science.get("method")
    if isinstance(decided, dict):
        for key in sorted({*decided, *record.method}, key=str):
            value, other = record.method.get(key), decided.get(key)
            # What tuning chose stands in the record alone.
            if value != other and not (other == TUNED and key in record.method):
                yield f"method.{key} is {quoted(value)}, and {quoted(other)} in its science"
    # A plugin's label may be another in another version.
    origins = _values(record.science, "plugins")
    label = "" if "method" in origins else _label(json.dumps(record.method))
    if label not in ("", record.method_label):
        yield f"method_label is {quoted(record.method_label)}, and its method is {quoted(label)}"


def _of_parameters(record: Record) -> Iterator[str]:
    sizes = record.parameters
    trained = sizes["adapter"] + sizes["head"]
    if sizes.get("trainable", trained) != trained:
        yield f"{sizes['trainable']} parameters are trainable, and adapter and head have {trained}"
    if sizes.get("total", trained) < trained:
        yield f"{sizes['total']} parameters in all, and adapter and head have {trained}"


def _of_training(record: Record) -> Iterator[str]:
    epochs, epoch = _by_key(record.science).get("train.epochs"), record.selection.get("epoch")
    if type(epochs) is int and epoch is not None:
        last = record.selection["rule"] == "last"
        if epoch > epochs or (epoch != epochs and last) or (epochs and not epoch):
            yield f"the score is of epoch {epoch} of {epochs}, by the rule '{record.rule}'"
    if record.selection["rule"] == "best" and not record.selection.get("evaluations"):
        yield "its epoch is the best of no evaluations"
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
    train = _values(record.science, "train")
    epochs, batch = train.get("epochs"), train.get("batch_size")
    count = record.data.get("counts", {}).get(record.trained_on)
    if type(epochs) is not int or type(batch) is not int or count is None or batch < 1:
        return 0
    return epochs * (count - count % batch if train.get("drop_last") else count)


def _is_trial(record: Record) -> bool:
    """Whether it is of a search: such a run has the settings of the one that it is tried for."""
    decided, tunes = _by_key(record.science), record.settings.get("protocol.tune") is True
    name = f"{record.settings.get('protocol.name')}-{TRIAL}"
    return tunes and decided.get("protocol.tune") is False and decided["protocol.name"] == name


def _is_reference(value: object) -> bool:
    return isinstance(value, str) and value in _REFERENCES


@lru_cache(maxsize=256)  # thousands of records have one of a few
def _label(text: str) -> str:
    """Return the short form of a method, "" where it cannot be built here.

    So of a plugin that is not here, or of a version with other options.

    Args:
        text: the method as the record has it, as json.
    """
    method = json.loads(text)
    try:
        return build_method(method["name"], **method_class(method["name"]).options_of(method)).label
    except _NO_METHOD:
        return ""


@lru_cache(maxsize=1024)
def _identity(group: str, text: str) -> dict[str, Any]:
    """Return a group as the science has it, empty where it cannot be built here.

    Args:
        group: one of :data:`_BUILT`.
        text: the group as a config has it, as json.
    """
    options = json.loads(text)
    try:
        options.pop("recipe", None)  # which learning rate of the task's recipe: no option of it
        made = _BUILT[group](options.pop("name"))(**options).identity()
    except _NO_METHOD:
        return {}
    return dict(json.loads(json.dumps(made)))


def _by_key(groups: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of ``groups`` by dotted key, those without a group by their own."""
    found = dict(groups)
    for group, values in groups.items():
        if isinstance(values, dict):
            found |= {f"{group}.{key}": value for key, value in values.items()}
    return found
