"""``protocol``: training split, scored split, selection of an epoch, tuning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from hydra_peft.config.grid import COARSE_TO_FINE, RELEASED
from hydra_peft.config.schema._group import Group, Seed, check_short_name
from hydra_peft.errors import UserError
from hydra_peft.limits import Limits, Share, Words
from hydra_peft.schedules._base import EndRate, Epochs

Selection = Annotated[str, Words("last", "best")]
#: how tuning goes through ``protocol.grid``
SEARCHES = ("grid", "optuna", *COARSE_TO_FINE)


@dataclass(frozen=True)
class FillsConfig(Group, key="protocol.fills"):
    """``protocol.fills``: what a protocol decides for other groups, which point here.

    Attributes:
        recipe: which of the task's recipe versions holds.
        init: of down-projections (``method.init``).
        drop_path: stochastic depth rate (``model.drop_path``).
        drop_last: whether smaller last batches are left out (``train.drop_last``).
        normalization: of images (``data.normalization``).
        schedule: ``scheduler.name`` of ``scheduler=by_protocol``; ``period_epochs`` and ``min_lr``
            likewise.
        precision: of computing (``precision``); configs of older code have it there alone.
        eval_after: of ``train``.
        clip_grad: largest norm of the gradient (``train.clip_grad``); null does not clip.
        decay: what ``optimizer.weight_decay`` acts on (``optimizer.decay``).
        warmup_ratio: share of all steps that the warm-up takes (``scheduler.warmup_ratio``).
        warmup_lr: learning rate at the first step (``scheduler.warmup_lr``).
    """

    recipe: str
    init: str
    drop_path: Share
    drop_last: bool
    normalization: str
    schedule: str
    period_epochs: Epochs | None
    min_lr: EndRate
    precision: str = "fp32"
    eval_after: Epochs | None = None
    clip_grad: float | None = None
    decay: str = "all"
    warmup_ratio: Share = 0.0
    warmup_lr: EndRate = 1e-6


@dataclass(frozen=True)
class ProtocolConfig(Group, key="protocol"):
    """``protocol``: what is trained on, what is scored, and which epoch counts.

    Attributes:
        name: goes into every record and table.
        train_split: the split that is trained on; ``conf`` points to a role of
            ``dataset.splits``.
        evaluate_split: the split that is scored; likewise.
        selection: ``last`` epoch, or the ``best`` of the evaluations on ``evaluate_split``.
        select_split: the split whose evaluations choose the epoch in the place of
            ``evaluate_split``, which is then scored once, at the end; null for none.
        evaluate_every: epochs between evaluations; null evaluates once, at the end.
        tune: choose out of ``grid`` on the held-out split (``val``) after training on ``fit``,
            then do the run with what was chosen.
        grid: what is tried: lists of values by dotted key of the config
            (:mod:`hydra_peft.config.grid`).
        fills: what other groups take from the protocol.
        search: ``grid`` tries every combination of ``grid``; ``optuna`` draws ``trials`` of them
            out of the ranges that its values span.
            ``elevater`` and ``elevater_released`` go through learning rates and weight decays
            (:mod:`hydra_peft.runs.coarse_to_fine`).
        trials: how many ``optuna`` tries.
        trial_epochs: epochs of what is tried; null takes the run's.
        trial_selection: which epoch of what is tried counts: the ``last``, or the ``best``.
        tune_seed: the seed of what is tried, by a method's own search too; null takes the run's
            own, so each seed chooses for itself. With a number one choice serves all seeds, and is
            searched for once.
    """

    name: str
    train_split: str
    evaluate_split: str
    selection: Selection
    evaluate_every: Epochs | None
    tune: bool
    grid: dict[str, Any]
    fills: FillsConfig
    search: Annotated[str, Words(*SEARCHES)] = "grid"
    trials: Annotated[int, Limits(least=1, most=100_000)] = 20
    tune_seed: Seed | None = None
    trial_epochs: Epochs | None = None
    trial_selection: Selection = "last"
    select_split: str | None = None

    @property
    def chosen_on(self) -> str:
        """The split that is scored after epochs, and chooses one where any is chosen."""
        return self.select_split or self.evaluate_split

    def __post_init__(self) -> None:
        super().__post_init__()
        check_short_name("protocol.name", self.name)
        if self.selection == "best" and self.evaluate_every is None:
            raise UserError("protocol.selection=best needs protocol.evaluate_every: set it to 1.")
        if self.tune and self.selection != "last" and self.search != RELEASED:
            raise UserError(
                "protocol.tune=true scores the last epoch on the test set once, while "
                f"protocol.name={self.name} selects the best of several: use protocol=clean."
            )
