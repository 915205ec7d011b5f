"""Splits: rows that stay together, ragged rows, padding."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hydra_peft.data.split import Batch, Ragged, Reader, Split

ROWS = [[1, 2, 3], [], [4], [5, 6]]


def ragged() -> Ragged:
    values = torch.tensor([value for row in ROWS for value in row])
    return Ragged(values, torch.tensor([len(row) for row in ROWS]))


def as_lists(rows: Ragged) -> list[list[int]]:
    return [part.tolist() for part in rows.values.split(rows.lengths.tolist())]


@pytest.mark.parametrize("rows", [[3, 0, 0], [1], [2, 1, 3]])
def test_ragged_rows_at_positions(rows: list[int]) -> None:
    assert as_lists(ragged()[torch.tensor(rows)]) == [ROWS[row] for row in rows]


@pytest.mark.parametrize("rows", [slice(None), slice(1, 3), slice(4, 9)])
def test_ragged_rows_of_a_slice(rows: slice) -> None:
    assert as_lists(ragged()[rows]) == ROWS[rows]


def test_padding_to_a_multiple_says_what_is_real() -> None:
    dense, mask = ragged().padded(-1, multiple=4)
    assert dense.tolist() == [[1, 2, 3, -1], [-1] * 4, [4, -1, -1, -1], [5, 6, -1, -1]]
    assert mask.sum(dim=1).tolist() == [3, 0, 1, 2]
    assert ragged()[torch.tensor([1])].padded(0)[0].shape == (1, 1)


class Halves:
    """Images that are computed when they are read."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, rows: slice) -> Tensor:
        return torch.arange(4)[rows].view(-1, 1) / 2


def test_inputs_and_targets_of_an_example_stay_together() -> None:
    assert isinstance(Halves(), Reader)
    split = Split({"tokens": ragged(), "image": Halves()}, torch.tensor([7, 8, 9, 10]))
    batch = split.take(slice(2, 4))
    assert isinstance(batch, Batch)
    assert len(batch) == 2
    assert batch.targets.tolist() == [9, 10]
    chosen = split.in_memory(torch.device("cpu")).take(torch.tensor([3, 0]))
    tokens, image = chosen.inputs["tokens"], chosen.inputs["image"]
    assert isinstance(tokens, Ragged)
    assert as_lists(tokens) == [[5, 6], [1, 2, 3]]
    assert isinstance(image, Tensor)
    assert image.tolist() == [[1.5], [0.0]]
    assert chosen.targets.tolist() == [10, 7]


def test_a_split_has_a_target_for_every_row() -> None:
    with pytest.raises(AssertionError, match="image has a row for every target"):
        Split({"image": Halves()}, torch.tensor([1]))


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [4]), (2, [2, 2]), (3, [1, 1, 2]), (4, [1] * 4), (9, [1] * 4)]
)
def test_parts_of_a_batch_are_its_rows_in_order(count: int, sizes: list[int]) -> None:
    parts = list(Batch({"tokens": ragged()}, torch.arange(4)).parts(count))
    assert [len(part) for part in parts] == sizes
    assert torch.cat([part.targets for part in parts]).tolist() == [0, 1, 2, 3]
    tokens = [as_lists(part.inputs["tokens"]) for part in parts]  # type: ignore[arg-type]
    assert [row for part in tokens for row in part] == ROWS
