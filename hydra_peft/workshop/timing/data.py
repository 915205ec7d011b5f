"""Suite ``data``: building the cache of decoded images, and feeding training from it.

Both stand against what the released code does: a ``DataLoader`` with worker processes that decodes
every JPEG file in every epoch.
"""

from __future__ import annotations

from pathlib import Path

import torch

from hydra_peft.cores import usable_cores
from hydra_peft.data.feeding import prepare_split
from hydra_peft.data.images import FileImages
from hydra_peft.data.split import Split
from hydra_peft.training.batches import Normalizer, shuffled_rows
from hydra_peft.training.devices import fastest_precision
from hydra_peft.workshop.timing._files import (
    MEAN,
    PIXELS,
    SIZE,
    STD,
    plain_loader,
    write_files,
)
from hydra_peft.workshop.timing._models import HYDRA, build, training_step
from hydra_peft.workshop.timing._report import Report, median, scratch_folder, spread, timed
from hydra_peft.workshop.timing.settings import DataSettings

WORKERS = 2


def run(device: torch.device, settings: DataSettings, report: Report) -> None:
    """Measure the way of JPEG files (500 x 375 pixels) into training on ``device``."""
    images, batch_size, repeats = settings.images, settings.batch_size, settings.repeats
    report.settings = {
        **vars(settings),
        "pixels": list(PIXELS),
        "decoding_threads": usable_cores(),
        "loader_workers": WORKERS,
    }

    def measured(what: str, rates: list[float]) -> float:
        report.add({"what": what, "images/s": median(rates), "range": spread(rates)})
        return median(rates)

    with scratch_folder() as folder:
        files = write_files(folder, images)
        measured("build the cache", _build(files, folder, device, repeats))
        feed = measured("feed from the cache", _feed(files, folder, device, batch_size, repeats))
        loader = measured(
            "DataLoader, 2 workers, JPEG each epoch", _loader(files, device, batch_size, repeats)
        )
    step = _step(device, batch_size, repeats)
    measured("ViT-B/16 training step, hydra r=2+2", [batch_size / one for one in step])
    share = (batch_size / feed) / median(step)
    report.notes = [
        f"feeding is {feed / loader:.0f} times as fast as the DataLoader (goal: at least 20)",
        f"feeding takes {100 * share:.2f}% of a ViT-B/16 training step (goal: below 1%)",
        "the files were just written: none of these figures waits for a disk",
    ]


def _prepare(files: list[Path], folder: Path, cache: Path) -> Split:
    images = FileImages(files, folder / "hashes.safetensors", "bench", files[0].parent)
    split = Split({"image": images}, torch.zeros(len(files), dtype=torch.int64))
    return prepare_split(split, size=SIZE, cache=cache, title="bench")


def _build(files: list[Path], folder: Path, device: torch.device, repeats: int) -> list[float]:
    caches = iter(range(repeats))
    seconds = timed(
        lambda: _prepare(files, folder, folder / f"cache{next(caches)}"), device, repeats
    )
    return [len(files) / one for one in seconds]


def _feed(
    files: list[Path], folder: Path, device: torch.device, batch_size: int, repeats: int
) -> list[float]:
    split = _prepare(files, folder, folder / "cache0").in_memory(device)
    normalize = Normalizer(MEAN, STD, device)
    order = torch.Generator().manual_seed(0)

    def epoch() -> None:
        for rows in shuffled_rows(len(split), batch_size, order, drop_last=False, device=device):
            normalize(split.take(rows))

    epoch()
    return [len(files) / one for one in timed(epoch, device, repeats)]


def _loader(files: list[Path], device: torch.device, batch_size: int, repeats: int) -> list[float]:
    loader = plain_loader(
        files, [0] * len(files), batch_size, device, shuffle=True, workers=WORKERS
    )

    def epoch() -> None:
        for pixels, _ in loader:
            pixels.to(device)

    return [len(files) / one for one in timed(epoch, device, repeats)]


def _step(device: torch.device, batch_size: int, repeats: int) -> list[float]:
    model = build(HYDRA, "vit_base_patch16_224", device)
    step = training_step(model, batch_size, device, fastest_precision(device.type))
    step()
    return timed(step, device, repeats)
