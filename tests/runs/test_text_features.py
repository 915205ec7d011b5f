"""Runs of a CLIP whose head starts from texts, with and without the text tower."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_clip import MODEL, NAME, NAMES, PROMPTS, TEMPLATES, tiny_clip
from torch.nn import functional as F

from hydra_peft.backbones import text_files
from hydra_peft.backbones.text_towers import prompt_features
from hydra_peft.cli import evaluate
from hydra_peft.config.identity import config_id
from hydra_peft.config.schema import RunConfig
from hydra_peft.data.prompts import Prompts
from hydra_peft.errors import UserError
from hydra_peft.runs.assembly import _check_fit, check_model, load_backbone
from hydra_peft.runs.first_look import check_texts
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.task_splits import load_splits
from hydra_peft.runs.text_features import tensor_sha256, text_features
from hydra_peft.tensor_files import read_tensors, read_tensors_and_metadata

Do = Callable[..., Outcome]
Configure = Callable[..., RunConfig]


@pytest.fixture
def shared_cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def model(tmp_path: Path) -> list[str]:
    _, path = tiny_clip(tmp_path)
    return [*MODEL, f"model.checkpoint={path}"]


def features(config: RunConfig) -> torch.Tensor:
    """Return the features of the prompts of a config, computed on their own."""
    path = Path(str(config.model.checkpoint))
    prompts = Prompts(tuple(NAMES), tuple(NAMES), tuple(TEMPLATES))
    backbone = load_backbone(config.model, 0)[0]
    return prompt_features(prompts, NAME, checkpoint=path, tag="", backbone=backbone)


@torch.no_grad()
def test_zero_shot_is_the_cosine_of_image_and_text_times_100(do: Do, configure: Configure) -> None:
    words = ["method=linear", "head=zero_shot", "train.epochs=0", *PROMPTS]
    words += ["train.batch_size=2000", "train.drop_last=true"]  # what trains nothing needs no batch
    config = configure(*words)
    outcome = do(*words)
    _, scored = load_splits(config, (32, 32), torch.device("cpu"), described=lambda _: None)
    images = scored["test"].in_memory(torch.device("cpu")).inputs["image"].float() / 255
    mean, std = (
        torch.tensor(v)[:, None, None]
        for v in (
            (0.48145466, 0.4578275, 0.40821073),
            (0.26862954, 0.26130258, 0.27577711),
        )
    )
    backbone = load_backbone(config.model, 0)[0].eval()
    unit = F.normalize(backbone((images - mean) / std), dim=1)
    kept = read_tensors(outcome.folder / "predictions.safetensors")
    assert torch.allclose(kept["outputs"], 100 * unit @ features(config).T, atol=1e-3)
    assert outcome.record.parameters["adapter"] == 0
    (file,) = (Path(config.paths.cache) / "text").iterdir()
    stored, said = read_tensors_and_metadata(file)
    assert outcome.record.inputs["text_features"] == said["sha256"]
    assert said["backbone"] == outcome.record.weights["sha256"]
    assert torch.equal(stored["features"], features(config))


def test_the_tower_is_needed_once_and_training_starts_from_its_features(
    do: Do,
    configure: Configure,
    shared_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["method=lora", "head=text_prompts", *PROMPTS]
    untrained = do(*words, "train.epochs=0")
    monkeypatch.setattr(text_files.importlib.util, "find_spec", lambda _: None)
    config = configure(*words)
    check_texts(config)  # what is kept needs no open_clip
    trained = do(*words)
    before, after = (read_tensors(o.folder / "adapter.safetensors") for o in (untrained, trained))
    rows, _ = read_tensors_and_metadata(next((shared_cache / "text").iterdir()))
    assert torch.equal(before["head.linear.weight"], rows["features"])
    assert not before["head.linear.bias"].any()
    assert 0 < (after["head.linear.weight"] - rows["features"]).abs().max() < 1
    words = ["evaluate.py", f"run={trained.folder}", f"cache={shared_cache}", "device=cpu"]
    monkeypatch.setattr("sys.argv", words)
    assert evaluate.main() == 0
    assert f"{trained.record.score:.4f}%" in capsys.readouterr().out


def test_texts_of_another_tower_with_the_same_image_tower_are_its_own(
    configure: Configure, model: list[str], tmp_path: Path
) -> None:
    state = read_tensors(Path(model[-1].partition("=")[2]))
    state["token_embedding.weight"] = -state["token_embedding.weight"]
    save_file(state, tmp_path / "other.safetensors")
    words = ["method=linear", "head=text_prompts", *PROMPTS]
    config = configure(*words)
    backbone = load_backbone(config.model, 0)[0]
    first = text_features(config, backbone, "0" * 64)
    words.append(f"model.text_checkpoint={tmp_path}/other.safetensors")
    config = configure(*words)
    other = text_features(config, backbone, "0" * 64)
    assert first is not None
    assert other is not None
    assert not torch.allclose(first, other, atol=0.1)
    wrong = configure(*words, f"model.text_sha256={'0' * 64}")
    with pytest.raises(
        UserError, match=r"is not the file that this run's config names: its sha256"
    ):
        text_features(wrong, backbone, "0" * 64)


def test_the_file_of_a_text_tower_is_identity_where_the_head_starts_from_texts(
    configure: Configure, tmp_path: Path
) -> None:
    ids = {}
    for name in ("one", "two", "copy"):
        (tmp_path / name).write_bytes(b"two" if name == "copy" else name.encode())
        for head in ("text_prompts", "linear"):
            words = [
                "method=linear",
                f"head={head}",
                *PROMPTS,
                f"model.text_checkpoint={tmp_path / name}",
            ]
            ids[name, head] = config_id(configure(*words))
    assert len({ids[name, "text_prompts"] for name in ("one", "two")}) == 2
    assert ids["copy", "text_prompts"] == ids["two", "text_prompts"]
    assert {ids[name, "linear"] for name in ("one", "two")} == {
        config_id(configure("method=linear", *PROMPTS))
    }
    assert config_id(configure("method=linear", "head=text_prompts", *PROMPTS)) not in ids.values()
    with pytest.raises(UserError, match=r"model\.text_checkpoint=.*/none does not exist"):
        configure(*words, f"model.text_checkpoint={tmp_path}/none")
    with pytest.raises(
        UserError, match=r"text_sha256 is the hash of model\.text_checkpoint, which is not"
    ):
        configure("method=linear", "model.text_sha256=abc")


def test_prompts_are_identity_and_other_heads_do_not_mind(configure: Configure) -> None:
    words = ["method=linear", *PROMPTS]
    other = [*words[:-1], "+dataset.prompts.templates=['an image of {}']"]
    assert config_id(configure(*words)) == config_id(configure("method=linear"))
    texts = [configure(*w, "head=text_prompts") for w in (words, other)]
    assert config_id(texts[0]) != config_id(texts[1])
    assert texts[0].settings == texts[1].settings  # of one row: they belong to the task
    assert texts[0].settings["head.prompts"] == "recipe"


def test_what_cannot_be_is_told_in_a_sentence(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["method=linear", "head=text_prompts"]
    with pytest.raises(UserError, match="needs texts that name the classes, and this data set has"):
        configure(*texts)
    with pytest.raises(UserError, match="model 'vit_mini' has no text tower: take a CLIP"):
        configure(*texts, *PROMPTS, "model.name=vit_mini", "model.text_tower=null")
    with pytest.raises(UserError, match="mean nothing to the random weights"):
        configure(*texts, *PROMPTS, "model.checkpoint=null", "model.pretrained=false")
    own = configure(*texts, *PROMPTS, "model.text_tower=clip_mini")
    with pytest.raises(UserError, match=r"has the word 'photo', .* was trained on 73 words"):
        check_texts(own)
    config = configure(*texts, *PROMPTS)
    monkeypatch.setattr(text_files.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"open_clip, which is not installed: pip install .*\[clip"):
        check_texts(config)


def test_a_name_too_few_is_refused(do: Do) -> None:
    short = [PROMPTS[0].replace(",cnine: nine", ""), PROMPTS[1]]
    with pytest.raises(UserError, match=r"classes has 9 names, and the task has 10 classes"):
        do("method=linear", "head=text_prompts", *short)


def test_tasks_share_the_check_that_parts_fit_but_not_that_of_their_names(
    configure: Configure,
) -> None:
    words = ["method=linear", "head=text_prompts"]
    check_model(configure(*words, *PROMPTS))
    passed = len(_check_fit.found)
    other = [PROMPTS[0].replace(": zero", ": nought"), PROMPTS[1]]
    check_model(configure(*words, *other))
    assert len(_check_fit.found) == passed
    short = [PROMPTS[0].replace(",cnine: nine", ""), PROMPTS[1]]
    with pytest.raises(UserError, match=r"classes has 9 names, and the task has 10 classes"):
        check_model(configure(*words, *short))


def test_kept_features_of_another_backbone_or_damaged_ones_are_refused(
    do: Do, shared_cache: Path
) -> None:
    words = ["method=linear", "head=text_prompts", "train.epochs=0", *PROMPTS]
    do(*words)
    (file,) = (shared_cache / "text").iterdir()
    tensors, said = read_tensors_and_metadata(file)
    again = [*words, "sweep.on_existing=rerun"]
    save_file(tensors, file, {**said, "backbone": "0" * 64})
    with pytest.raises(UserError, match=r"features of texts of another backbone .*: remove it"):
        do(*again)
    save_file(tensors, file, {**said, "tower": "ViT-L-14"})
    with pytest.raises(UserError, match=r"texts of another tower \('ViT-L-14', this run's is"):
        do(*again)
    for forged in (tensors["features"] * torch.inf, tensors["features"].double()):
        save_file({"features": forged}, file, {**said, "sha256": tensor_sha256(forged)})
        with pytest.raises(UserError, match="is damaged: remove it"):
            do(*again)
    save_file({"features": tensors["features"] + 1}, file, said)
    with pytest.raises(UserError, match="is damaged: remove it"):
        do(*again)
