"""What is refused when an adapter is saved, and which folders one is saved in and loaded from."""

from __future__ import annotations

import copy
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, remove_weight_norm, weight_norm

import hydra_peft
from hydra_peft import UserError

Fill = Callable[[nn.Module], None]
Change = Callable[[nn.Module], object]


@pytest.fixture
def adapted(tiny: nn.Module, randomize: Fill) -> nn.Module:
    """A copy of ``tiny`` with LoRA on four layers, as after training."""
    model = copy.deepcopy(tiny)
    hydra_peft.inject(model, "lora", rank=2)
    randomize(model)
    return model


@pytest.mark.parametrize("folder", ["", "a\0b", "a\ud800", None, 3, b"a", ["a"]])
def test_what_names_no_folder(tiny: nn.Module, adapted: nn.Module, folder: object) -> None:
    with pytest.raises(UserError, match=r"^the folder to save in is .*, expected the path of a"):
        hydra_peft.save_adapter(adapted, folder)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^the folder to load from is .*, expected the path of a"):
        hydra_peft.load_adapter(tiny, folder)  # type: ignore[arg-type]
    hydra_peft.inject(tiny, "lora")  # it is as it was


def test_what_is_on_the_hub_is_no_folder_to_save_in(adapted: nn.Module) -> None:
    with pytest.raises(UserError, match=r"^the folder to save in is 'hf://a/b', expected"):
        hydra_peft.save_adapter(adapted, "hf://a/b")


@pytest.mark.parametrize(
    ("make", "below", "reason"),
    [
        (lambda place: place.write_text("x"), ".", "there is a file of that name"),
        (lambda place: place.write_text("x"), "a/b", "part of the path is a file"),
        (lambda place: place.symlink_to("gone"), ".", "it is a link to .*gone, which is not there"),
        (lambda place: place.symlink_to("gone"), "a", "it is a link to .*gone, which is not there"),
        (os.mkfifo, ".", "there is a file of that name"),
        (lambda place: (place / "adapter.json").mkdir(parents=True), ".", "a folder of that name"),
        (lambda place: place.mkdir(), 300 * "n", "the name is too long"),
    ],
)
def test_a_folder_that_cannot_be_made_or_written(
    adapted: nn.Module, tmp_path: Path, make: Callable[[Path], object], below: str, reason: str
) -> None:
    place = tmp_path / "place"
    make(place)
    with pytest.raises(UserError, match=rf"^cannot write at .*place.*{reason}; the adapter was"):
        hydra_peft.save_adapter(adapted, place / below)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EINVAL])
def test_a_disk_that_takes_nothing(
    adapted: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("hydra_peft.files.os.fsync", refuse)
    with pytest.raises(
        UserError, match=rf"^cannot write .*{tmp_path}.*; the adapter was not saved"
    ):
        hydra_peft.save_adapter(adapted, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_home_and_links_to_folders_are_followed(
    tiny: nn.Module, adapted: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    hydra_peft.save_adapter(adapted, "~/link")
    assert (tmp_path / "there" / "adapter.json").is_file()
    hydra_peft.load_adapter(tiny, "~/there")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["head.bias", "blocks.1.mlp.fc2.parallel.up.weight"])
def test_values_that_are_not_finite_are_not_saved(
    adapted: nn.Module, tmp_path: Path, name: str, value: float
) -> None:
    adapted.get_parameter(name).data.view(-1)[1] = value
    with pytest.raises(UserError, match=rf"^'{name}' has values that are not finite"):
        hydra_peft.save_adapter(adapted, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


class Masked(nn.Module):
    """A model with a mask as attention has it: minus infinity for what may not be seen."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 3)
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf, 0.0]))
        self.head = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.softmax(self.body(x) + self.mask, -1))


def test_a_mask_of_infinite_values_is_saved_and_loaded(tmp_path: Path) -> None:
    model, fresh, x = Masked(), Masked(), torch.randn(4, 3)
    hydra_peft.inject(model, "full")
    hydra_peft.save_adapter(model, tmp_path)
    hydra_peft.load_adapter(fresh, tmp_path)
    assert torch.equal(fresh(x), model(x))
    path = tmp_path / "adapter.safetensors"
    tensors = load_file(path)
    save_file({**tensors, "mask": tensors["mask"] * 0}, path)  # 0 * inf is not a number
    with pytest.raises(UserError, match="'mask' has values that are not finite"):
        hydra_peft.load_adapter(Masked(), tmp_path)
    model.mask[0] = torch.nan
    with pytest.raises(UserError, match="'mask' has values that are not finite"):
        hydra_peft.save_adapter(model, tmp_path)


def _prune(layer: nn.Module) -> None:
    prune.l1_unstructured(layer, "weight", amount=0.5)


COMPUTED: dict[str, tuple[Change, Change]] = {
    "pruned": (_prune, lambda layer: prune.remove(layer, "weight")),
    "normalised": (weight_norm, remove_weight_norm),
    "parametrized": (
        parametrizations.weight_norm,
        lambda layer: parametrize.remove_parametrizations(layer, "weight"),
    ),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize(("compute", "remove"), COMPUTED.values(), ids=COMPUTED)
@pytest.mark.parametrize("layer", ["head", "blocks.0.attn.proj.parallel.down"])
def test_weights_that_are_computed_are_made_parameters_before_saving(
    tiny: nn.Module,
    adapted: nn.Module,
    tmp_path: Path,
    layer: str,
    compute: Change,
    remove: Change,
) -> None:
    compute(adapted.get_submodule(layer))
    with pytest.raises(UserError, match=rf"^'{layer}\.weight' is pruned, .* since inject\(\)"):
        hydra_peft.save_adapter(adapted, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
    remove(adapted.get_submodule(layer))
    hydra_peft.save_adapter(adapted, tmp_path)
    hydra_peft.load_adapter(tiny, tmp_path)
    x = torch.randn(4, 12)
    assert torch.equal(tiny(x), adapted(x))


def test_weights_that_were_computed_before_are_saved_as_they_are(
    tiny: nn.Module, tmp_path: Path
) -> None:
    for name in ("head", "blocks.1.mlp.fc1"):
        parametrizations.weight_norm(tiny.get_submodule(name))
    model = copy.deepcopy(tiny)
    hydra_peft.inject(model, "lora", rank=2)
    nn.init.normal_(model.head.parametrizations.weight.original1)
    hydra_peft.save_adapter(model, tmp_path)
    hydra_peft.load_adapter(tiny, tmp_path)
    x = torch.randn(4, 12)
    assert torch.equal(tiny(x), model(x))


def test_nothing_is_loaded_into_a_model_without_values(adapted: nn.Module, tmp_path: Path) -> None:
    hydra_peft.save_adapter(adapted, tmp_path)
    with torch.device("meta"):
        empty = type(adapted)()
    for check in (True, False):
        with pytest.raises(UserError, match="meta device and has no values to load into"):
            hydra_peft.load_adapter(empty, tmp_path, check_weights=check)


def test_a_head_of_another_width_is_not_put_in_place(
    tiny: nn.Module, adapted: nn.Module, tmp_path: Path
) -> None:
    hydra_peft.save_adapter(adapted, tmp_path)
    path = tmp_path / "adapter.safetensors"
    save_file({**load_file(path), "head.weight": torch.zeros(3, 13)}, path)
    with pytest.raises(UserError, match=r"'head.weight' has shape \(3, 13\), expected \(3, 12\)"):
        hydra_peft.load_adapter(tiny, tmp_path)


def test_a_saving_that_is_cut_short_is_not_taken_for_the_one_before(
    tiny: nn.Module, adapted: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hydra_peft.save_adapter(adapted, tmp_path)
    other = copy.deepcopy(tiny)
    hydra_peft.inject(other, "lora", rank=2, scale=4.0)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("hydra_peft.adaptation.storage.write_json", full)
        with pytest.raises(UserError, match="the disk is full; the adapter was not saved"):
            hydra_peft.save_adapter(other, tmp_path)
    with pytest.raises(UserError, match=r"json does not describe the adapter\.safetensors beside"):
        hydra_peft.load_adapter(copy.deepcopy(tiny), tmp_path)
    hydra_peft.save_adapter(other, tmp_path)
    hydra_peft.load_adapter(tiny, tmp_path)


def test_a_setting_that_was_edited_is_noticed(
    tiny: nn.Module, adapted: nn.Module, tmp_path: Path
) -> None:
    hydra_peft.save_adapter(adapted, tmp_path)
    config = tmp_path / "adapter.json"
    config.write_text(config.read_text().replace('"scale": 1.0', '"scale": 2.0'))
    with pytest.raises(UserError, match="one was edited"):
        hydra_peft.load_adapter(tiny, tmp_path)


class Cosine(nn.Linear):
    """A head with a forward of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(nn.functional.normalize(x))


def test_a_head_with_a_forward_of_its_own_is_not_replaced_by_a_plain_one(
    tiny: nn.Module, tmp_path: Path
) -> None:
    model = copy.deepcopy(tiny)
    model.head, tiny.head = Cosine(12, 5), Cosine(12, 3)
    hydra_peft.inject(model, "linear")
    hydra_peft.save_adapter(model, tmp_path)
    with pytest.raises(UserError, match=r"'head\..*' has shape \(5.*\), expected \(3"):
        hydra_peft.load_adapter(copy.deepcopy(tiny), tmp_path)
    tiny.head, x = Cosine(12, 5), torch.randn(4, 12)
    hydra_peft.load_adapter(tiny, tmp_path)
    assert torch.equal(tiny(x), model(x))


@pytest.mark.parametrize("method", ["linear", "full"])
@pytest.mark.parametrize("mode", [nn.Module.train, hydra_peft.set_training_mode])
def test_statistics_that_moved_and_are_not_saved_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: Change, method: str
) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    hydra_peft.inject(model, method, head="2")
    mode(model)
    model(torch.rand(3, 4))
    hydra_peft.save_adapter(model, tmp_path)
    said = [record.getMessage() for record in caplog.records]
    moved = method == "linear" and mode is nn.Module.train
    told = "the buffer '1.running_mean' of the backbone has changed since inject(), as running"
    assert [one.startswith(told) for one in said] == [True] * moved


class Counter(nn.Linear):
    """A layer that counts how often it was called in training."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width)
        self.register_buffer("calls", torch.tensor(1000))
        self.register_buffer("mask", torch.full((width,), -torch.inf))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        return super().forward(x)


@pytest.mark.parametrize(
    ("layer", "moved"),
    [
        (torch.nn.utils.spectral_norm(nn.Linear(4, 4)), "0.weight_u"),
        (Counter(4), "0.calls"),
        (nn.Linear(4, 4), None),
    ],
)
def test_other_buffers_that_moved_are_told_and_those_of_the_head_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, layer: nn.Module, moved: str | None
) -> None:
    head = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2))
    model = nn.Sequential(layer, nn.BatchNorm1d(4), nn.Linear(4, 4), head)
    model[1](torch.rand(3, 4))
    hydra_peft.inject(model, "lora", targets=["2"], head="3")
    hydra_peft.set_training_mode(model)
    if moved is None:
        hydra_peft.save_adapter(model, tmp_path)
        assert not caplog.records
    model(torch.rand(3, 4))
    hydra_peft.save_adapter(model, tmp_path)
    said = [record.getMessage() for record in caplog.records]
    if moved is None:
        assert not said
    else:
        assert [one.startswith(f"the buffer '{moved}' of the back") for one in said] == [True]
        assert "set_training_mode" not in said[0]


@pytest.mark.parametrize("method", ["lora", "bitfit", "linear", "full"])
@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize(
    ("cast", "told"),
    [
        (nn.Module.float, False),
        (nn.Module.double, False),
        (nn.Module.bfloat16, False),
        (lambda model: model.half().float(), True),
    ],
)
def test_a_frozen_weight_that_was_trained_or_rounded_is_told(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    cast: Change,
    told: bool,
    merged: bool,
    method: str,
) -> None:
    def saved(model: nn.Module) -> list[str]:
        caplog.clear()
        if merged:
            hydra_peft.merge(model)
        cast(model)
        hydra_peft.save_adapter(model, tmp_path)
        hydra_peft.unmerge(model) if merged else None
        return [record.getMessage() for record in caplog.records]

    told = told and method != "full"
    model = nn.Sequential(nn.Linear(40, 40), nn.Linear(40, 40), nn.Linear(40, 2))
    options = {"targets": ["1"]} if method == "lora" else {}
    hydra_peft.inject(model, method, head="2", **options)
    assert [one.startswith("the parameter '") for one in saved(model)] == [True] * told
    if merged or told or cast is nn.Module.bfloat16 or method == "full":
        return
    weight = model[0].weight.requires_grad_()  # unfrozen by hand, trained, and frozen again
    model(torch.rand(3, 40, dtype=weight.dtype)).sum().backward()
    torch.optim.AdamW([weight], lr=1e-5).step()
    assert ["such as '0.weight'" in one for one in saved(model)] == [True]
    model.requires_grad_(False)
    assert "the parameter '0.weight' of the backbone has changed since inject()" in saved(model)[0]


def _extra(model: nn.Sequential) -> None:
    model.extra = nn.Linear(2, 2)


def _shorter(model: nn.Sequential) -> None:
    model[0].bias = None


@pytest.mark.parametrize(
    ("change", "told"), [(_extra, "'extra.weight' of the backbone is new"), (_shorter, "is gone")]
)
def test_parts_that_came_or_went_since_inject_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: Change, told: str
) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    hydra_peft.inject(model, "lora", targets=["1"], head="2")
    change(model)
    model.requires_grad_(False)
    hydra_peft.save_adapter(model, tmp_path)
    assert [told in line for line in caplog.messages] == [True]


def test_adapters_are_made_and_saved_where_the_usual_device_has_no_values(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(40, 40), nn.Linear(40, 40), nn.Linear(40, 2))
    model.register_buffer("packed", torch.zeros(2000, dtype=torch.uint8).view(torch.uint4))
    with torch.device("meta"):
        hydra_peft.inject(model, "linear", head="2")
        hydra_peft.save_adapter(model, tmp_path)


def _averaged(model: nn.Module) -> None:
    for parameter in model.parameters():
        for _ in range(20):
            parameter.data = 0.999 * parameter.data + 0.001 * parameter.data.clone()


def _half(model: nn.Module) -> None:
    model.half().float()


def _trained(model: nn.Sequential) -> None:
    optimizer = torch.optim.AdamW([model[0].weight.requires_grad_()], lr=1e-3)
    model(torch.rand(3, 40)).sum().backward()
    optimizer.step()
    model[0].weight.requires_grad_(False)


@pytest.mark.parametrize(
    ("change", "rounded"), [(_averaged, True), (_half, True), (_trained, False)]
)
def test_rounding_is_told_from_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: Change, rounded: bool
) -> None:
    model = nn.Sequential(nn.Linear(40, 40), nn.Linear(40, 40), nn.Linear(40, 2))
    hydra_peft.inject(model, "lora", targets=["1"], head="2")
    change(model)
    hydra_peft.save_adapter(model, tmp_path)
    (said,) = caplog.messages
    assert "of the backbone has changed since inject()" in said
    assert ("by rounding (an average of all parameters" in said) == rounded
