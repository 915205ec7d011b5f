"""Suite ``data``: building the cache of decoded images, and feeding training from it.

Both stand against what the released code does: a ``DataLoader`` with worker processes that decodes
every JPEG file in every epoch.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose, InterpolationMode, Normalize, Resize, ToTensor

from hydra_peft.benchmarks._report import Report, median, spread, timed
from hydra_peft.data.decoding import usable_cores
from hydra_peft.data.feeding import prepare_split
from hydra_peft.data.sources.image_lists import FileImages
from hydra_peft.data.splits import ImageSplit, SourceSplit, to_tensor
from hydra_peft.methods import build_method
from hydra_peft.models.architectures import build_architecture
from hydra_peft.runs.assembly import build_model
from hydra_peft.training.batches import Normalizer, shuffled_rows, to_device
from hydra_peft.training.optimizer import build_adamw

SIZE = (224, 224)
MEAN = STD = (0.5, 0.5, 0.5)


def run(device: torch.device, *, images: int, batch_size: int, repeats: int) -> Report:
    """Measure the way of ``images`` JPEG files (500 x 375 pixels) into training.

    Args:
        device: where the images are needed.
        images: number of files; VTAB-1k trains on 1000.
        batch_size: images a batch.
        repeats: times each figure is taken; the median is reported.
    """
    report = Report(
        "data",
        {
            "images": images,
            "pixels": [500, 375],
            "batch_size": batch_size,
            "repeats": repeats,
            "decoding_threads": usable_cores(),
            "loader_workers": 2,
        },
    )
    folder = Path(tempfile.mkdtemp(prefix="hydra_peft-bench-"))
    try:
        files = _write_files(folder, images)
        rates = {
            "build the cache": _build(files, folder, device, repeats),
            "feed from the cache": _feed(files, folder, device, batch_size, repeats),
            "DataLoader, 2 workers, JPEG each epoch": _loader(files, device, batch_size, repeats),
        }
    finally:
        shutil.rmtree(folder)
    step = _step(device, batch_size, repeats)
    for name, found in rates.items():
        report.rows.append({"what": name, "images/s": median(found), "range": spread(found)})
    report.rows.append(
        {
            "what": "ViT-B/16 training step, hydra r=2+2",
            "images/s": batch_size / median(step),
            "range": spread([batch_size / one for one in step]),
        }
    )
    feed = median(rates["feed from the cache"])
    loader = median(rates["DataLoader, 2 workers, JPEG each epoch"])
    share = (batch_size / feed) / median(step)
    report.notes = [
        f"feeding is {feed / loader:.0f} times as fast as the DataLoader (goal: at least 20)",
        f"feeding takes {100 * share:.2f}% of a ViT-B/16 training step (goal: below 1%)",
        "the files were just written: none of these figures waits for a disk",
    ]
    return report


def _write_files(folder: Path, count: int) -> list[Path]:
    random = np.random.RandomState(0)
    files = []
    for number in range(count):
        # Smooth noise: files of some 30 kB, as photographs of this size have.
        small = random.randint(0, 256, (47, 63, 3)).astype(np.uint8)
        file = folder / f"{number:06d}.jpg"
        Image.fromarray(small).resize((500, 375), Image.Resampling.BICUBIC).save(file)
        files.append(file)
    return files


def _prepare(files: list[Path], folder: Path, cache: Path) -> ImageSplit:
    images = FileImages(files, folder / "hashes.safetensors", "bench")
    split = SourceSplit(images, torch.zeros(len(files), dtype=torch.int64))
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
    split = to_device(_prepare(files, folder, folder / "cache0"), device)
    images = to_tensor(split)
    normalize = Normalizer(MEAN, STD, device)
    order = torch.Generator().manual_seed(0)

    def epoch() -> None:
        for rows in shuffled_rows(len(split), batch_size, order, drop_last=False, device=device):
            normalize(images, rows)

    epoch()
    return [len(files) / one for one in timed(epoch, device, repeats)]


class _Files(Dataset[torch.Tensor]):
    def __init__(self, files: list[Path]) -> None:
        self.files = files
        self.transform = Compose(
            [Resize(SIZE, InterpolationMode.BICUBIC), ToTensor(), Normalize(MEAN, STD)]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> torch.Tensor:
        pixels: torch.Tensor = self.transform(Image.open(self.files[row]).convert("RGB"))
        return pixels


def _loader(files: list[Path], device: torch.device, batch_size: int, repeats: int) -> list[float]:
    loader = DataLoader(
        _Files(files),
        batch_size,
        shuffle=True,
        num_workers=2,
        pin_memory=device.type == "cuda",
    )

    def epoch() -> None:
        for pixels in loader:
            pixels.to(device)

    return [len(files) / one for one in timed(epoch, device, repeats)]


def _step(device: torch.device, batch_size: int, repeats: int) -> list[float]:
    backbone = build_architecture("vit_base_patch16_224", {})
    adapted = build_model(
        backbone,
        build_method("hydra"),
        classes=100,
        seed=0,
        device=device,
        normalization="backbone",
    )
    model = adapted.model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = build_adamw(trained, lr=1e-3, weight_decay=1e-4, betas=(0.9, 0.999), eps=1e-8)
    pixels = torch.zeros(batch_size, 3, *SIZE, device=device)
    labels = torch.zeros(batch_size, dtype=torch.int64, device=device)

    def step() -> None:
        loss = torch.nn.functional.cross_entropy(model(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    step()
    return timed(step, device, repeats)
