"""What lies in folders that others may have written is data: every reader of it, one overview.

Into each file that is read back: a pickle that would make a marker file, the name of something to
call, a path that leads outside, and an absurd size. Each is refused in one sentence that names the
file, or passed over where the design is to make the file anew.
"""

from __future__ import annotations

import ast
import hashlib
import json
import logging
import os
import pickle
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fabricated_runs import record
from torch import nn

from hydra_peft.adaptation.injection import inject
from hydra_peft.adaptation.storage import load_adapter, save_adapter
from hydra_peft.data.image_cache import open_cache
from hydra_peft.data.manifests import read_manifest
from hydra_peft.errors import UserError
from hydra_peft.runs._claim_files import latest
from hydra_peft.runs.checkpoints import Checkpoints, Origin
from hydra_peft.runs.record import read_record
from hydra_peft.runs.recorded import read_run_config
from hydra_peft.sweeps.announced import read_sweep
from hydra_peft.sweeps.messages import Lines, MessageError, decode_answer, decode_job

ROOT = Path(__file__).resolve().parent.parent
SIZE = (2, 2)


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4))


class Bomb:
    """Unpickled it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


class Pictures:
    """One image, to be decoded into a cache."""

    sha256 = "0" * 64

    def __len__(self) -> int:
        return 1

    def pixels(self, index: int) -> np.ndarray:  # noqa: ARG002
        return np.full((*SIZE, 3), 7, np.uint8)

    def name(self, index: int) -> str:
        return str(index)


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """A file that must not come to be."""
    path = tmp_path / "marker"
    yield path
    assert not path.exists()


def adapter(folder: Path) -> None:
    adapted = model()
    inject(adapted, "lora", targets=["0"], rank=1)
    save_adapter(adapted, folder)


def safetensors(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header


#: file to what reads it; it raises UserError
REFUSING: dict[str, Callable[[Path], object]] = {
    "result.json": lambda path: read_record(path.parent),
    "config.yaml": lambda path: read_run_config(path.parent),
    "adapter.json": lambda path: load_adapter(model(), path.parent),
    "adapter.safetensors": lambda path: load_adapter(model(), path.parent),
    "sweep.json": read_sweep,
    "manifest.json": read_manifest,
}
CALLS = {"_target_": "os.system", "_args_": ["true"]}
EXECUTED = json.dumps({**CALLS, "schema": 1, "format": 1}).encode()
MANIFEST = {"schema": 1, "partial": False, "notes": [], "lists": {}, "splits": {}}
OUTSIDE: dict[str, list[bytes]] = {
    "result.json": [json.dumps({**vars(record()), "traceback": "../../etc/passwd"}).encode()],
    "adapter.json": [
        json.dumps(
            {"format": 1, "method": {"name": name}, "layers": [], "head": [], "backbone": {}}
        ).encode()
        for name in ("../os", "/os", "os")
    ],
    "sweep.json": [
        json.dumps(
            {"schema": 1, "started": "now", "jobs": [{"folder": where, "overrides": ""}]}
        ).encode()
        for where in ("../x", "/etc", "a/../../x", "a/./b", "a//b", "a\0b")
    ],
    "manifest.json": [
        json.dumps({**MANIFEST, "lists": {where: "0"}}).encode() for where in ("../x", "/etc/x")
    ],
}


def refused(file: str, folder: Path, content: bytes | None) -> None:
    """Check that ``file`` with ``content``, or of 10 GiB where that is None, is refused."""
    if file.startswith("adapter"):
        (folder / "adapter.json").unlink(missing_ok=True)  # of the content before
        adapter(folder)
    path = folder / file
    with path.open("wb") as stream:
        if content is None:
            stream.truncate(10 * 2**30)
        else:
            stream.write(content)
    with pytest.raises(UserError) as caught:
        REFUSING[file](path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    if content is None or content.startswith(b"\x80"):
        assert file in sentence


@pytest.mark.parametrize("file", REFUSING)
def test_pickles_are_refused(tmp_path: Path, marker: Path, file: str) -> None:
    for protocol in (0, 4):
        refused(file, tmp_path, pickle.dumps(Bomb(marker), protocol))


@pytest.mark.parametrize("file", REFUSING)
def test_names_of_what_to_call_are_refused(tmp_path: Path, file: str) -> None:
    refused(file, tmp_path, EXECUTED)


@pytest.mark.parametrize("file", REFUSING)
def test_absurd_sizes_are_refused(tmp_path: Path, file: str) -> None:
    refused(file, tmp_path, None)
    refused(file, tmp_path, b"[" * 10**6)


@pytest.mark.parametrize(
    ("file", "content"), [(file, content) for file, list_ in OUTSIDE.items() for content in list_]
)
def test_paths_that_lead_outside_are_refused(tmp_path: Path, file: str, content: bytes) -> None:
    refused(file, tmp_path, content)


@pytest.mark.parametrize("file", REFUSING)
def test_pipes_are_refused_and_not_waited_for(tmp_path: Path, file: str) -> None:
    adapter(tmp_path)
    (tmp_path / file).unlink(missing_ok=True)
    os.mkfifo(tmp_path / file)
    with pytest.raises(UserError, match=re.escape(file)):
        REFUSING[file](tmp_path / file)


@pytest.mark.parametrize("file", ["result.json", "config.yaml", "sweep.json"])
def test_what_may_be_shown_is_not_read_through_links(tmp_path: Path, file: str) -> None:
    (tmp_path / "secret").write_text("{}")
    (tmp_path / file).symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match=f"{re.escape(file)} is a link, which may lead to anything"):
        REFUSING[file](tmp_path / file)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (r'a: {b: "\x24{oc.env:HOME}"}', "holds an interpolation in 'a.b'"),
        (r'{"\x24{x}": 1}', "holds an interpolation at its top"),
        ("a: 2026-01-01", "datetime.date(2026, 1, 1) in 'a': expected text, a finite number"),
        ("a: 2026-99-99", "not valid yaml"),
        ("a: !!set {b}", "holds the tag tag:yaml.org,2002:set"),
        ("a: !!binary aGk=", "holds the tag"),
        ("a: !!timestamp x", "holds the tag"),
        ("a: {~: 1}", "has the key None in 'a': keys are names"),
        ("? [a]\n: b", "not valid yaml"),
        ("a: [.inf]", "has inf in 'a'"),
        ("a: .nan", "has nan in 'a'"),
        ("a: " + "9" * 5000, "not valid yaml"),
        ("a: 0x" + "f" * 5000, "has <thousands of digits> in 'a'"),
        ("? 0x" + "f" * 6000 + "\n: 1", "has the key <thousands of digits> at its top"),
        ("a: {? 1" + ":59" * 3000 + "\n: 1}", "has the key "),
        (r'a: "\ud800"', "not valid yaml"),
        ("- " * 60_000, "nested deeper than a run's config"),
        ("[" * 60_000, "nested deeper|not valid yaml"),
        ("{a: " * 30_000, "nested deeper|not valid yaml"),
    ],
)
def test_what_is_no_plain_yaml_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    pattern = "|".join(re.escape(part) for part in told.split("|"))
    with pytest.raises(UserError, match=rf"config\.yaml .*({pattern})"):
        read_run_config(tmp_path)


def test_halves_of_characters_are_written_out(tmp_path: Path) -> None:
    planted = {**vars(record()), "model": "\ud800", "versions": {"\udc80": "\ud83d\ude00"}}
    (tmp_path / "result.json").write_text(json.dumps(planted))
    read = read_record(tmp_path)
    assert read.model == r"\ud800"
    assert read.versions == {r"\udc80": "\U0001f600"}


def test_aliases_that_fill_all_memory_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 12):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")
    refused("config.yaml", tmp_path, "\n".join(lines).encode())


ORIGIN = Origin("0" * 12, "0" * 64, "0" * 64, "2.6")
#: content for what is made anew where it is not sound
PLANTED: dict[str, Callable[[Path], bytes | None]] = {
    "pickle": lambda marker: pickle.dumps(Bomb(marker)),
    "call": lambda _: EXECUTED,
    "header": lambda _: safetensors(b'{"__metadata__":{"state":"{}","_target_":"os.system"}}'),
    "long header": lambda _: struct.pack("<Q", 2**62),
    "nested": lambda _: b"[" * 10**6,
    "size": lambda _: None,
}


def plant(path: Path, content: bytes | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.truncate(10 * 2**30) if content is None else stream.write(content)


@pytest.mark.parametrize("what", PLANTED)
def test_checkpoints_are_passed_over_with_a_warning(
    tmp_path: Path, marker: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    path = tmp_path / "checkpoints/step-00000001.safetensors"
    plant(path, PLANTED[what](marker))
    logger = logging.getLogger("hydra_peft")
    logger.addHandler(caplog.handler)
    try:
        found = Checkpoints(tmp_path, ORIGIN).newest(lambda *_: None, max_bytes=2**20)
    finally:
        logger.removeHandler(caplog.handler)
    assert found is None
    assert str(path) in caplog.text
    assert "is not resumed from" in caplog.text


@pytest.mark.parametrize("what", PLANTED)
@pytest.mark.parametrize("suffix", [".json", ".u8", ".journal", ".partial"])
def test_the_image_cache_is_made_anew(tmp_path: Path, marker: Path, suffix: str, what: str) -> None:
    def read() -> list[int]:
        cached = open_cache(Pictures(), size=SIZE, folder=tmp_path, title="x")  # type: ignore[arg-type]
        return cached[0:1].flatten().tolist()

    right = [7] * 12
    assert read() == right
    (header,) = tmp_path.glob("images/*.json")
    if suffix in (".journal", ".partial"):
        header.unlink()
    plant(header.with_suffix(suffix), PLANTED[what](marker))
    assert read() == right


@pytest.mark.parametrize("what", PLANTED)
def test_a_claim_is_of_somebody_unknown(tmp_path: Path, marker: Path, what: str) -> None:
    plant(tmp_path / "00000001.json", PLANTED[what](marker))
    found = latest(tmp_path)
    assert found is not None
    assert (found.generation, found.process, found.released) == (1, None, False)


def test_a_claim_is_not_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "00000001.json").symlink_to("/etc/passwd")
    found = latest(tmp_path)
    assert found is not None
    assert found.mark == f"1:{hashlib.sha256(b'').hexdigest()}"


@pytest.mark.parametrize("what", ["pickle", "call", "header", "nested"])
def test_messages_that_are_none(marker: Path, what: str) -> None:
    content = (PLANTED[what](marker) or b"").replace(b"\n", b"")
    for read in (decode_job, lambda line: decode_answer(line, None)):
        with pytest.raises(MessageError):
            read(content)
    with pytest.raises(MessageError, match="too long"):
        list(Lines().add(b" " * (2**20 + 1)))


#: modules whose use can run what a file says
FORBIDDEN = {"marshal", "shelve", "dill", "joblib", "cloudpickle"}


def sources() -> list[Path]:
    return [path for name in ("hydra_peft", "scripts") for path in (ROOT / name).rglob("*.py")]


def complaints(path: Path) -> Iterator[str]:
    """Yield what in ``path`` could run what a file says."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            yield from (name for name in names if name.split(".")[0] in FORBIDDEN)
            if isinstance(node, ast.ImportFrom) and node.module == "pickle":
                yield "from pickle import"
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle":
            if node.attr != "UnpicklingError":  # which torch raises
                yield ast.unparse(node)
        elif isinstance(node, ast.Call):
            yield from _call(node)


def _call(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    never = ("eval", "exec", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system",
             "hydra.utils.instantiate", "instantiate")  # fmt: skip
    wrong = name in never
    wrong |= name == "torch.load" and options.get("weights_only") != "True"
    wrong |= name == "np.load" and options.get("allow_pickle") != "False"
    wrong |= options.get("allow_pickle") == "True" or options.get("shell") == "True"
    if wrong:
        yield ast.unparse(node)


def test_no_source_runs_what_a_file_says() -> None:
    assert len(sources()) > 100
    found = {str(path): list(complaints(path)) for path in sources()}
    assert {path: what for path, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "text",
    ["import shelve", "from pickle import loads", "import pickle; pickle.loads(b'')", "eval('1')",
     "torch.load(f)", "torch.load(f, weights_only=False)", "np.load(f)", "yaml.load(f)"],
)  # fmt: skip
def test_the_search_of_the_source_finds_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.py"
    path.write_text(text)
    assert list(complaints(path))


def test_no_config_names_what_to_call() -> None:
    files = sorted((ROOT / "conf").rglob("*.y*ml"))
    assert len(files) > 40
    for path in files:
        assert "_target_" not in keys(yaml.safe_load(path.read_text(encoding="utf-8"))), path


def keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(map(str, value)).union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


def test_hydra_is_one_that_looks_at_what_it_calls() -> None:
    """The floor's behaviour, a second line behind ours: no name of ``os.system``."""
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    for target in ("os.system", "builtins.exec", "logging.os.system", "posix.system"):
        with pytest.raises(InstantiationException):
            instantiate({"_target_": target, "_args_": ["true"]})
    assert "HYDRA_INSTANTIATE_ALLOWLIST_OVERRIDE" not in os.environ
