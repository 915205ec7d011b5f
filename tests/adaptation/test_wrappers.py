"""Verbs on a model inside torch.compile, DataParallel, DDP, an average, or shards."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

import hydra_peft
from hydra_peft import UserError
from hydra_peft.adaptation.injection import set_training_mode
from hydra_peft.adaptation.wrappers import unwrap

Fill = Callable[[nn.Module], None]


def _compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model, backend="eager")


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "compiled": _compiled,
    "data parallel": DataParallel,
    "averaged": AveragedModel,
    "checkpointed": checkpoint_wrapper,
    "compiled average": lambda model: _compiled(AveragedModel(model)),
}


@pytest.fixture
def processes() -> Iterator[None]:
    """A process group of two whose messages go nowhere."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    torch.distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_every_verb_works_through_a_wrapper(
    tiny: nn.Module, tmp_path: Path, randomize: Fill, wrap: Callable[[nn.Module], nn.Module]
) -> None:
    plain = copy.deepcopy(tiny)
    hydra_peft.inject(plain, "hydra", rank=2)
    counts, names = hydra_peft.count_parameters(plain), list(hydra_peft.adapter_state_dict(plain))

    wrapped = wrap(copy.deepcopy(tiny))
    done = hydra_peft.inject(wrapped, "hydra", rank=2)
    assert done.head == ("head",)
    randomize(wrapped)
    set_training_mode(wrapped)
    assert wrapped.training
    assert hydra_peft.count_parameters(wrapped) == counts
    assert list(hydra_peft.adapter_state_dict(wrapped)) == names
    hydra_peft.save_adapter(wrapped, tmp_path)
    fresh = wrap(copy.deepcopy(tiny))
    hydra_peft.load_adapter(fresh, tmp_path)
    hydra_peft.load_adapter(tiny, tmp_path)
    x = torch.randn(3, 12)
    expected = unwrap(wrapped)(x)
    assert torch.equal(unwrap(fresh)(x), expected)
    assert torch.equal(tiny(x), expected)
    assert hydra_peft.merge(wrapped) == list(done.layers)
    assert hydra_peft.count_parameters(wrapped) == counts
    torch.testing.assert_close(unwrap(wrapped)(x), expected)
    hydra_peft.unmerge(wrapped)
    assert torch.equal(unwrap(wrapped)(x), expected)


def test_a_compiled_model_computes_what_each_verb_made_of_it(randomize: Fill) -> None:
    layer = nn.Linear(6, 5, dtype=torch.float64)
    model = nn.Sequential(nn.Sequential(layer, nn.ReLU()))
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    compiled = _compiled(model.eval())
    x = torch.randn(4, 6, dtype=torch.float64)

    def expected(parts: dict[str, torch.Tensor]) -> torch.Tensor:
        down, up = parts["down.weight"], parts["up.weight"]
        code = x @ down.T + parts["down.bias"]
        return torch.relu(x @ weight.T + bias + 3.0 * (code @ up.T + parts["up.bias"]))

    torch.testing.assert_close(compiled(x), torch.relu(x @ weight.T + bias))
    hydra_peft.inject(compiled, "lora", targets=["0.0"], rank=2, scale=3.0, head=())
    for _ in range(2):
        randomize(compiled)
        state = hydra_peft.adapter_state_dict(compiled)
        parts = {name.removeprefix("0.0.parallel."): t.clone() for name, t in state.items()}
        torch.testing.assert_close(compiled(x), expected(parts))
        hydra_peft.merge(compiled)
        torch.testing.assert_close(compiled(x), expected(parts))
        hydra_peft.unmerge(compiled)
        torch.testing.assert_close(compiled(x), expected(parts))


@pytest.mark.usefixtures("processes")
def test_distributed_data_parallel_is_wrapped_around_an_adapted_model(
    tiny: nn.Module, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="inject into the model first, then wrap it"):
        hydra_peft.inject(DistributedDataParallel(copy.deepcopy(tiny)), "lora")
    hydra_peft.inject(tiny, "lora")
    counts = hydra_peft.count_parameters(tiny)
    wrapped = DistributedDataParallel(tiny)
    assert hydra_peft.count_parameters(wrapped) == counts
    hydra_peft.save_adapter(wrapped, tmp_path)
    with pytest.raises(UserError, match="then wrap it"):
        hydra_peft.load_adapter(wrapped, tmp_path)


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("kind", ["FSDP1", "FSDP2", "sharded tensors"])
def test_shards_are_refused(tiny: nn.Module, tmp_path: Path, kind: str) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
    from torch.distributed.tensor import distribute_tensor

    hydra_peft.inject(tiny, "lora")
    mesh = init_device_mesh("cpu", (2,))
    if kind == "FSDP1":
        tiny = FullyShardedDataParallel(tiny, use_orig_params=True, device_id=torch.device("cpu"))
    elif kind == "FSDP2":
        fully_shard(tiny, mesh=mesh)
    else:
        tiny.head.weight = nn.Parameter(distribute_tensor(tiny.head.weight.detach(), mesh))
    for verb in (hydra_peft.count_parameters, hydra_peft.merge, hydra_peft.adapter_state_dict):
        with pytest.raises(UserError, match=r"this model is sharded .* Inject before sharding"):
            verb(tiny)
    with pytest.raises(UserError, match="this model is sharded"):
        hydra_peft.save_adapter(tiny, tmp_path)


@pytest.mark.parametrize(
    ("wrap", "inner"), [(_compiled, "_orig_mod"), (DataParallel, "module")], ids=["compile", "data"]
)
def test_a_wrapper_around_a_part_is_refused(
    tiny: nn.Module, wrap: Callable[[nn.Module], nn.Module], inner: str
) -> None:
    block = tiny.blocks[1]
    tiny.blocks[1] = wrap(block)
    with pytest.raises(
        UserError, match=rf"'blocks\.1' is wrapped on .* put 'blocks\.1\.{inner}' in its"
    ):
        hydra_peft.inject(tiny, "lora")
    tiny.blocks[1] = block
    hydra_peft.inject(tiny, "lora")


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_shells_scripts_and_what_is_no_model_are_told_of(tiny: nn.Module) -> None:
    with pytest.raises(
        UserError, match=r"its part '1': pass that, or name the head, head='1\.head'"
    ):
        hydra_peft.inject(nn.Sequential(nn.ReLU(), tiny), "lora")
    with pytest.raises(UserError, match="a str where a model"):
        hydra_peft.inject("vit_base_patch16_224", "lora")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="TorchScript"):
        hydra_peft.inject(torch.jit.trace(nn.Linear(3, 3), torch.ones(3)), "linear")
