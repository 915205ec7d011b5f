"""Saving an adapter and rebuilding it on a fresh backbone."""

from __future__ import annotations

import copy
import dataclasses
import enum
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import hydra_peft
from hydra_peft import UserError
from hydra_peft.methods import Method
from hydra_peft.methods.lora import Lora

Fill = Callable[[nn.Module], None]


@pytest.fixture
def saved(tiny: nn.Module, tmp_path: Path, randomize: Fill) -> tuple[nn.Module, nn.Module, Path]:
    """A fresh backbone, its adapted and trained copy, and the folder the adapter was saved to."""
    model = copy.deepcopy(tiny)
    hydra_peft.inject(model, "hydra", rank=2, scale=2.5, targets=["mlp.fc2"])
    randomize(model)
    hydra_peft.save_adapter(model, tmp_path / "adapter")
    return tiny, model, tmp_path / "adapter"


@pytest.mark.parametrize("method", ["lora", "seqlora", "hydra", "linear", "full"])
def test_round_trip(tiny: nn.Module, tmp_path: Path, randomize: Fill, method: str) -> None:
    model = copy.deepcopy(tiny)
    hydra_peft.inject(model, method)
    randomize(model)
    hydra_peft.save_adapter(model, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["adapter.json", "adapter.safetensors"]
    fresh = copy.deepcopy(tiny)
    done = hydra_peft.load_adapter(fresh, tmp_path)
    assert done.method.name == method
    x = torch.randn(4, 12)
    assert torch.equal(fresh(x), model(x))


def test_saved_while_merged_is_the_same(saved: tuple[nn.Module, nn.Module, Path]) -> None:
    fresh, model, folder = saved
    x = torch.randn(4, 12)
    expected = model(x)
    hydra_peft.merge(model)
    hydra_peft.save_adapter(model, folder)
    hydra_peft.load_adapter(fresh, folder)
    assert torch.equal(fresh(x), expected)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"format": 1, "r": 8}'])
def test_an_adapter_json_of_something_else_is_not_replaced(
    saved: tuple[nn.Module, nn.Module, Path], content: str
) -> None:
    _, model, folder = saved
    (folder / "adapter.json").write_text(content)
    before = (folder / "adapter.safetensors").read_bytes()
    model.blocks[0]["mlp"]["fc2"].bias.data += 1
    with pytest.raises(
        UserError, match=r"adapter\.json is there, and save_adapter did not write it"
    ):
        hydra_peft.save_adapter(model, folder)
    assert (folder / "adapter.json").read_text() == content
    assert (folder / "adapter.safetensors").read_bytes() == before


def test_head_of_another_size_is_replaced(saved: tuple[nn.Module, nn.Module, Path]) -> None:
    fresh, model, folder = saved
    fresh.head, fresh.num_classes = nn.Linear(12, 50), 50
    fresh.config = SimpleNamespace(num_labels=50, num_heads=5)
    hydra_peft.load_adapter(fresh, folder)
    assert (fresh.num_classes, fresh.config) == (3, SimpleNamespace(num_labels=3, num_heads=5))
    x = torch.randn(4, 12)
    assert torch.equal(fresh(x), model(x))


def test_another_architecture_is_refused(saved: tuple[nn.Module, nn.Module, Path]) -> None:
    fresh, _, folder = saved
    with pytest.raises(UserError, match="another backbone architecture"):
        hydra_peft.load_adapter(type(fresh)(width=16), folder)


def test_other_weights_are_refused_unless_asked_for(
    saved: tuple[nn.Module, nn.Module, Path],
) -> None:
    fresh, _, folder = saved
    fresh.blocks[0]["attn"]["proj"].weight.data[0, 0] += 1e-6
    with pytest.raises(UserError, match="other backbone weights"):
        hydra_peft.load_adapter(copy.deepcopy(fresh), folder)
    hydra_peft.load_adapter(fresh, folder, check_weights=False)


def test_weights_in_another_precision_say_so(
    saved: tuple[nn.Module, nn.Module, Path], tmp_path: Path
) -> None:
    fresh, model, folder = saved
    said = r"those were in float32 and this model is in bfloat16: load its weights in torch.float32"
    with pytest.raises(UserError, match=said):
        hydra_peft.load_adapter(copy.deepcopy(fresh).bfloat16(), folder)
    hydra_peft.save_adapter(model.half(), tmp_path / "half")
    said = r"those are these after model\.to\(torch\.float16\), so convert them like that first"
    with pytest.raises(UserError, match=said):
        hydra_peft.load_adapter(copy.deepcopy(fresh), tmp_path / "half")
    hydra_peft.load_adapter(fresh.half(), tmp_path / "half")


def test_a_backbone_in_two_precisions_says_so(tiny: nn.Module, tmp_path: Path) -> None:
    def mixed(model: nn.Module) -> nn.Module:
        for layer in model.bfloat16().modules():
            if isinstance(layer, nn.LayerNorm):
                layer.float()
        return model

    plain, model = copy.deepcopy(tiny), mixed(tiny)
    hydra_peft.inject(model, "lora", rank=2)
    hydra_peft.save_adapter(model, tmp_path)
    for cast in (nn.Module.float, nn.Module.bfloat16):
        said = r"in bfloat16 and float32 and this model is in b?float\d\d: convert its parts as"
        with pytest.raises(UserError, match=said):
            hydra_peft.load_adapter(cast(copy.deepcopy(plain)), tmp_path)
    hydra_peft.load_adapter(mixed(plain), tmp_path)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_a_backbone_that_was_rounded_before_it_was_adapted(
    tiny: nn.Module, tmp_path: Path, half: torch.dtype
) -> None:
    """Its digits are those of half precision, whatever it was saved in."""
    plain = copy.deepcopy(tiny)
    model = tiny.to(half)
    hydra_peft.inject(model, "lora", rank=2)
    hydra_peft.save_adapter(model.float(), tmp_path)
    said = rf"after model\.to\({half}\)\.to\(torch\.float32\), so convert them like that first"
    with pytest.raises(UserError, match=said):
        hydra_peft.load_adapter(copy.deepcopy(plain), tmp_path)
    with pytest.raises(UserError, match=r"after model\.to\(torch\.float32\), so"):
        hydra_peft.load_adapter(copy.deepcopy(plain).to(half), tmp_path)
    hydra_peft.load_adapter(copy.deepcopy(plain).to(half).float(), tmp_path)
    hydra_peft.load_adapter(plain.to(half).to(torch.float32), tmp_path)


def test_truncated_tensors(saved: tuple[nn.Module, nn.Module, Path]) -> None:
    fresh, _, folder = saved
    path = folder / "adapter.safetensors"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="truncated or not a safetensors file"):
        hydra_peft.load_adapter(fresh, folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t * torch.nan, "has values that are not finite"),
        (lambda t: t.double() + 1e300, "has values beyond those of float32: .* of dtype float64"),
        (lambda t: t.long(), "has dtype int64, expected float32"),
        (lambda t: t > 0, "has dtype bool, expected float32"),
        (lambda t: t.to(torch.complex64), "has dtype complex64, expected float32"),
    ],
)
def test_values_that_are_no_weights(
    saved: tuple[nn.Module, nn.Module, Path],
    spoil: Callable[[torch.Tensor], torch.Tensor],
    message: str,
) -> None:
    fresh, _, folder = saved
    path = folder / "adapter.safetensors"
    tensors = load_file(path)
    tensors["head.weight"] = spoil(tensors["head.weight"])
    save_file(tensors, path)
    with pytest.raises(UserError, match=rf"safetensors: 'head\.weight' {message}"):
        hydra_peft.load_adapter(fresh, folder)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c.update(format=99), "another format than 1"),
        (lambda c: c["method"].update(name="loar"), "did you mean 'lora'"),
        (lambda c: c["method"].update(rank=3), "has shape"),
        (lambda c: c["method"].pop("scale"), "lacks the option 'scale' of method 'hydra'"),
        (lambda c: c["method"].update(targets=["attn.proj"]), "adapted layers, its targets match"),
        (lambda c: c["layers"].append("odd"), "'odd' only there: the file was edited"),
        (lambda c: c["layers"].pop(), " only here: the file was edited"),
        (lambda c: c["layers"].reverse(), "in another order or one of them twice: the file"),
        (
            lambda c: c["method"].update(__class__="os.system"),
            r"adapter\.json cannot be used: method 'hydra' has no option '__class__'",
        ),
        (lambda c: c["method"].update(scale="x"), r"adapter\.json cannot be used: option 'scale'"),
        (lambda c: c["method"].update(name="hydr"), r"adapter\.json cannot be used: .*hydra"),
        (lambda c: c["method"].update(targets=["none"]), r"adapter\.json cannot be used: .*none"),
        (lambda c: c.update(head=["hed"]), r"adapter\.json cannot be used: .* has no head 'hed'"),
        (lambda c: c.pop("backbone"), "lacks 'backbone'"),
    ],
)
def test_edited_config(
    saved: tuple[nn.Module, nn.Module, Path], edit: Callable[[dict], object], message: str
) -> None:
    fresh, _, folder = saved
    config = json.loads((folder / "adapter.json").read_text())
    edit(config)
    (folder / "adapter.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=message):
        hydra_peft.load_adapter(fresh, folder)


def test_an_adapter_without_a_head_says_so_where_there_is_one(
    tiny: nn.Module, tmp_path: Path, randomize: Fill
) -> None:
    model = copy.deepcopy(tiny)
    hydra_peft.inject(model, "lora", targets=["mlp.fc1"], rank=1)
    model.head = nn.Identity()  # as reset_classifier(0) of timm's models does
    randomize(model)
    hydra_peft.save_adapter(model, tmp_path)
    with pytest.raises(UserError, match=r"saved without a head, and this TinyNet has one \(head\)"):
        hydra_peft.load_adapter(copy.deepcopy(tiny), tmp_path)
    tiny.head = nn.Identity()
    hydra_peft.load_adapter(tiny, tmp_path)
    x = torch.randn(4, 12)
    assert torch.equal(tiny(x), model(x))


@pytest.mark.parametrize(
    ("lost", "foreign", "said"),
    [
        ("head.bias", None, "does not fit: it lacks 'head.bias'."),
        (None, "tail.bias", "does not fit: it has the unknown 'tail.bias'."),
        ("head.bias", "tail.bias", "it lacks 'head.bias' and has the unknown 'tail.bias'."),
    ],
)
def test_tensors_that_are_lacking_or_unknown_are_named(
    saved: tuple[nn.Module, nn.Module, Path], lost: str | None, foreign: str | None, said: str
) -> None:
    fresh, _, folder = saved
    file = folder / "adapter.safetensors"
    tensors = {name: tensor for name, tensor in load_file(file).items() if name != lost}
    save_file(tensors | ({foreign: torch.zeros(1)} if foreign else {}), file)
    with pytest.raises(UserError) as caught:
        hydra_peft.load_adapter(fresh, folder)
    assert str(caught.value).endswith(said)


def test_a_head_of_no_class_is_refused(saved: tuple[nn.Module, nn.Module, Path]) -> None:
    fresh, _, folder = saved
    path = folder / "adapter.safetensors"
    tensors = load_file(path)
    save_file(
        {**tensors, **{f"head.{n}": tensors[f"head.{n}"][:0] for n in ("weight", "bias")}}, path
    )
    with pytest.raises(UserError, match=r"adapter\.safetensors: 'head\.weight' is of no class"):
        hydra_peft.load_adapter(fresh, folder)


def test_missing_folder_and_broken_json(tiny: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = {"nowhere": "nowhere is not there", "file": "file is a file", ".": "has no adapter"}
    for name, what in said.items():
        with pytest.raises(UserError, match=f"{what}.*: give a folder that save_adapter wrote"):
            hydra_peft.load_adapter(tiny, tmp_path / name)
    (tmp_path / "adapter.json").write_text('{"format": 1,')
    with pytest.raises(UserError, match="not valid json"):
        hydra_peft.load_adapter(tiny, tmp_path)


class Kind(str, enum.Enum):
    """What an option of a user's own may be."""

    ONE = "one"
    OTHER = "other"


@dataclasses.dataclass(frozen=True)
class Biases(Method):
    """A user's own method: the biases of some layers, and nothing else of the backbone."""

    name: ClassVar[str] = "biases"
    ending: str = "bias"
    blocks: tuple[int, ...] = (0,)
    pair: tuple = (0.5, 1)  # type: ignore[type-arg]
    either: tuple[int, ...] | None = (2,)
    rates: dict[int, float] = dataclasses.field(default_factory=lambda: {3: 0.1})
    kind: Kind = Kind.OTHER
    anything: Any = None
    noted: Annotated[float, "a share"] = 0.5

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:  # noqa: ARG002
        for name, parameter in model.named_parameters():
            if any(name.startswith(f"blocks.{i}.") for i in self.blocks):
                parameter.requires_grad_(name.endswith(self.ending))
        return []


@dataclasses.dataclass(frozen=True)
class OtherLora(Lora):
    """A user's own method that bears the name of one of ours."""


def test_a_method_of_the_users_own_is_saved_and_loaded(
    tiny: nn.Module, tmp_path: Path, randomize: Fill, caplog: pytest.LogCaptureFixture
) -> None:
    model = copy.deepcopy(tiny)
    done = hydra_peft.inject(model, Biases, blocks=(0, 1), anything=[1], noted=0.25)
    assert done.trained[:2] == ("blocks.0.attn.proj.bias", "blocks.0.mlp.fc1.bias")
    assert hydra_peft.count_parameters(model).adapter == 2 * (12 + 48 + 12)
    randomize(model)
    hydra_peft.save_adapter(model.requires_grad_(False), tmp_path)
    home = f"{__name__}.Biases"
    assert f"the class {home} is: load_adapter(model, folder, method=Biases)" in caplog.text
    assert json.loads((tmp_path / "adapter.json").read_text())["class"] == home
    with pytest.raises(UserError, match=f"a method of your own, 'biases' of class '{home}': imp"):
        hydra_peft.load_adapter(copy.deepcopy(tiny), tmp_path)
    x = torch.randn(4, 12)
    for method in (Biases, Biases(blocks=(0, 1), anything=[1], noted=0.25)):
        fresh = copy.deepcopy(tiny)
        assert hydra_peft.load_adapter(fresh, tmp_path, method=method).method == done.method
        assert torch.equal(fresh(x), model(x))
    tiny.blocks[0]["mlp"]["fc1"].weight.data[0, 0] += 1  # frozen, so the file depends on it
    with pytest.raises(UserError, match="other backbone weights"):
        hydra_peft.load_adapter(tiny, tmp_path, method=Biases)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (Biases(), r"saved with blocks=\[0, 1\], and the method given has blocks=\[0\]"),
        (Lora, "has no option 'ending'"),
        (Lora(), r"saved with method 'biases', and Lora\(targets=.*\) was given"),
        ("lora", "was saved with method 'biases', and 'lora' was given"),
        (nn.Linear, "Linear is no method"),
    ],
)
def test_another_method_than_the_saved_one_is_refused(
    tiny: nn.Module, tmp_path: Path, method: object, message: str
) -> None:
    hydra_peft.inject(model := copy.deepcopy(tiny), Biases(blocks=(0, 1)))
    hydra_peft.save_adapter(model, tmp_path)
    with pytest.raises(UserError, match=message):
        hydra_peft.load_adapter(tiny, tmp_path, method=method)  # type: ignore[arg-type]
    hydra_peft.inject(tiny, "lora")  # it is as it was


def test_a_method_with_the_name_of_ours_is_not_taken_for_it(
    tiny: nn.Module, tmp_path: Path
) -> None:
    hydra_peft.inject(model := copy.deepcopy(tiny), OtherLora, rank=2)
    hydra_peft.save_adapter(model, tmp_path)
    with pytest.raises(UserError, match=r"a method of your own, 'lora' of class .*OtherLora"):
        hydra_peft.load_adapter(tiny, tmp_path)
    hydra_peft.load_adapter(tiny, tmp_path, method=OtherLora)


def test_options_that_json_cannot_hold_are_found_before_training(tiny: nn.Module) -> None:
    with pytest.raises(UserError, match="options of method 'biases' could not be saved"):
        hydra_peft.inject(tiny, Biases(ending=Path("bias")))  # type: ignore[arg-type]
    assert all(p.requires_grad for p in tiny.parameters())


KEEPS = {"lora": True, "seqlora": True, "hydra": True, "ia3": True, "kadaptation": True}
KEEPS |= {"ssf": True, "dora": False, "vera": False, "bitfit": False, "repadapter": False}


@pytest.mark.parametrize(("method", "keeps"), KEEPS.items())
def test_a_wider_adapter_keeps_its_dtype_or_is_told_to_be_rounded(
    tiny: nn.Module,
    tmp_path: Path,
    randomize: Fill,
    caplog: pytest.LogCaptureFixture,
    method: str,
    keeps: bool,
) -> None:
    targets: dict[str, Any] = {} if method == "bitfit" else {"targets": ["mlp.fc2"]}
    targets |= {"parts": [], "phm_dim": 4} if method == "kadaptation" else {}
    model = tiny.bfloat16().eval()
    fresh = copy.deepcopy(model)
    hydra_peft.inject(model, method, **targets)
    randomize(model)
    trained = hydra_peft.trainable_parameters(model).adapter
    for parameter in trained.values():  # as peft trains them
        parameter.data = parameter.data.float() + 2e-5
    hydra_peft.save_adapter(model, tmp_path)
    caplog.clear()
    hydra_peft.load_adapter(fresh, tmp_path)
    loaded = hydra_peft.trainable_parameters(fresh).adapter
    said = ["were rounded to the dtype of this model" in line for line in caplog.messages]
    if not keeps:
        assert said == [True]
        assert all(p.dtype == torch.bfloat16 for p in loaded.values())
        return
    assert not said
    assert all(torch.equal(p, trained[name]) for name, p in loaded.items())
    assert {p.dtype for p in loaded.values()} == {torch.float32}
    x = torch.randn(4, 12).bfloat16()
    assert torch.equal(fresh(x), model(x))
    fresh(x).float().sum().backward()
    expected = fresh(x)
    hydra_peft.merge(fresh)
    torch.testing.assert_close(fresh(x), expected, rtol=0.1, atol=0.1)


def test_advice_on_dtypes_is_of_the_backbone_and_works(
    tiny: nn.Module, tmp_path: Path, randomize: Fill, caplog: pytest.LogCaptureFixture
) -> None:
    """Adapter and head trained in float32 on a backbone in bfloat16."""
    model = tiny.bfloat16()
    fresh = copy.deepcopy(model)
    hydra_peft.inject(model, "lora", rank=2)
    randomize(model)
    for parameter in hydra_peft.trainable_parameters(model):
        parameter.data = parameter.data.float() + 2e-5
    hydra_peft.save_adapter(model, tmp_path)
    with pytest.raises(UserError, match=r"are these after model.to\(torch.bfloat16\), so convert"):
        hydra_peft.load_adapter(copy.deepcopy(fresh).half(), tmp_path)
    caplog.clear()
    hydra_peft.load_adapter(copy.deepcopy(fresh), tmp_path)
    said = "from float32 to bfloat16: to keep them, convert its head (model.get_submod"
    assert [said in line for line in caplog.messages] == [True]
    for head in (fresh.head, nn.Linear(12, 7)):  # one of another number of classes, too
        other = copy.deepcopy(fresh)
        other.head = copy.deepcopy(head)
        other.get_submodule("head").to(torch.float32)
        caplog.clear()
        hydra_peft.load_adapter(other, tmp_path)
        assert not caplog.messages
        assert torch.equal(other.head.weight, model.head.weight)


def test_no_part_of_a_mixed_model_is_narrowed(tmp_path: Path) -> None:
    def make(dtype: torch.dtype) -> nn.Module:
        torch.manual_seed(0)
        layers = [nn.Linear(4, 4).to(dtype), nn.Linear(4, 4), nn.Linear(4, 2)]
        return nn.Sequential(*layers)

    model, fresh = make(torch.float16), make(torch.bfloat16)
    hydra_peft.inject(model, "lora", targets=["0", "1"], head="2", rank=2)
    for parameter in hydra_peft.trainable_parameters(model):
        nn.init.normal_(parameter)
    hydra_peft.save_adapter(model, tmp_path)
    hydra_peft.load_adapter(fresh, tmp_path, check_weights=False)
    assert torch.equal(fresh[1].parallel.up.weight, model[1].parallel.up.weight)


class TwoEnds(nn.Module):
    """Words in, words out."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.mid = nn.Embedding(20, 8), nn.Linear(8, 8)
        self.lm = nn.Linear(8, 20, bias=False)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return self.lm(self.mid(self.emb(words)))


@pytest.mark.parametrize("method", ["lora", "full"])
def test_unlike_values_are_not_put_into_one_tied_tensor(tmp_path: Path, method: str) -> None:
    model, tied, x = TwoEnds(), TwoEnds(), torch.arange(5)
    tied.load_state_dict(model.state_dict())
    tied.lm.weight = tied.emb.weight
    options: dict[str, Any] = {"targets": ["mid"]} if method == "lora" else {}
    hydra_peft.inject(model, method, head=["emb", "lm"], **options)
    hydra_peft.save_adapter(model, tmp_path)
    with pytest.raises(UserError, match=r"other values for 'emb.weight' than for 'lm.weight', whi"):
        hydra_peft.load_adapter(tied, tmp_path)
    nn.init.ones_(model.lm.weight)
    nn.init.ones_(model.emb.weight)
    hydra_peft.save_adapter(model, tmp_path)
    again = TwoEnds()
    again.mid.load_state_dict((model.mid.base if method == "lora" else model.mid).state_dict())
    again.lm.weight = again.emb.weight
    hydra_peft.load_adapter(again, tmp_path)
    assert torch.equal(again(x), model(x))
