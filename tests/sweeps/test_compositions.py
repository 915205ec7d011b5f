"""What is kept of composed jobs equals composing them, and is data when it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from hydra_peft.cli import composing, train
from hydra_peft.cli.composing import compositions, expand
from hydra_peft.config.check import check_config
from hydra_peft.sweeps.compositions import (
    Composition,
    is_fixed,
    read_compositions,
    write_compositions,
)

WORDS = ("method=lora,linear", "seed=0,1", "train.clip_grad=null,0.5", "+model.arguments.x=[1,a]")


@pytest.fixture
def composed(root: Path, tmp_path: Path) -> Callable[..., list[Composition]]:
    """Compose a sweep, through what is kept on disk."""

    def call(*words: str, conf: Path | None = None) -> list[Composition]:
        train.register()
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(conf or root / "conf"), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            overrides = [f"paths.cache={tmp_path}/cache", *words]
            config = loader.load_configuration("train", overrides, RunMode.MULTIRUN)
            return compositions(config, loader, expand(config, loader))

    return call


Composed = Callable[..., list[Composition]]


def files(tmp_path: Path) -> set[Path]:
    return set(tmp_path.glob("cache/compositions/*.json"))


def test_what_is_kept_equals_composing_from_scratch(
    composed: Composed, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = composed(*WORDS)
    assert len(first) == 8
    assert len(files(tmp_path)) == 1
    monkeypatch.setattr(composing.Composer, "compose", lambda *_: pytest.fail("composed again"))
    assert composed(*WORDS) == first
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(root / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("train", [], RunMode.MULTIRUN)
        for composition in first:
            whole = loader.load_sweep_config(master, list(composition.job.overrides))
            job = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
            assert json.loads(composition.job.config) == OmegaConf.to_container(job, resolve=False)
            assert composition.config == check_config(job)


def test_policies_do_not_make_another_file(composed: Composed, tmp_path: Path) -> None:
    plain = composed("seed=0,1")
    asked = composed("seed=0,1", "sweep.retry=all", "sweep.dry_run=true")
    assert len(files(tmp_path)) == 1
    for before, after in zip(plain, asked, strict=True):
        assert after.config is not None
        assert before.config is not None
        assert (before.config.sweep.retry, after.config.sweep.retry) == ("none", "all")
        assert json.loads(after.job.config)["sweep"]["dry_run"] is True
        assert "sweep.retry=all" in after.job.overrides
    (wrong, _) = composed("seed=0,1", "sweep.retry=some")
    assert wrong.config is None
    assert "sweep.retry=some is not allowed" in str(wrong.reason)


def test_whatever_changes_composing_changes_the_key(
    composed: Composed, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    conf = tmp_path / "conf"
    shutil.copytree(root / "conf", conf)
    package = tmp_path / "package"
    package.mkdir()
    (package / "a.py").write_text("1")
    monkeypatch.setattr(composing, "PACKAGE", package)
    counts = []

    def count() -> None:
        composed("seed=0,1", conf=conf)
        counts.append(len(files(tmp_path)))

    count()
    with (conf / "method/lora.yaml").open("a") as file:  # of another method than the jobs'
        file.write("# changed\n")
    count()
    (package / "a.py").write_text("2")
    count()
    monkeypatch.setenv("HOME", str(tmp_path))
    count()
    count()
    assert counts == [1, 2, 3, 4, 4]


@pytest.mark.parametrize(
    "text",
    [
        "${oc.env:HOME}",
        "a${ now:%Y}",
        "${hydra:runtime.cwd}",
        "${${seed}:x}",
        "${oc.${seed}:HOME}",
        "${x:${oc.env:HOME}}",
        "${sweep.retry}",
        "${project_root:}/${oc.env:USER}",
    ],
)
def test_what_may_differ_next_time_is_not_kept(text: str) -> None:
    assert not is_fixed(["fine", text])


def test_our_own_interpolations_are_fixed(root: Path) -> None:
    assert is_fixed(["${project_root:}/x", "${fastest_precision:${device}}", "${a.b.${c.d}}"])
    assert is_fixed(["${in_proportion:${a.b},${c.d},${e}}"])
    assert is_fixed(path.read_text() for path in (root / "conf").rglob("*.yaml"))


def test_the_environment_in_an_override_is_read_each_time(
    composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in ("one", "two"):
        monkeypatch.setenv("MINE", value)
        (job, _) = composed("seed=0,1", "model.name=${oc.env:MINE}")
        assert job.config is not None
        assert job.config.model.name == value
    assert not files(tmp_path)


def test_an_interpolation_in_an_override_is_each_jobs_own(composed: Composed) -> None:
    for _ in range(2):
        found = composed("seed=1,2", "optimizer.weight_decay=${seed}")
        assert [c.config.optimizer.weight_decay for c in found if c.config] == [1.0, 2.0]


def sealed(body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def plant(body: dict[str, Any], group: str, key: str, value: Any) -> None:
    job = body["jobs"][0]
    body["parts"].append({**body["parts"][job["typed"][group]], key: value})
    job["typed"][group] = len(body["parts"]) - 1


@pytest.mark.parametrize(
    "change",
    [
        lambda body: plant(body, "model", "_target_", "os.system"),
        lambda body: plant(body, "optimizer", "lr", "1"),
        lambda body: plant(body, "optimizer", "lr", 1),
        lambda body: plant(body, "optimizer", "lr", -1.0),
        lambda body: plant(body, "optimizer", "lr", float("nan")),
        lambda body: plant(body, "dataset", "name", "../../x"),
        lambda body: plant(body, "train", "epochs", True),
        lambda body: body["jobs"][0].update(
            names={**body["jobs"][0]["names"], "method": "os.system"}
        ),
        lambda body: body["jobs"][0]["typed"].update(model=-1),
        lambda body: body["jobs"][0]["typed"].update(model=10**6),
        lambda body: body["jobs"][0]["typed"].pop("model"),
        lambda body: body["jobs"][0].update(overrides=["seed=9"]),
        lambda body: body.update(schema=1),
        lambda body: body.update(jobs=None),
    ],
)
def test_a_planted_file_is_not_believed(
    composed: Composed, tmp_path: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    first = composed("seed=0,1")
    (path,) = files(tmp_path)
    body = json.loads(path.read_bytes().partition(b"\n")[2])
    overrides = [list(c.job.overrides) for c in first]
    path.write_bytes(sealed(body))
    assert read_compositions(path, overrides) == first
    change(body)
    path.write_bytes(sealed(body))
    assert read_compositions(path, overrides) is None
    assert composed("seed=0,1") == first


def test_damage_at_any_place_is_seen(composed: Composed, tmp_path: Path) -> None:
    first = composed("seed=0,1")
    (path,) = files(tmp_path)
    content = path.read_bytes()
    overrides = [list(c.job.overrides) for c in first]
    for place in range(0, len(content), len(content) // 50):
        path.write_bytes(content[:place])
        assert read_compositions(path, overrides) is None
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert read_compositions(path, overrides) is None


def test_a_cache_that_cannot_be_written_is_no_error(composed: Composed, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert len(composed("seed=0,1")) == 2


def test_old_files_go(composed: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hydra_peft.sweeps.compositions.KEPT", 2)
    found = composed("seed=0,1")
    for name in "abc":
        write_compositions(tmp_path / f"cache/compositions/{name}.json", found)
    assert len(files(tmp_path)) == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("seed=0,1",), "bf16"),
        (("device=cpu",), "fp32"),
        (("precision=fp32",), "fp32"),
        (("+model.arguments.x=${precision}",), "bf16"),
        (("model.name=${fastest_precision:cuda}",), "bf16"),
    ],
)
def test_the_devices_here_decide_the_precision_that_was_left_to_them(
    composed: Composed, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], expected: str
) -> None:
    def fastest(device: str) -> str:
        return "fp32" if device == "cpu" else "bf16"

    jobs = composed(*words)
    assert {job.config.precision for job in jobs if job.config} == {"fp32"}  # nobody was asked
    monkeypatch.setattr("hydra_peft.training.devices.fastest_precision", fastest)
    for job in composing.on_devices(jobs):
        assert job.config is not None
        assert job.config.precision == expected
        assert job.config == check_config(OmegaConf.create(json.loads(job.job.config)))
