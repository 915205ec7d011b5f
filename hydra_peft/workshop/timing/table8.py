"""Suite ``table8``: the paper's Table 8, three methods by 19 tasks, at VTAB-1k's true sizes."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hydra_peft.backbones.architectures import input_size
from hydra_peft.checkout import option
from hydra_peft.config.benchmarks import find_benchmark
from hydra_peft.data.split import Split
from hydra_peft.training.batches import Normalizer
from hydra_peft.training.devices import fastest_precision
from hydra_peft.training.evaluation import EVALUATION_BATCH
from hydra_peft.training.passes import Compute, compute_alone
from hydra_peft.workshop.timing._files import MEAN, STD
from hydra_peft.workshop.timing._models import (
    CLASSES,
    COMPARED,
    Training,
    adamw,
    build,
    compiled_where_it_pays,
    training_step,
)
from hydra_peft.workshop.timing._packs import (
    IN_TURN,
    TOGETHER,
    PackedRun,
    do_in_one_pack,
    packed_steps,
)
from hydra_peft.workshop.timing._report import Report, median, readable, timed, wanted
from hydra_peft.workshop.timing.settings import Table8Settings

#: minutes that the whole table may take on one H200
GOALS = {IN_TURN: 30, TOGETHER: 15}


@dataclass
class _Method:
    """A model that a method trains, with the measured seconds of its parts.

    Attributes:
        training: of the model, compiled where that pays.
        train, score: seconds an image.
    """

    training: Training
    train: float
    score: float


@dataclass(frozen=True)
class _Run:
    """One of the 57 runs: its method, task, and images to train on and to score."""

    method: str
    task: str
    images: int
    tested: int


@dataclass(frozen=True)
class _Work:
    """What is timed as one: a run, or a pack of them.

    Attributes:
        row: its cells of the table.
        predicted: seconds.
        do: does it.
    """

    row: dict[str, str]
    predicted: float
    do: Callable[[], object]


@dataclass
class _Bench:
    """What all runs have in common.

    Attributes:
        runs: those of the table, short ones first, methods in turn.
        methods: by their titles, in which runs are done one after another.
    """

    device: torch.device
    precision: str
    settings: Table8Settings
    report: Report
    runs: list[_Run]
    methods: dict[str, _Method]

    def training(self, name: str, *, compiled: bool) -> Training:
        """Return how a new model of method ``name`` is trained."""
        model = build(name, self.settings.architecture, self.device)
        if compiled:
            model = compiled_where_it_pays(model, self.device)
        prepare = Normalizer(MEAN, STD, self.device)
        return Training(model, prepare, self.device, self.precision)

    def batches(self) -> tuple[int, int]:
        """Return the images of a step and of a pass of scoring from which runs are predicted."""
        if self.device.type == "cpu":
            few = min(self.settings.batch_size, 16)
            return few, few
        return self.settings.batch_size, EVALUATION_BATCH


def run(device: torch.device, settings: Table8Settings, report: Report) -> None:
    """Measure the parts of all 57 runs, one after another and in packs; do as many whole runs and
    packs as fit, and predict the others.

    Images are random and in memory.
    """
    limit = time.perf_counter() + settings.seconds
    bench = _Bench(
        device, fastest_precision(device.type), settings, report, _runs(settings.divide), {}
    )
    report.settings = {
        **vars(settings),
        "precision": bench.precision,
        "tasks": len({one.task for one in bench.runs}),
        "images": "random",
    }
    report.label = "predicted"
    for name in COMPARED:
        report.say(f"{name}: steps and scoring")
        bench.methods[name] = _measure_parts(name, bench)
        _tell_predicted(name, bench)
    works = {IN_TURN: _one_after_another(bench)}
    if settings.pack > 1:
        report.say(f"{_title(settings.pack)}: steps")
        works[TOGETHER] = _in_packs(bench)
    if wanted(settings.timed, device.type == "cuda"):
        _do_whole(works, bench, limit)
    else:
        totals = {way: sum(work.predicted for work in found) for way, found in works.items()}
        _tell_totals(totals, dict.fromkeys(totals, "predicted"), bench)
    report.notes.append("decoding of files into the cache is left out, see suite data")


def _runs(divide: int) -> list[_Run]:
    """Return the runs of the table, each task of VTAB-1k with its true numbers of images."""
    found = []
    for task in sorted(find_benchmark("vtab1k").tasks):
        sizes = option("dataset", task)["sizes"]
        images, tested = (max(1, sizes[split] // divide) for split in ("train", "test"))
        found += [_Run(method, task, images, tested) for method in COMPARED]
    return sorted(found, key=lambda one: (one.images + one.tested, one.task))


def _measure_parts(name: str, bench: _Bench) -> _Method:
    training = bench.training(name, compiled=True)
    model, device = training.model, bench.device
    batch, scored = bench.batches()
    step = training_step(model, batch, device, bench.precision)
    images = _random(scored, input_size(model))

    def score() -> None:
        training.score(images)

    calls = 20 if device.type == "cuda" else 1
    seconds = []
    for work in (step, score):
        model.train(work is step)
        work()
        seconds.append(median(timed(work, device, bench.settings.repeats, calls=calls)))
    return _Method(training, seconds[0] / batch, seconds[1] / scored)


def _tell_predicted(name: str, bench: _Bench) -> None:
    """Add the row of all runs of a method, and the sentence on how its seconds are predicted."""
    method, own = bench.methods[name], [one for one in bench.runs if one.method == name]
    trained = bench.settings.epochs * sum(one.images for one in own)
    tested = sum(one.tested for one in own)
    seconds = trained * method.train + tested * method.score
    batch, scored = bench.batches()
    bench.report.add({"method": name, "task": "all", "s": seconds, "label": "predicted"})
    bench.report.notes.append(
        f"{name}: {trained:,} images x {1000 * method.train:.3g} ms + {tested:,} test images x "
        f"{1000 * method.score:.3g} ms = {seconds / 3600:.3g} hours, measured in batches of "
        f"{batch} and {scored}"
    )


def _one_after_another(bench: _Bench) -> list[_Work]:
    """Return each run as a work of its own."""
    works = []
    for one in bench.runs:
        method = bench.methods[one.method]
        seconds = bench.settings.epochs * one.images * method.train + one.tested * method.score
        do = functools.partial(_do_run, method.training, one, bench.settings)
        works.append(_Work({"method": one.method, "task": one.task}, seconds, do))
    return works


def _in_packs(bench: _Bench) -> list[_Work]:
    """Return packs of runs that share their steps, and say how their seconds are predicted.

    As in a sweep, steps of packs are not compiled.
    """
    settings, report = bench.settings, bench.report
    most = min(settings.pack, len(bench.runs))
    # Methods take turns in ``runs``, so no pack has more than these of each.
    each = range(-(-most // len(COMPARED)))
    members = {name: [bench.training(name, compiled=False) for _ in each] for name in COMPARED}
    packs = [
        _Pack(members, bench.runs[start : start + most])
        for start in range(0, len(bench.runs), most)
    ]
    batch, _ = bench.batches()
    step = packed_steps(
        [PackedRun(one.model, batch, bench.device, bench.precision) for one in packs[0].trainings]
    )[0][TOGETHER]
    step()
    calls = 20 if bench.device.type == "cuda" else 1
    seconds = median(timed(step, bench.device, settings.repeats, calls=calls)) / (batch * most)
    works = [pack.work(seconds, bench) for pack in packs]
    total = sum(work.predicted for work in works)
    title = _title(most)
    report.add({"method": title, "task": "all", "s": total, "label": "predicted"})
    report.notes.append(
        f"{title}: {1000 * seconds:.3g} ms an image in training, measured in steps of {most} "
        f"batches of {batch}; scoring takes what it takes one after another"
    )
    return works


class _Pack:
    """Runs that share their steps.

    Args:
        members: models by method, at least as many as ``runs`` need.
        runs: of the table.

    Attributes:
        runs: the same.
        trainings: of each a member of its method.
    """

    def __init__(self, members: Mapping[str, Sequence[Training]], runs: Sequence[_Run]) -> None:
        free = {name: iter(of_method) for name, of_method in members.items()}
        self.runs = runs
        self.trainings = [next(free[one.method]) for one in runs]

    def work(self, train: float, bench: _Bench) -> _Work:
        """Return it as what is timed as one.

        Args:
            train: seconds of an image in a step of all.
        """
        epochs = bench.settings.epochs
        seconds = sum(
            epochs * one.images * train + one.tested * bench.methods[one.method].score
            for one in self.runs
        )
        tasks = ", ".join(dict.fromkeys(one.task for one in self.runs))
        row = {"method": _title(len(self.runs)), "task": tasks}
        return _Work(row, seconds, lambda: self._do(bench.settings))

    def _do(self, settings: Table8Settings) -> None:
        do_in_one_pack(
            [
                functools.partial(_do_run, training, one, settings)
                for training, one in zip(self.trainings, self.runs, strict=True)
            ]
        )


def _title(count: int) -> str:
    return f"{count} runs together" if count > 1 else "the run that is left"


def _do_run(
    training: Training, one: _Run, settings: Table8Settings, compute: Compute = compute_alone
) -> None:
    """Train and score."""
    size = input_size(training.model)
    training.train(
        _random(one.images, size).in_memory(training.device),
        adamw(training.model),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        compute=compute,
    )
    training.score(_random(one.tested, size))


def _do_whole(works: Mapping[str, Sequence[_Work]], bench: _Bench, limit: float) -> None:
    """Do whole runs and packs, those that are short first, until ``limit``; a row for each.

    Each way gets the same share of the time, the last one also what is left.
    """
    report = bench.report
    report.rows = []  # from now on of whole runs
    totals, labels = {}, {}
    for left, (way, of_way) in zip(range(len(works), 0, -1), works.items(), strict=True):
        now = time.perf_counter()
        until = now + (limit - now) / left
        if way == IN_TURN and not bench.settings.alone:
            until = now
        totals[way], labels[way] = _do_until(until, of_way, way, bench)
    _tell_totals(totals, labels, bench)


def _do_until(until: float, works: Sequence[_Work], way: str, bench: _Bench) -> tuple[float, str]:
    """Do what fits; return the seconds of all, and whether they are measured or predicted."""
    report, total, quotients, labels = bench.report, 0.0, [], set()
    for work in works:
        seconds, label = work.predicted, "predicted"
        if time.perf_counter() + seconds < until:
            (seconds,), label = timed(work.do, bench.device, 1), "measured"
            quotients.append(seconds / work.predicted)
        labels.add(label)
        total += seconds
        report.add({**work.row, "s": seconds, "label": label})
    if quotients:
        report.notes.append(
            f"{way}: {len(quotients)} of {len(works)} were done whole and took "
            f"{readable(median(quotients))} of what was predicted"
        )
    return total, " and ".join(sorted(labels))


def _tell_totals(totals: Mapping[str, float], labels: Mapping[str, str], bench: _Bench) -> None:
    """Note the minutes of the whole table by way, against their goals and each other."""
    report = bench.report
    report.label = " and ".join(
        sorted({part for one in labels.values() for part in one.split(" and ")})
    )
    for way, seconds in totals.items():
        report.notes.append(
            f"whole table, {way}, {labels[way]}: {readable(seconds / 60)} minutes (goal on one "
            f"H200: at most {GOALS[way]})"
        )
    if TOGETHER in totals:
        quotient = readable(totals[TOGETHER] / totals[IN_TURN])
        report.notes.append(f"whole table, {TOGETHER} / {IN_TURN}: {quotient}")


class _Noise:
    """Random images as a split reads them; there are no more different ones than a batch has."""

    def __init__(self, count: int, size: tuple[int, int]) -> None:
        self._count, self._size = count, size

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, rows: slice) -> Tensor:
        wanted = len(range(*rows.indices(self._count)))
        images = _noise(*self._size)
        return images.repeat(-(-wanted // len(images)), 1, 1, 1)[:wanted]


def _random(count: int, size: tuple[int, int]) -> Split:
    return Split({"image": _Noise(count, size)}, torch.arange(count) % CLASSES)


@functools.cache
def _noise(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (EVALUATION_BATCH, 3, height, width), dtype=torch.uint8)
