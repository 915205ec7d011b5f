"""Suite ``glue``: a training step on pairs of texts, what comes before it, and its memory.

Our step stands against a plain loop of transformers: pairs padded to the longest that the model
takes, a ``DataLoader``, the peft library's LoRA on the same layers, the same pairs in the same
batches. Each is a process of its own in each round, which does nothing else.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from hydra_peft.adaptation.injection import inject
from hydra_peft.adaptation.parameters import trainable_parameters
from hydra_peft.backbones.architectures import build_architecture
from hydra_peft.backbones.text_encoder import TextEncoder
from hydra_peft.backbones.transformers_package import transformers_package
from hydra_peft.backbones.weight_files import ASSETS
from hydra_peft.checkout import ROOT, option
from hydra_peft.data.sources.mini_glue import read_split
from hydra_peft.data.split import Split, Texts
from hydra_peft.data.token_cache import tokenized
from hydra_peft.data.tokenizer import Encoding, Tokenizer
from hydra_peft.heads.roberta import Roberta
from hydra_peft.optimizers.adamw import AdamW
from hydra_peft.schedules.linear import Linear
from hydra_peft.tasks import build_task
from hydra_peft.training.batches import Feed, shuffled_rows
from hydra_peft.training.devices import exact_float32
from hydra_peft.training.loop import Recipe, train
from hydra_peft.training.progress import Step
from hydra_peft.training.seeding import generator
from hydra_peft.workshop.timing._memory import Peak
from hydra_peft.workshop.timing._report import (
    Report,
    compared,
    in_ms,
    median,
    ratio,
    scratch_folder,
    synchronize,
)
from hydra_peft.workshop.timing.settings import GlueSettings

OURS, PLAIN = "ours", "plain loop, peft library"
#: the embedded text encoder, whose tokenizer is taken
_MINI = ASSETS / "roberta_mini"
#: words of a premise and of a hypothesis of MNLI, on average (Williams et al., arXiv 1704.05426)
WORDS = (20.1, 10.1)
#: of the logarithm of a text's words: the longest of a batch has three times the average
_SPREAD = 0.5
CLASSES = 3
RATE, DECAY, CLIP, WARMUP = 4e-4, 0.1, 1.0, 0.06
LORA: dict[str, Any] = {
    **{"targets": ["query", "value"], "rank": 8, "bias": False},
    **{"scale": 16.0, "rank_scale": "alpha_over_r", "init": "kaiming"},
}
#: pairs of MNLI's training set, and what tokenising them may take
MNLI, MOST_SECONDS = 390_000, 180


def run(device: torch.device, settings: GlueSettings, report: Report) -> None:
    """Measure tokenising, feeding and training steps on ``device``."""
    report.settings = {**vars(settings), "words": list(WORDS)}
    seconds = _tokenising(settings, report)
    rate = seconds * MNLI / settings.pairs
    said = f"tokenising {MNLI:,} pairs takes {rate:.0f} s"
    predicted = f", from {settings.pairs:,} of them" if settings.pairs != MNLI else ""
    report.notes.append(f"{said}{predicted} (goal: below {MOST_SECONDS} on 2 cores)")
    found: dict[str, list[dict[str, float]]] = {OURS: [], PLAIN: []}
    before = list(report.rows)
    for turn in range(settings.repeats):
        for name, measurements in found.items():
            report.say(f"round {turn + 1} of {settings.repeats}: {name}")
            measurements.append(in_process(name, settings, device))
            report.rows = [*before, *(_row(n, m, settings) for n, m in found.items() if m)]
            report.save()
    _compare(found, report)


def _row(name: str, found: list[dict[str, float]], settings: GlueSettings) -> dict[str, Any]:
    seconds = [one["seconds"] for one in found]
    return {
        "what": f"step, {name}",
        **in_ms(seconds),
        "texts/s": settings.batch_size / median(seconds),
        "peak MB": median([one["peak"] for one in found]) / 1e6,
    }


def _compare(found: dict[str, list[dict[str, float]]], report: Report) -> None:
    ours, plain = found[OURS], found[PLAIN]
    for key, title, goal in (("seconds", "step time", "0.5"), ("peak", "peak memory", "0.6")):
        both = {name: [one[key] for one in some] for name, some in found.items()}
        quotients = ratio(both, OURS, PLAIN)
        report.notes.append(compared(f"{title}, {OURS} / {PLAIN}", quotients, f"at most {goal}"))
    share = median([one["feeding"] / one["seconds"] for one in ours])
    report.notes.append(f"feeding takes {100 * share:.2f}% of our step (goal: below 1%)")
    widths = [f"{some[0]['width']:.0f} tokens ({name})" for name, some in found.items()]
    report.notes.append(
        f"batches are as wide as {' and '.join(widths)} on average; a pair has "
        f"{ours[0]['tokens']:.0f}"
    )
    assert ours[0]["trained"] == plain[0]["trained"], "both train the same layers"


def pairs(count: int) -> Texts:
    """Return ``count`` pairs of made-up texts, whose words are those of mini_glue's, as frequent.

    Lengths are log-normal with the averages of :data:`WORDS`.
    """
    draw = np.random.RandomState(0)
    written = " ".join(text for column in read_split("entail", "train")[0] for text in column)
    words = np.array(written.split())
    columns = []
    for average in WORDS:
        middle = np.log(average) - _SPREAD**2 / 2
        lengths = np.maximum(1, draw.lognormal(middle, _SPREAD, count).round()).astype(int)
        drawn = words[draw.randint(0, len(words), lengths.sum())]
        ends = lengths.cumsum()
        columns.append(
            [" ".join(drawn[end - n : end]) for end, n in zip(ends, lengths, strict=True)]
        )
    return Texts(tuple(columns))


def _tokenising(settings: GlueSettings, report: Report) -> float:
    """Return the seconds that tokenising takes; the cache of it is timed too."""
    texts, encoding = pairs(settings.pairs), Encoding(Tokenizer(_MINI), 512)
    taken = []
    with scratch_folder() as folder:
        for what in ("tokenise and keep", "take from the cache"):
            begun = time.perf_counter()
            tokenized(texts, encoding, folder, "bench")
            taken.append(time.perf_counter() - begun)
            report.add(
                {
                    "what": f"{what} {settings.pairs:,} pairs",
                    **in_ms([taken[-1]]),
                    "texts/s": settings.pairs / taken[-1],
                }
            )
    return taken[0]


def in_process(name: str, settings: GlueSettings, device: torch.device) -> dict[str, float]:
    """Return what :func:`measured` says of ``name``, from a process of its own."""
    asked = json.dumps(dataclasses.asdict(settings))
    command = [sys.executable, "-m", __name__, name, asked, str(device)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise RuntimeError(f"{name}: {last}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


@exact_float32()
def measured(name: str, settings: GlueSettings, device: torch.device) -> dict[str, float]:
    """Return what a step of ``name`` takes, after a first one on few tokens.

    Returns:
        ``seconds`` of a step, the mean; ``peak`` bytes beyond the model; ``width`` of a batch in
        tokens, the mean; ``trained`` parameters; for ours also ``feeding``, seconds a step, and
        ``tokens`` of a pair, the mean.
    """
    torch.manual_seed(0)
    arguments = dict(option("model", settings.model)["arguments"])
    arguments.pop("pooling", None)
    arguments["num_hidden_layers"] = min(settings.layers, arguments["num_hidden_layers"])
    count = settings.batch_size * settings.steps
    split = _split(count, arguments)
    work = _ours if name == OURS else _plain
    return work(arguments, split, settings, device)


def _split(count: int, arguments: dict[str, Any]) -> Split:
    most = min(512, arguments["max_position_embeddings"] - 2)
    encoded = Tokenizer(_MINI).encode(pairs(count), most)
    return Split(encoded, torch.arange(count) % CLASSES)


def _ours(
    arguments: dict[str, Any], split: Split, settings: GlueSettings, device: torch.device
) -> dict[str, float]:
    model = build_architecture("roberta", arguments)
    assert isinstance(model, TextEncoder)
    inject(model, "lora", head=Roberta().attach(model, CLASSES), **LORA)
    model.to(device)
    trained = list(trainable_parameters(model))
    optimizer = AdamW(RATE, weight_decay=DECAY, betas=[0.9, 0.999], eps=1e-8, decay="weights")
    rates = Linear(warmup_epochs=0, warmup_lr=0.0, min_lr=0.0, warmup_ratio=WARMUP).rates(RATE, 1)
    data, fed, widths = split.in_memory(device), [0.0], []

    def prepare(batch: Any) -> Any:
        begun = time.perf_counter()
        inputs = model.prepare(batch)
        fed[0] += time.perf_counter() - begun
        widths.append(inputs["input_ids"].shape[1])
        return inputs

    built = optimizer.build_for(model, trained)
    _first_step(lambda ids: model({"input_ids": ids, "attention_mask": ids > 0}), device)
    recipe = Recipe(1, settings.batch_size, False, rates, clip_grad=CLIP)
    task = build_task("classification", outputs=CLASSES, metrics=["accuracy"])
    steps = train(model, task, Feed(model, data, {}, prepare), recipe, optimizer=built)
    found = _timed((one for one in steps if isinstance(one, Step)), settings.steps, device)
    taking = time.perf_counter()
    for rows in _rows(len(data), settings.batch_size, device):
        data.take(rows)
    fed[0] += time.perf_counter() - taking
    lengths = cast(Any, split.inputs["tokens"]).lengths
    return {
        **found,
        "feeding": fed[0] / settings.steps,
        "width": float(np.mean(widths)),
        "tokens": float(lengths.float().mean()),
        "trained": float(sum(parameter.numel() for parameter in trained)),
    }


def _rows(count: int, batch_size: int, device: torch.device) -> Iterator[Tensor]:
    """Yield the batches of an epoch as a run with seed 0 has them."""
    order = generator(0, "batches")
    return shuffled_rows(count, batch_size, order, drop_last=False, device=device)


def _plain(
    arguments: dict[str, Any], split: Split, settings: GlueSettings, device: torch.device
) -> dict[str, float]:
    from peft import LoraConfig, get_peft_model

    package = transformers_package()
    config = package.AutoConfig.for_model("roberta", **arguments, num_labels=CLASSES)
    stock = package.AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    lora = LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, target_modules=["query", "value"])
    model: nn.Module = get_peft_model(cast(Any, stock), lora).to(device).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=DECAY)
    total = settings.steps
    schedule = package.get_linear_schedule_with_warmup(optimizer, -(-total * 6 // 100), total)
    most = config.max_position_embeddings - 2
    ids, mask = cast(Any, split.inputs["tokens"]).padded(config.pad_token_id, most)
    examples = [
        {"input_ids": one.long(), "attention_mask": there.long(), "labels": label}
        for one, there, label in zip(ids, mask, split.targets, strict=True)
    ]
    order = [rows.tolist() for rows in _rows(len(split), settings.batch_size, torch.device("cpu"))]
    loader = DataLoader(cast(Any, examples), batch_sampler=order)

    def steps() -> Iterator[None]:
        for batch in loader:
            there = {key: values.to(device) for key, values in batch.items()}
            model(**there).loss.backward()
            nn.utils.clip_grad_norm_(trained, CLIP)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            yield

    _first_step(lambda ids: model(input_ids=ids, attention_mask=ids > 0).logits, device)
    optimizer.zero_grad()
    found = _timed(steps(), settings.plain_steps, device)
    return {
        **found,
        "width": float(ids.shape[1]),
        "trained": float(sum(parameter.numel() for parameter in trained)),
    }


def _first_step(forward: Callable[[Tensor], Tensor], device: torch.device) -> None:
    """Compute a gradient on eight tokens: libraries set themselves up at the first call."""
    ids = torch.full((1, 8), 5, device=device)
    F.cross_entropy(forward(ids), torch.zeros(1, dtype=torch.int64, device=device)).backward()


def _timed(steps: Iterator[object], count: int, device: torch.device) -> dict[str, float]:
    peak = Peak(device)
    synchronize(device)
    begun = time.perf_counter()
    done = sum(1 for _ in islice(steps, count))
    synchronize(device)
    return {"seconds": (time.perf_counter() - begun) / done, "peak": peak.bytes()}


if __name__ == "__main__":
    name, asked, place = sys.argv[1:]
    found = measured(name, GlueSettings(**json.loads(asked)), torch.device(place))
    sys.stdout.write(json.dumps(found))
