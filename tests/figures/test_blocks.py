"""Blocks of models by their rows of modules, whatever these are called."""

from __future__ import annotations

from torch import nn

from hydra_peft.figures._blocks import block_numbers, place


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.mlp = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))


class Stage(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()
        self.downsample = nn.Linear(2, 2)
        self.blocks = nn.ModuleList(Block() for _ in range(depth))


def test_a_row_of_layers_in_an_encoder() -> None:
    encoder = nn.ModuleDict({"layer": nn.ModuleList([Block(), Block()])})
    head = nn.ModuleDict({"dense": nn.Linear(2, 2)})
    numbers = block_numbers(nn.ModuleDict({"encoder": encoder, "head": head}))
    assert numbers == {"encoder.layer.0": 1, "encoder.layer.1": 2}
    assert place("encoder.layer.1.mlp.0", numbers) == (2, "mlp.0")
    assert place("head.dense", numbers) == (0, "head.dense")


def test_blocks_are_counted_through_stages() -> None:
    stem = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1))
    model = nn.ModuleDict({"stem": stem, "stages": nn.Sequential(Stage(2), Stage(1))})
    numbers = block_numbers(model)
    assert list(numbers) == ["stages.0.blocks.0", "stages.0.blocks.1", "stages.1.blocks.0"]
    assert place("stages.1.blocks.0.fc", numbers) == (3, "fc")
    # What belongs to a stage is in none of its blocks.
    assert place("stages.1.downsample", numbers) == (0, "stages.1.downsample")


def test_rows_of_bare_layers_are_no_blocks() -> None:
    assert block_numbers(nn.ModuleDict({"mlp": nn.Sequential(nn.Linear(2, 2))})) == {}
