"""The loops of docs/own_loop.md, run as they stand there."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import hydra_peft


@pytest.fixture
def run(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the example in the file of this name; return what it bound."""
    page = (root / "docs" / "own_loop.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", page, re.DOTALL))
    (tmp_path / "my_data.py").write_text(blocks["my_data.py"])
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "my_data", raising=False)

    def execute(name: str) -> dict[str, Any]:
        bound: dict[str, Any] = {"__name__": "example"}
        exec(compile(blocks[name], name, "exec"), bound)
        return bound

    yield execute
    sys.modules.pop("my_data", None)


@torch.no_grad()
def check(bound: dict[str, Any], moved: str) -> None:
    """The adapter was trained, and what was loaded of it and merged computes the same."""
    model, trained, x = (
        bound["model"].eval().cpu(),
        bound["trained"].eval(),
        torch.ones(2, 3, 32, 32),
    )
    torch.testing.assert_close(trained(x), model(x), atol=1e-5, rtol=1e-5)
    assert type(trained.get_submodule("blocks.1.attn.qkv")) is nn.Linear
    fresh = bound["backbone"]().eval()
    assert not torch.allclose(fresh(x), model(x), atol=1e-3)
    # A branch's up-projection starts at zero.
    state = hydra_peft.adapter_state_dict(model)
    ups = [tensor for name, tensor in state.items() if moved in name]
    assert ups
    assert all(bool(up.any()) for up in ups)
    names = dict(fresh.named_parameters())
    frozen = model.get_parameter("blocks.0.mlp.fc1.weight")
    assert torch.equal(frozen, names["blocks.0.mlp.fc1.weight"])


def test_a_plain_loop(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    check(run("plain_loop.py"), "up.weight")
    assert "4 layers" in capsys.readouterr().out


def test_accelerate(run: Any) -> None:
    pytest.importorskip("accelerate", reason="accelerate is not installed: pip install accelerate")
    check(run("with_accelerate.py"), "up.weight")


def test_lightning(run: Any) -> None:
    pytest.importorskip("lightning", reason="lightning is not installed: pip install lightning")
    check(run("with_lightning.py"), "up.weight")
