"""A run's folder alone gives its score again; nothing in it is trusted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hydra_peft.errors import UserError
from hydra_peft.runs.rebuild import reevaluate
from hydra_peft.runs.run import Outcome

Do = Callable[..., Outcome]


def rebuild(folder: Path, cache: Path):  # type: ignore[no-untyped-def]
    return reevaluate(folder, cache=cache, checkpoint=None, data=None, device="cpu")


@pytest.mark.parametrize(
    "overrides",
    [
        ["method=hydra", "method.scale=4.5"],
        ["method=lora", "model.pretrained=false", "seed=3"],
        ["method=seqlora", "method.rank=3"],
        ["method=linear"],
        ["method=full"],
        ["method=lora", "precision=bf16"],
    ],
)
def test_same_score(do: Do, shared_cache: Path, tmp_path: Path, overrides: list[str]) -> None:
    outcome = do(*overrides)
    moved = outcome.folder.rename(tmp_path / "moved")
    again = rebuild(
        moved, shared_cache if "method=lora" in overrides else tmp_path / "another_cache"
    )
    assert again.unmerged.correct == outcome.record.metrics["correct"]
    if outcome.record.method["name"] in ("linear", "full"):
        assert again.merged is None
    else:
        assert again.merged is not None
        tolerance = 8 if "precision=bf16" in overrides else 1
        assert abs(again.merged.correct - again.unmerged.correct) <= tolerance


def test_other_weights_or_data_are_refused(do: Do, shared_cache: Path) -> None:
    folder = do().folder
    record = json.loads((folder / "result.json").read_text())
    for part, key, message in (
        (record["weights"], "sha256", "backbone weights"),
        (record["data"]["splits"], "test", "the test images"),
    ):
        changed = record
        kept, part[key] = part[key], "0" * 64
        (folder / "result.json").write_text(json.dumps(changed))
        part[key] = kept
        with pytest.raises(UserError, match=f"{message} .* cannot be reproduced"):
            rebuild(folder, shared_cache)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text + "evil:\n  _target_: os.system\n", "unknown key 'evil'"),
        (lambda text: text.replace("seed: 0", "seed: ${oc.env:HOME}"), "interpolation"),
        (lambda text: text + "x: !!python/object/apply:os.system [echo]\n", "not valid yaml"),
        (lambda text: text[: len(text) // 2], "is missing|has no|not valid|holds"),
        (lambda _: "", "holds no settings"),
        (lambda text: text.replace("name: hydra", "name: ../../x"), "method '../../x' is unknown"),
        (lambda text: text.replace("source: mini", "source: os"), "dataset.source 'os' is unknown"),
        (lambda text: text.replace("name: digits", "name: ../../x"), "must be a plain name"),
    ],
)
def test_a_config_from_elsewhere_is_data(
    do: Do, shared_cache: Path, edit: Callable[[str], str], message: str
) -> None:
    folder = do().folder
    path = folder / "config.yaml"
    path.write_text(edit(path.read_text()))
    with pytest.raises(UserError, match=message):
        rebuild(folder, shared_cache)


def test_folders_that_are_no_runs(do: Do, shared_cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        rebuild(tmp_path / "nowhere", tmp_path)
    folder = do().folder
    record = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**record, "status": "interrupted"}))
    with pytest.raises(UserError, match="is interrupted"):
        rebuild(folder, shared_cache)
