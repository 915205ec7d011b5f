"""Abilities are refused where a method does not have them, and written where the page has them."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import hydra_peft
from hydra_peft.adapters.base import Adapter
from hydra_peft.cli import abilities as script
from hydra_peft.methods import Method
from hydra_peft.workshop import abilities
from hydra_peft.workshop.abilities import ABILITIES, Case


def test_a_run_that_does_not_resume_is_found_out() -> None:
    draws = iter(1.0 + 0.1 * n for n in range(100))  # which no checkpoint has

    class Forgetful(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * next(draws)

    class Odd(Case):
        def adapted(self) -> nn.Module:
            model = super().adapted()
            model.head.__class__ = Forgetful
            return model

    with pytest.raises(AssertionError, match="has other bits"):
        ABILITIES["resumes"](Odd("linear"))


def test_what_does_not_keep_its_word_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from hydra_peft.adapters.low_rank import LowRankLinear

    case = Case("lora")
    merged = LowRankLinear.merged

    def off(self: LowRankLinear) -> nn.Module:
        made = merged(self)
        made.bias.data[0] += 1e-6
        return made

    monkeypatch.setattr(LowRankLinear, "merged", off)
    with pytest.raises(AssertionError):
        ABILITIES["merges"](case)
    monkeypatch.undo()
    forward = LowRankLinear.forward

    def breaks(self: LowRankLinear, x: torch.Tensor) -> torch.Tensor:
        torch._dynamo.graph_break()
        return forward(self, x)

    monkeypatch.setattr(LowRankLinear, "forward", breaks)
    with pytest.raises(Exception, match="graph_break"):
        ABILITIES["compiles whole"](case)


def test_a_parameter_without_gradient_is_found_out() -> None:
    class Around(Adapter):
        def __init__(self, base: nn.Module) -> None:
            super().__init__()
            self.base = base.requires_grad_(False)
            self.idle = nn.Parameter(torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.base(x)

    class Idle(Method):
        name = "idle"

        def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:  # noqa: ARG002
            model.blocks[0].mlp.fc2 = Around(model.blocks[0].mlp.fc2)
            return ["blocks.0.mlp.fc2"]

    class Own(Case):
        def on(self, family: str, **options: object) -> nn.Module:  # noqa: ARG002
            model = copy.deepcopy(abilities._plain(family))
            hydra_peft.inject(model, Idle())
            return model

    with pytest.raises(AssertionError, match="a parameter without gradient"):
        ABILITIES["ViT"](Own("idle"))


def test_the_matrix_is_written_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A\n\n| `method=` | adapts | x |\n|---|---|\n| `old` | b |\n\nbehind\n")
    lines = ["| `method=` | adapts |", "|---|---|", "| `lora` | Linear |"]
    monkeypatch.setattr(abilities, "matrix_lines", lambda: lines)
    monkeypatch.setattr(sys, "argv", ["abilities.py", f"out={page}"])
    assert script.main() == 0
    assert page.read_text() == "# A\n\n" + "\n".join(lines) + "\n\nbehind\n"
    assert "| `lora` | Linear |" in capsys.readouterr().out
    page.write_text("nothing")
    assert script.main() == 2
    assert "has no matrix to replace" in capsys.readouterr().err
