"""The recipe of GLUE: steps and warm-up of the paper's scripts, decay groups, clipping, losses."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from tiny_texts import ROBERTA
from torch import Tensor, nn
from torch.nn import functional as F

import hydra_peft
from hydra_peft.adaptation.parameters import trainable_parameters
from hydra_peft.backbones.architectures import build_architecture
from hydra_peft.backbones.inputs import preparation
from hydra_peft.config.check import check_config
from hydra_peft.config.schema import RunConfig
from hydra_peft.data.split import Ragged, Split
from hydra_peft.errors import UserError
from hydra_peft.heads import head_class
from hydra_peft.optimizers._base import spared_parameters
from hydra_peft.optimizers.adamw import AdamW
from hydra_peft.schedules.linear import Linear
from hydra_peft.tasks import build_task
from hydra_peft.tasks.classification import Classification
from hydra_peft.training.batches import Feed, batch_count, shuffled_rows
from hydra_peft.training.distributed import World
from hydra_peft.training.evaluation import EVALUATION_BATCH, predict
from hydra_peft.training.loop import Recipe, train
from hydra_peft.training.progress import Step
from hydra_peft.training.seeding import generator
from hydra_peft.training.torchrun import Torchrun

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    # reference: the scripts of extremebird/Hydra's nlu on four GPUs: effective batch, steps of an
    # epoch, of all, of the warm-up
    ("task", "batch", "an_epoch", "total", "warmup"),
    [
        ("mnli", 32, 12_272, 368_160, 22_090),
        ("sst2", 64, 1_053, 63_180, 3_791),
        ("mrpc", 64, 58, 2_320, 140),
        ("cola", 16, 535, 42_800, 2_568),
        ("qnli", 32, 3_274, 81_850, 4_911),
        ("qqp", 64, 5_686, 142_150, 8_529),
        ("rte", 64, 39, 3_120, 188),
        ("stsb", 16, 360, 14_400, 864),
    ],
)
def test_steps_of_the_papers_table_13(
    compose_train: Callable[..., object],
    task: str,
    batch: int,
    an_epoch: int,
    total: int,
    warmup: int,
) -> None:
    config = check_config(compose_train(f"dataset=glue/{task}", "protocol=paper"))
    assert isinstance(config, RunConfig)
    train = config.train
    steps = batch_count(config.dataset.sizes["train"], train.batch_size, train.drop_last)
    assert (train.batch_size, steps, steps * train.epochs) == (batch, an_epoch, total)
    assert isinstance(config.scheduler, Linear)
    assert config.scheduler.warmup_steps(steps, train.epochs) == warmup
    rates = config.scheduler.rates(1.0, train.epochs)

    def rate(step: int) -> float:
        return rates(step // steps, step % steps, steps)

    assert rate(0) == 0.0
    assert rate(warmup - 1) < rate(warmup) == 1.0 > rate(warmup + 1)
    assert rate(total - 1) == pytest.approx(1 / (total - warmup))
    assert (train.clip_grad, config.optimizer.decay, config.precision) == (1.0, "weights", "fp32")


def text_split(count: int = 70) -> Split:
    draw = torch.Generator().manual_seed(2)
    lengths = torch.randint(3, 30, (count,), generator=draw)
    values = torch.randint(5, 60, (int(lengths.sum()),), generator=draw, dtype=torch.int32)
    targets = torch.randint(0, 3, (count,), generator=draw)
    return Split({"tokens": Ragged(values, lengths)}, targets)


def adapted() -> nn.Module:
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = build_architecture("roberta", {**ROBERTA, **still})
    names = head_class("roberta")(dropout=0.0).attach(model, 3)  # type: ignore[call-arg]
    options = {"targets": ["*[0-9].output.dense"], "init": "kaiming", "bias": True}
    hydra_peft.inject(model, "hydra", head=names, rank=2, **options)
    return model


def test_twenty_steps_are_those_of_a_plain_loop_with_transformers_schedule() -> None:
    from transformers import get_linear_schedule_with_warmup
    from transformers.trainer_pt_utils import get_parameter_names

    split, model = text_split(), adapted()
    plain = copy.deepcopy(model)
    lr, epochs, size = 0.05, 4, 16  # 5 steps an epoch
    rates = Linear(warmup_epochs=0, warmup_lr=0.0, min_lr=0.0, warmup_ratio=0.06).rates(lr, epochs)
    chosen = AdamW(lr=lr, weight_decay=0.1, betas=[0.9, 0.999], eps=1e-8, decay="weights")
    prepare = preparation(model, "backbone", CPU)
    steps = train(
        model,
        build_task("classification", outputs=3, metrics=["accuracy"]),
        Feed(model, split, {}, prepare),
        Recipe(epochs, size, False, rates, clip_grad=1.0, seed=3),
        optimizer=chosen.build_for(model, list(trainable_parameters(model))),
    )
    losses = [float(step.loss) for step in steps if isinstance(step, Step)]

    decayed = get_parameter_names(plain, [nn.LayerNorm], ["bias"])
    trained = [(n, p) for n, p in plain.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for n, p in trained if n in decayed], "weight_decay": 0.1},
        {"params": [p for n, p in trained if n not in decayed], "weight_decay": 0.0},
    ]
    assert all(group["params"] for group in groups)
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.999), eps=1e-8)
    schedule = get_linear_schedule_with_warmup(optimizer, 2, 20)  # ceil(1.2)
    order, expected, norms = generator(3, "batches"), [], []
    plain.train()
    for _ in range(epochs):
        for rows in shuffled_rows(len(split), size, order, drop_last=False):
            batch = split.take(rows)
            loss = F.cross_entropy(plain(prepare(batch)), batch.targets)
            optimizer.zero_grad()
            loss.backward()
            norms.append(float(nn.utils.clip_grad_norm_([p for _, p in trained], 1.0)))
            optimizer.step()
            schedule.step()
            expected.append(float(loss.detach()))
    assert losses == pytest.approx(expected, abs=1e-5)
    assert len(losses) == 20
    assert max(norms) > 1.0  # something was clipped


class Part(World):
    """One of two processes that share a batch, without the other."""

    size = 2
    share = Torchrun.share

    def __init__(self, rank: int) -> None:
        self.rank = rank


@pytest.mark.parametrize("accumulate", [1, 3])
def test_shares_of_a_batch_in_parts_have_the_gradient_of_the_batch(
    accumulate: int, randomize: Callable[[nn.Module], None]
) -> None:
    """Each part is as wide as its own longest text."""
    split, model = text_split(15), adapted()
    randomize(model)  # up-projections that are zero let no gradient through
    prepare = preparation(model, "backbone", CPU)
    widths: list[int] = []

    def noted(batch):  # type: ignore[no-untyped-def]
        widths.append(prepare(batch)["input_ids"].shape[1])
        return prepare(batch)

    def first_step(world: World, parts: int) -> tuple[Tensor, dict[str, Tensor]]:
        own = copy.deepcopy(model)
        optimizer = torch.optim.SGD([p for p in own.parameters() if p.requires_grad], lr=0.0)
        recipe = Recipe(1, 15, False, lambda *_: 0.0, accumulate=parts)
        task = build_task("classification", outputs=3, metrics=["accuracy"])
        feed = Feed(own, split, {}, noted)
        step = next(train(own, task, feed, recipe, optimizer=optimizer, world=world))
        assert isinstance(step, Step)
        return step.loss, {n: p.grad for n, p in own.named_parameters() if p.grad is not None}

    loss, whole = first_step(World(), 1)
    widths.clear()
    shares = [first_step(Part(rank), accumulate) for rank in (0, 1)]
    assert len(widths) == 2 * accumulate
    assert len(set(widths)) > 1 or accumulate == 1
    torch.testing.assert_close(sum(own for own, _ in shares), loss, rtol=0, atol=1e-6)
    for name, gradient in whole.items():
        assert gradient.any()
        found = sum(own[name] for _, own in shares)
        torch.testing.assert_close(found, gradient, rtol=0, atol=1e-6)


def test_what_is_spared_is_transformers_choice() -> None:
    from transformers.trainer_pt_utils import get_parameter_names

    model = build_architecture("roberta", ROBERTA)
    hydra_peft.inject(model, "full")
    decayed = set(get_parameter_names(model, [nn.LayerNorm], ["bias"]))
    spared = spared_parameters(model)
    own = {name for name, parameter in model.named_parameters() if parameter not in spared}
    assert own == decayed
    optimizer = AdamW(
        lr=1, weight_decay=0.1, betas=[0.9, 0.99], eps=1e-8, decay="weights"
    ).build_for(model, list(trainable_parameters(model)))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(
        list(model.parameters())
    )


def test_scores_do_not_depend_on_the_order_and_come_in_the_splits_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert EVALUATION_BATCH == 256
    monkeypatch.setattr("hydra_peft.training.evaluation.EVALUATION_BATCH", 16)
    split, model = text_split(), adapted()
    nn.init.normal_(model.classifier.out_proj.weight)
    prepare = preparation(model, "backbone", CPU)
    widths: list[int] = []

    def outputs(of: Split) -> torch.Tensor:
        def noted(batch):  # type: ignore[no-untyped-def]
            widths.append(prepare(batch)["input_ids"].shape[1])
            return prepare(batch)

        return predict(model, of, prepare=noted, device=CPU, precision="fp32")

    found = outputs(split)
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > widths[-1]
    with torch.no_grad():
        alone = torch.cat([model(prepare(split.take(slice(i, i + 1)))) for i in range(len(split))])
    torch.testing.assert_close(found, alone, rtol=0, atol=1e-5)
    order = torch.randperm(len(split))
    batch = split.take(order)
    turned = Split(batch.inputs, batch.targets)
    torch.testing.assert_close(outputs(turned), found[order], rtol=0, atol=1e-5)
    task = build_task("classification", outputs=3, metrics=["accuracy"])
    assert isinstance(task, Classification)
    assert task.scores(outputs(turned), turned.targets) == task.scores(found, split.targets)


def test_what_does_not_fit_a_schedule_is_one_sentence(compose_train: Callable[..., object]) -> None:
    with pytest.raises(UserError, match="both say how long the warm-up is"):
        Linear(warmup_epochs=1, warmup_lr=0.0, min_lr=0.0, warmup_ratio=0.1)
    with pytest.raises(UserError, match="moves by epochs"):
        check_config(
            compose_train(
                "scheduler=timm_cosine", "scheduler.warmup_ratio=0.1", "scheduler.warmup_epochs=0"
            )
        )
    with pytest.raises(UserError, match=r"optimizer\.decay=some is not allowed"):
        check_config(compose_train("optimizer.decay=some"))
