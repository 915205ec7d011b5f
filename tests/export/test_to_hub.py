"""Pushed to a hub and loaded from it: what was there, without a network too."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import timm
import torch
from hub_server import Hub, serving, sha_of
from torch import nn

import hydra_peft
from hydra_peft.backbones.vit_mini import VIT_MINI
from hydra_peft.cli import export
from hydra_peft.data import tables_package
from hydra_peft.errors import UserError
from hydra_peft.tensor_files import read_tensors

huggingface_hub = pytest.importorskip("huggingface_hub", reason="pip install 'hydra-peft[hub]'")
constants = pytest.importorskip("huggingface_hub.constants")

ASSET = Path(hydra_peft.__file__).parent / "assets/vit_mini.safetensors"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on this machine, to which somebody is logged in; its cache is the test's own."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    with serving() as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.address)
        template = served.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        huggingface_hub.close_session()  # it keeps the proxies of before
        yield served
        huggingface_hub.close_session()


def backbone() -> nn.Module:
    model = timm.create_model("vit_tiny_patch16_224", num_classes=10, **VIT_MINI)
    model.load_state_dict(read_tensors(ASSET), strict=False)
    return model.eval()


def push(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["export.py", f"run={folder}", "to=hub", *words])
    return export.main()


def test_a_run_is_pushed_and_its_adapter_loaded_with_and_without_a_network(
    hub: Hub,
    make_run: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = make_run("method=hydra", "head.norm=batch")
    assert push(monkeypatch, folder, "output=me/mine", "private=true") == 0
    assert (
        capsys.readouterr().out == f"pushed: {hub.address}/me/mine/commit/{sha_of('me/mine', 1)}\n"
    )
    assert hub.private == {"me/mine"}
    files = hub.commits["me/mine"][-1]
    assert sorted(files) == ["README.md", "adapter.json", "adapter.safetensors"]
    card = files["README.md"].decode()
    assert "hydra_peft.load_adapter(model, 'hf://me/mine')" in card
    run, x = hydra_peft.load_run(folder, device="cpu"), torch.randn(2, 3, 32, 32)
    first = backbone()
    hydra_peft.load_adapter(first, "hf://me/mine")
    expected = run.model(x)
    torch.testing.assert_close(first(x), expected, atol=1e-5, rtol=1e-5)
    # Offline its cache serves, and so does a commit by its name.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.commits.clear()
    for place in ("hf://me/mine", f"hf://me/mine@{sha_of('me/mine', 1)}"):
        again = backbone()
        hydra_peft.load_adapter(again, place)
        assert torch.equal(again(x), first(x))
    with pytest.raises(UserError, match=r"the hub did not give hf://me/other \(.*cache has none"):
        hydra_peft.load_adapter(backbone(), "hf://me/other")


def test_merged_models_and_adapters_of_ones_own_go_too(
    hub: Hub, make_run: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_run("method=lora")
    address = hydra_peft.push_run(folder, "me/merged", "timm")
    assert address.startswith(f"{hub.address}/me/merged/commit/")
    files = hub.commits["me/merged"][-1]
    assert sorted(files) == ["README.md", "config.json", "model.safetensors"]
    assert "timm.create_model('hf-hub:me/merged', pretrained=True)" in files["README.md"].decode()
    whole = timm.create_model("hf-hub:me/merged", pretrained=True).eval()
    x = torch.randn(2, 3, 32, 32)
    run = hydra_peft.load_run(folder, device="cpu")
    torch.testing.assert_close(whole(x), run.model(x), atol=1e-5, rtol=1e-5)

    hydra_peft.inject(model := backbone(), "lora")
    hydra_peft.save_adapter(model, tmp_path / "own")
    (tmp_path / "own" / "notes.txt").write_text("mine alone")
    hydra_peft.push_adapter(tmp_path / "own", "me/own")
    assert sorted(hub.commits["me/own"][-1]) == ["adapter.json", "adapter.safetensors"]
    assert hub.private == set()
    with pytest.raises(UserError, match=r"has no adapter\.json: give a folder that save_adapter"):
        hydra_peft.push_adapter(tmp_path, "me/own")
    with pytest.raises(UserError, match=r"hf://me/merged has no adapter\.json: it holds no such"):
        hydra_peft.load_adapter(backbone(), "hf://me/merged")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "to=hub pushes to a repository: give output=<user>/<name>."),
        (["output=mine"], "'mine' is no repository of the hub: expected <user>/<name>"),
        (["output=a/b/c"], "'a/b/c' is no repository of the hub"),
        (["output=me/mine", "form=zip"], "form=zip is not allowed"),
    ],
)
def test_wrong_words_are_one_sentence(
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    assert push(monkeypatch, tmp_path, *words) == 2
    assert said in capsys.readouterr().err
    assert hub.commits == {}


def test_what_the_hub_refuses_is_one_sentence(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("adapter.json", "adapter.safetensors"):
        (tmp_path / name).write_bytes(b"x")
    hub.refuses = True
    with pytest.raises(UserError, match=r"the hub did not take me/mine \(.*quota"):
        hydra_peft.push_adapter(tmp_path, "me/mine")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UserError, match=r"the hub did not take me/mine \("):
        hydra_peft.push_adapter(tmp_path, "me/mine")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UserError, match=r"nobody is logged in to the hub\. `hf auth login`"):
        hydra_peft.push_adapter(tmp_path, "me/mine")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"nothing can be pushed to me/mine without a network"):
        hydra_peft.push_adapter(tmp_path, "me/mine")
    for place in ("hf://mine", "hf://me/../x", "hf://me/mine@a b"):
        with pytest.raises(UserError, match=r"names no repository: expected hf://<user>/<name>"):
            hydra_peft.load_adapter(backbone(), place)


def test_the_hub_is_told_of_in_a_process_that_has_loaded_nothing_of_it() -> None:
    # huggingface_hub has its modules as attributes after somebody imported them, as timm does.
    code = "import hydra_peft.hub as hub\nhub.check_can_push('me/mine')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "UserError: nothing can be pushed to me/mine without a network" in done.stderr


def test_no_module_of_the_hub_need_be_an_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets", reason="pip install 'hydra-peft[hf]'")
    monkeypatch.delattr(huggingface_hub, "constants")
    assert constants.HF_HUB_CACHE in tables_package.kept_below()
