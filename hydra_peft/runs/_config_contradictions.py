"""Whether the ``config.yaml`` beside a completed record is what the run was made with."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Set
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hydra_peft.config.identity import TUNED, USUAL, USUAL_HEAD, short_hash
from hydra_peft.config.identity import science as science_of
from hydra_peft.config.plain import from_recorded
from hydra_peft.config.recorded_values import as_current
from hydra_peft.config.schema import DatasetConfig
from hydra_peft.config.text import from_yaml
from hydra_peft.errors import UserError
from hydra_peft.plain_text import quoted
from hydra_peft.runs._choices import is_trial
from hydra_peft.runs._contradictions import RECIPE
from hydra_peft.runs._science import BUILT, by_key, identity_of, label_of, values_of

if TYPE_CHECKING:
    from hydra_peft.runs.record import Record

#: groups of a config whose values stand in the science as they are, but for those of tuning
_GROUPS = ("model", "dataset", "data", "optimizer", "scheduler", "protocol", "train")
#: what a config says of its data set; of the options of a source it says the names alone
_OF_DATASET = {field.name for field in dataclasses.fields(DatasetConfig)}
#: keys that came later which a science leaves out for other reasons than their usual value
_LEFT_OUT = ("image_size", "text_sha256", "sampling_seed")
#: settings that are the recipe's as a whole, or the task's prompts
_OF_TASK = ("init_from", "head.prompts")
#: the end of a sentence, which the one that it becomes part of has itself
_EDITED = re.compile(r"(: (truncated or )?edited\?)?\.?$")
_SEED = re.compile(r"^seed: \d+\n", re.MULTILINE)
_BLOCK = re.compile(r"^(\w+):.*\n(?: .*\n)*", re.MULTILINE)


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
    if not is_trial(record):
        parts.append(_of_recipe(record, values))
    if "plugins" not in record.science:  # a plugin's keys may be others in another version
        parts += [_of_identity(record, config, values), _of_choice(record, values)]
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
    yield from _of_key("model.name", values_of(config, "model"), record.model)
    for key in ("seed", "precision"):
        if key in science:
            yield from _of_key(key, config, science[key])
    tuned = by_key(science).get("protocol.tune") is True
    grid = values_of(science.get("protocol"), "grid") if tuned else {}
    for group in _GROUPS:
        decided = science.get(group)
        if group in config and group not in science and "protocol" in science:
            yield f"it has {group}, and the science of the record has none"
        if isinstance(decided, dict):
            yield from _of_group(group, values_of(config, group), decided, {"grid", *grid})
    for group in BUILT if not tuned else ():
        # Before there were others every run had a linear head.
        decided = science.get(group, USUAL_HEAD if group == "head" else None)
        if isinstance(decided, dict) and group not in values_of(science, "plugins"):
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
    made = identity_of(group, json.dumps(given))
    if not made:
        # That of the science may be of a plugin, or of a version with other limits.
        text = json.dumps(decided)
        if label_of(text) if group == "method" else identity_of(group, text):
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


def _of_identity(record: Record, text: str, config: dict[str, Any]) -> Iterator[str]:
    """Yield what is otherwise in the science of a config, as far as this version can tell it."""
    seed = config.get("seed")
    made = _science_without_seed(_SEED.sub("", text)) if _SEED.search(text) else None
    if not made or short_hash(found := {**json.loads(made), "seed": seed}) == record.config_id:
        return
    there, here = by_key(found), by_key(record.science)
    # Older code did not mark each: it went by what was typed, or chosen.
    unmarked = {key for key, value in there.items() if value == TUNED != here.get(key)}
    for key in sorted({*there, *here} - unmarked):
        if not isinstance(there.get(key), dict) and there.get(key) != here.get(key):
            yield f"{key} is {quoted(there.get(key))}, there {quoted(here.get(key))}"
    if not unmarked:
        yield "it has the identity of another run"


def _of_choice(record: Record, config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is otherwise in a config than in what tuning chose and the record's method."""
    if by_key(record.science).get("protocol.tune") is not True:
        return
    for key, value in values_of(record.tuning, "chosen").items():
        yield from _of_key(key, values_of(config, key.partition(".")[0]), value)
    yield from _of_key("method.name", values_of(config, "method"), record.method.get("name"))
    made = identity_of("method", json.dumps(config.get("method")))
    for key in sorted({*made, *record.method}) if made else ():
        if not _equal(made.get(key), record.method.get(key)):
            yield f"method.{key} is {quoted(made.get(key))}, there {quoted(record.method.get(key))}"


@lru_cache(maxsize=1024)  # seeds of a run differ in theirs alone
def _science_without_seed(text: str) -> str:
    """Return the science of a config without its seed, as json; "" where it cannot be built here.

    So of a method that is not here, or of a version with other keys or limits.
    """
    try:
        config = from_recorded({"settings": {}, "seed": 0, **as_current(_config(text))})
        return json.dumps(science_of(config))
    except (UserError, LookupError, TypeError, ValueError, ArithmeticError, AttributeError):
        return ""


def _of_recipe(record: Record, config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what settings call the recipe's, and is no value of it."""
    recipe = values_of(config, "dataset").get("recipe")
    if not isinstance(recipe, dict):
        return
    science = by_key(record.science)
    for key, value in record.settings.items():
        values = _recommended(recipe, key.rpartition(".")[2], record.task)
        decided = science.get(key, TUNED)
        if value != RECIPE or decided == TUNED or key in _OF_TASK:
            continue
        if not values and decided not in _leaves(recipe):
            yield f"its recipe has no {quoted(decided)}, there {key} is the recipe's"
        if values and decided not in values:
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


def _leaves(values: object) -> Iterator[Any]:
    """Yield what stands in nested mappings and lists."""
    if isinstance(values, dict | list):
        for value in values.values() if isinstance(values, dict) else values:
            yield from _leaves(value)
    else:
        yield values


@lru_cache(maxsize=1024)  # the runs of a task share most of what their configs say
def _parsed(block: str) -> Any:
    """Return the value of the one key in a block of a config.

    Raises:
        UserError: it is not as a run writes one.
    """
    return next(iter(from_yaml(block, "it").values()))
