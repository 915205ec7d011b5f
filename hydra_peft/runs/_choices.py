"""Whether a record's choices can be what it says: of an epoch by scores, of options by tuning."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

from hydra_peft.config.grid import RELEASED, dotted
from hydra_peft.config.identity import TUNED
from hydra_peft.config.preparation import TRIAL
from hydra_peft.data.split_roles import BEFORE as SPLITS_BEFORE
from hydra_peft.errors import UserError
from hydra_peft.metrics import find_metric
from hydra_peft.plain_text import quoted
from hydra_peft.runs._record_values import is_score
from hydra_peft.runs._science import by_key, values_of

if TYPE_CHECKING:
    from hydra_peft.runs.record import Record

#: groups whose options act under the names by which they are tuned
_AS_TYPED = ("model.", "data.", "optimizer.", "scheduler.", "train.")


def is_trial(record: Record) -> bool:
    """Whether it is of a search: such a run has the settings of the one that it is tried for."""
    decided, tunes = by_key(record.science), record.settings.get("protocol.tune") is True
    name = f"{record.settings.get('protocol.name')}-{TRIAL}"
    return tunes and decided.get("protocol.tune") is False and decided["protocol.name"] == name


def tunes_method(record: Record) -> bool:
    """Whether tuning chose options of its method, which may act under other names or none."""
    chosen = values_of(record.tuning, "chosen")
    tuned = by_key(record.science).get("protocol.tune") is True
    return tuned and any(key.startswith("method.") for key in chosen)


def of_selection(record: Record) -> Iterator[str]:
    """Yield what is otherwise in the choice of an epoch than evaluations can have found."""
    science, selection = by_key(record.science), record.selection
    best = selection["rule"] == "best"
    if best and not selection.get("evaluations"):
        yield "its epoch is the best of no evaluations"
    epochs, every = science.get("train.epochs"), science.get("protocol.evaluate_every", 0)
    epoch = selection.get("epoch")
    if type(epochs) is not int or type(epoch) is not int or type(every) not in (int, type(None)):
        return
    if every != 0 and epoch != epochs and (every is None or epoch % every):
        yield f"the score is of epoch {epoch}, after which nothing was evaluated"
    most = 1 if not every else max(1, math.ceil(epochs / every))
    done = selection.get("evaluations", 0)
    if every != 0 and (done != most if best else done > most):
        yield f"it was evaluated {done} times, and its science says {most}"
    if "looks" in selection:
        yield from _of_looks(record, epochs)


def _of_looks(record: Record, epochs: int) -> Iterator[str]:
    """Yield what is otherwise in the last and the best of several evaluations."""
    selection, looks = record.selection, values_of(record.selection, "looks")
    if not looks:
        yield "selection.looks has no looks"
        return
    counted = values_of(looks, selection["rule"])
    score = values_of(record.scores, str(looks.get("split"))).get(record.primary)
    if (counted.get("epoch"), counted.get("score")) != (selection["epoch"], score):
        yield f"selection.looks has another {selection['rule']} than the one that counts"
    last, best = values_of(looks, "last"), values_of(looks, "best")
    reached, most = last.get("score"), best.get("score")
    known = _is_number(reached) and _is_number(most) and last.get("epoch") == epochs
    if not known or _better(record, reached, most):
        yield "selection.looks has a last that is better than the best, or is of no last epoch"
    elif best.get("epoch") == epochs and reached != most:
        yield "selection.looks has two scores of the last epoch"


def of_tuning(record: Record) -> Iterator[str]:
    """Yield what is otherwise in the choice of options than tuning can have found.

    Whether the run has these options its config says: a method may act under other names of them.
    """
    science, tuning = by_key(record.science), record.tuning
    tuned, chosen = science.get("protocol.tune") is True, values_of(tuning, "chosen")
    if tuned and not chosen:
        yield "its science tunes, and it does not say what was chosen"
    left_open = {key for key, value in science.items() if value == TUNED}
    for key in sorted(key for key in left_open - chosen.keys() if key.startswith(_AS_TYPED)):
        yield f"its science leaves {key} to tuning, which chose none"
    if chosen:
        yield from _of_candidates(record, tuning, chosen)
    if not tuned:  # a method's own search names options as they act
        for key, value in chosen.items():
            if (acting := by_key({"method": record.method}).get(key, value)) != value:
                yield f"{key} is {quoted(acting)}, and its search chose {quoted(value)}"
        return
    yield from _of_trials(record, science, tuning, chosen)
    seed = science.get("protocol.tune_seed")
    val = values_of(science, "dataset.splits").get("val", SPLITS_BEFORE.val)
    expected = {
        "search": science.get("protocol.search", "grid"),
        "seed": record.seed if seed is None else seed,
        "split": val,
    }
    for key, value in expected.items():
        if key in tuning and tuning[key] != value:
            yield f"tuning.{key} is {quoted(tuning[key])}, and {quoted(value)} by its science"


def _of_trials(
    record: Record, science: Mapping[str, Any], tuning: Mapping[str, Any], chosen: Mapping[str, Any]
) -> Iterator[str]:
    """Yield which trials are otherwise than the search has them that the science asks for."""
    tried, grid = _candidates(tuning), dotted(values_of(science, "protocol.grid"))
    if tuning.get("trials") != len(tried):
        yield f"tuning names {len(tried)} of {quoted(tuning.get('trials'))} trials"
    # A grid may have keys of methods that this one is not.
    lists = {key: grid[key] for key in chosen if isinstance(grid.get(key), list)}
    search = tuning.get("search")
    for number, one in enumerate(tried):
        score = one.get("score")
        if one.get("status") != "completed" and score is not None:
            yield f"a trial is {quoted(one.get('status'))} and has the score {quoted(score)}"
        if score is not None and not is_score(score, record.primary):
            yield f"a trial scored {quoted(score)}, which no {record.primary} is"
        for key, values in lists.items():
            if not _may_be_drawn(one.get(key), values, search):
                yield f"tuning tried {key}={quoted(one.get(key))}, which its grid does not have"
        alike = [e for e in tried[:number] if all(e.get(key) == one.get(key) for key in chosen)]
        if alike and alike[0] != one:  # what is drawn twice is one run
            yield f"trial {number + 1} tried what an earlier one did, and is another"
    most = math.prod(map(len, lists.values()))
    asked = {"grid": most, "optuna": science.get("protocol.trials") if most > 1 else 1}
    count = asked.get(str(search), len(tried)) if lists else len(tried)
    if count != len(tried):
        yield f"tuning.trials is {len(tried)}, and its science asks for {quoted(count)}"


def _may_be_drawn(value: object, values: list[Any], search: object) -> bool:
    """Whether a search of ``values`` may try ``value``; Optuna draws numbers between them too."""
    numbers = search == "optuna" and all(map(_is_number, [value, *values]))
    return value in values or (numbers and min(values) <= value <= max(values))


def _candidates(tuning: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what was tried, or the best of it."""
    tried = tuning.get("candidates")
    return [one for one in tried if isinstance(one, dict)] if isinstance(tried, list) else []


def _of_candidates(
    record: Record, tuning: Mapping[str, Any], chosen: Mapping[str, Any]
) -> Iterator[str]:
    """Yield what is otherwise in what was tried than in what was chosen."""
    tried = [one for one in _candidates(tuning) if one.get("status") == "completed"]
    mine = [one for one in tried if all(one.get(key) == value for key, value in chosen.items())]
    if not mine:
        yield "tuning chose what it did not try"
        return
    if tuning.get("search") == RELEASED:  # a slip of it has the score of one count for another
        return
    reached = mine[0].get("score")
    for score in (one.get("score") for one in tried):
        if not _is_number(score) or not _is_number(reached) or _better(record, score, reached):
            yield f"tuning tried what scored {quoted(score)}, and chose {quoted(reached)}"
            return


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _better(record: Record, score: Any, than: Any) -> bool:
    """Whether ``score`` is better in the record's metric; not where that is not known here."""
    try:
        return find_metric(record.primary).better(score, than=than)
    except UserError:
        return False
