"""What a file of torch.save can hold beside plain tensors: each a sentence, none a traceback."""

from __future__ import annotations

import collections
import contextlib
import io
import pickle
import random
import re
import resource
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hydra_peft.backbones.torch_files import read_torch_file
from hydra_peft.errors import UserError
from hydra_peft.quoting import unquoted

PLAIN = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_torch_file(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert "weights_only" not in message  # torch's advice is to read it unsafely
    return message


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("key", ["", "model", "state_dict"])
def test_state_dicts_alone_or_in_a_training_checkpoint(path: Path, key: str, new: bool) -> None:
    content = {key: PLAIN, "epoch": 3, "optimizer": [{}]} if key else PLAIN
    torch.save(content, path, _use_new_zipfile_serialization=new)
    found = read_torch_file(path)
    assert found.keys() == PLAIN.keys()
    assert all(torch.equal(found[name], PLAIN[name]) for name in PLAIN)


@pytest.mark.parametrize(
    ("taken", "other"),
    [("state_dict", "state_dict_ema"), ("model", "model_ema"), ("state_dict", "model")],
)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_of_several_state_dicts_it_is_said_which_is_taken(
    path: Path, caplog: pytest.LogCaptureFixture, taken: str, other: str, prefix: str
) -> None:
    average = {f"{prefix}{name}": tensor + 1 for name, tensor in PLAIN.items()}
    torch.save({other: average, taken: PLAIN, "epoch": 3, "optimizer": {"state": {}}}, path)
    found = read_torch_file(path)
    assert all(torch.equal(found[name], PLAIN[name]) for name in PLAIN)
    (said,) = caplog.messages
    assert f"one model: '{taken}' is taken, and not '{other}': to have another, save" in said
    with unquoted():  # as a run is rebuilt, whose record has the hash of what it took
        read_torch_file(path)
    assert len(caplog.messages) == 1


def test_tensors_of_something_else_beside_are_not_told_of(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save({"model": PLAIN, "random": {"cpu": torch.ones(3)}, "scaler": {}}, path)
    assert read_torch_file(path).keys() == PLAIN.keys()
    assert caplog.messages == []


def test_views_parameters_and_shared_storage(path: Path) -> None:
    whole = torch.arange(1000.0)
    state = {"one": torch.nn.Parameter(whole[:6].view(2, 3).T), "two": whole[3:9]}
    torch.save(state, path)
    found = read_torch_file(path)
    assert all(torch.equal(found[name], state[name]) for name in state)


def test_a_storage_has_few_names(path: Path) -> None:
    tied = torch.ones(10_000, dtype=torch.float64)
    torch.save({str(n): tied for n in range(8)}, path)
    assert len(read_torch_file(path)) == 8
    torch.save({str(n): tied for n in range(12)}, path)
    assert "its 12 tensors hold more values than the file, which they share" in refusal(path)
    torch.save({str(n): tied[n:] for n in range(12)}, path)
    assert "its 12 tensors hold more values than the file, which they share" in refusal(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({3: torch.ones(1)}, "a name in it is of type int"),
        ({(1, 2): torch.ones(1)}, "a name in it is of type tuple"),
        ({None: torch.ones(1)}, "a name in it is of type NoneType"),
        ({b"x": torch.ones(1)}, "a name in it is of type bytes"),
        ({"x": 3}, "'x' is of type int"),
        ({"state_dict_ema": PLAIN}, "but under 'state_dict_ema': save what lies there"),
        (
            {"student": PLAIN, "epoch": 3, "teacher": {**PLAIN}},
            "but under 'student', 'teacher': save",
        ),
        ({"model": {"teacher": PLAIN, "x": 3}}, r"but under 'model\.teacher': save"),
        ({"model": {"name": "vit"}, "ema": PLAIN}, "but under 'ema': save"),
        ({"ema": {"shadow": PLAIN}, "epoch": 3}, "but under 'ema.shadow': save"),
        ({k: {**PLAIN} for k in "abcde"}, "but under 'a', 'b', 'c' and 2 more: save"),
        (dict.fromkeys("abcde", PLAIN), "but under 'a': save"),
        ({"k" * 200: PLAIN}, f"but under '{'k' * 39}…': save"),
        ({"x": torch.ones(1).untyped_storage()}, "'x' is of type "),
        ([PLAIN], "it is of type list"),
        (torch.ones(1), "it is of type Tensor"),
        (None, "it is of type NoneType"),
        ({"x": torch.ones(1).expand(1, 10**9, 48)}, "more values than the file holds"),
        ({"x": np.ones(3)}, "it holds more than a model's tensors"),
        (torch.nn.Linear(2, 2), r"GLOBAL torch\.nn\.modules\.linear\.Linear"),
    ],
)
def test_what_is_no_state_dict_of_plain_tensors(path: Path, content: Any, message: str) -> None:
    torch.save(content, path)
    assert re.search(message, refusal(path))


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (lambda t: t.to_sparse(), "sparse"),
        (lambda t: t.to_sparse_csr(), "sparse"),
        (lambda t: t.to("meta"), "without values"),
        (lambda t: torch.quantize_per_tensor(t, 1.0, 0, torch.qint8), "quantized"),
        (lambda t: torch.nested.nested_tensor([t]), "nested"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_of_other_kinds(path: Path, made: Callable[[Tensor], Tensor], kind: str) -> None:
    torch.save({**PLAIN, "x": made(torch.ones(2, 2))}, path)
    assert f"'x' is {kind}, expected a plain tensor" in refusal(path)


def test_a_dict_that_holds_itself(path: Path) -> None:
    content: dict[str, Any] = {}
    content["model"] = content
    torch.save(content, path)
    assert "'model' is of type dict" in refusal(path)


@pytest.mark.filterwarnings("ignore")
def test_scripted_models(path: Path) -> None:
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), path)
    assert "TorchScript" in refusal(path)


def test_what_unpacks_to_more_than_it_is(path: Path) -> None:
    torch.save({"x": torch.zeros(300_000)}, path)
    packed = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    path.write_bytes(packed.getvalue())
    assert "unpacks to" in refusal(path)


@pytest.mark.parametrize(
    "changed",
    [
        lambda body, directory, ends: body + 2 * directory + ends,
        lambda body, directory, ends: body + 2 * directory + ends[-22:],
        lambda body, directory, ends: body + body + directory + ends,
        lambda body, directory, ends: body + directory + ends[:64] + bytes(8) + ends[72:],
        lambda body, directory, ends: body + directory + ends[:-2] + b"\4\0more",
    ],
    ids=["two", "two of a small file", "content before", "large end elsewhere", "a comment"],
)
def test_torch_and_python_find_one_directory_in_a_zip_file(
    path: Path, changed: Callable[[bytes, bytes, bytes], bytes]
) -> None:
    whole = current(path)
    start = whole.index(b"PK\1\2")
    path.write_bytes(changed(whole[:start], whole[start:-98], whole[-98:]))
    assert "it has not the end that torch.save writes" in refusal(path)


def test_what_torch_finds_by_another_name_keeps_nothing_from_being_checked(path: Path) -> None:
    plant(path, {"x": Called(bytearray, 10**9), **dict.fromkeys(PLAIN)}, new=True)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("weights/CONSTANTS.PKL", b"")  # torch looks whether TorchScript's is there
    assert "Unsupported global: GLOBAL builtins.bytearray" in refusal(path)


@pytest.mark.parametrize("name", ["numel", "element_size", "to", "detach", "is_floating_point"])
def test_attributes_of_a_tensor_are_no_methods(path: Path, name: str) -> None:
    plain, parameter = torch.ones(2), torch.nn.Parameter(torch.ones(2))
    for tensor in (plain, parameter):
        tensor.__dict__[name] = 5
    torch.save({"plain": plain, "parameter": parameter}, path)
    for tensor in read_torch_file(path).values():
        assert torch.equal(tensor, torch.ones(2))
        assert not vars(tensor)


def test_archives_of_other_programs(path: Path) -> None:
    plant(path, {}, new=True)  # by Python, without records for large files
    assert read_torch_file(path) == {}


def legacy(path: Path) -> bytes:
    torch.save(PLAIN, path, _use_new_zipfile_serialization=False)
    return path.read_bytes()


def current(path: Path) -> bytes:
    torch.save(PLAIN, path)
    return path.read_bytes()


def tar(_: Path) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            archive.addfile(tarfile.TarInfo(name))
    return content.getvalue()


@pytest.mark.parametrize("form", [legacy, current, tar])
def test_damage_in_any_format_is_a_sentence(path: Path, form: Callable[[Path], bytes]) -> None:
    whole, draw = form(path), random.Random(0)
    for trial in range(30):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 6)):
            content[draw.randrange(min(len(content), 1500))] = draw.randrange(256)
        path.write_bytes(content[: draw.randrange(len(content)) if trial % 3 == 0 else None])
        with contextlib.suppress(UserError):
            state = read_torch_file(path)
            assert all(isinstance(tensor, Tensor) for tensor in state.values())


@pytest.mark.parametrize("size", [1, 20_000])
def test_torch_looks_for_an_end_before_the_beginning(path: Path, size: int) -> None:
    torch.save({"x": torch.zeros(size // 4 + 1), "y": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:-30])
    assert "truncated" in refusal(path)
    assert "fetch it again" in refusal(path)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\x80\x02}q\x00"])
def test_files_that_are_none_of_torch(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert "truncated, or it holds more than a model's tensors" in refusal(path)


class Called:
    """Pickled as a call of ``function``."""

    def __init__(self, function: Any, *given: Any, state: Any = None, key: Any = None) -> None:
        self.reduced = function, given, state, None, key

    def __reduce__(self) -> Any:
        *reduced, key = self.reduced
        return (*reduced, iter([(key, 1)]) if key else None)


class Stored:
    """Pickled as a storage of so many floats, ``data/0``."""

    def __init__(self, count: int) -> None:
        self.count = count


class WithStorages(pickle._Pickler):
    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, Stored):
            return None
        return ("storage", torch.FloatStorage, "0", "cpu", value.count)


def pickled(value: Any) -> bytes:
    if isinstance(value, bytes):  # the operations themselves
        return b"\x80\x02" + value + b"."
    content = io.BytesIO()
    WithStorages(content, protocol=2).dump(value)
    return content.getvalue()


def plant(path: Path, value: Any, *, new: bool) -> None:
    """Write a file of torch.save whose pickle is that of ``value``."""
    torch.save(PLAIN, path, _use_new_zipfile_serialization=new)
    if not new:
        head = [torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION, {}]
        path.write_bytes(b"".join(map(pickled, [*head, value, ["0"]])) + bytes(32))
        return
    content = io.BytesIO(path.read_bytes())
    with zipfile.ZipFile(content) as old, zipfile.ZipFile(path, "w") as written:
        for name in old.namelist():
            is_pickle = name.endswith("data.pkl")
            written.writestr(name, pickled(value) if is_pickle else old.read(name))


REBUILT = torch._utils._rebuild_tensor_v2
HOOKS: Any = collections.OrderedDict()
FLAT = REBUILT, Stored(6), 0, (6,), (1,), False, HOOKS
KEY: Any = ()
for _ in range(60):
    KEY = (KEY, KEY)
DEEP: Any = ()
for _ in range(100):
    DEEP = (DEEP,)
LONG = list(range(10_000))
FEW, MANY = tuple(LONG), dict.fromkeys(map(str, LONG))


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize(
    "value",
    [
        Called(bytearray, 4 * 10**9),
        Called(torch.FloatTensor, 10**9),
        Called(torch.Tensor, 10**5, 10**5),
        Called(torch.UntypedStorage, 4 * 10**9),
        Called(REBUILT, Stored(6), 0, (10**9,), (1,), False, HOOKS),
        Called(REBUILT, Stored(6), 0, (10**9,), (0,), False, HOOKS),
        Called(REBUILT, Stored(6), 10**9, (1,), (1,), False, HOOKS),
        Called(REBUILT, Stored(10**9), 0, (6,), (1,), False, HOOKS),
        Called(REBUILT, Stored(6), 0, (1,) * 3000, (1,) * 3000, False, HOOKS),
        Called(*FLAT, state=(Stored(6), 0, (10**9,), (1,))),
        Called(torch._utils._rebuild_tensor, Stored(6), 0, (10**9,), (1,)),
        Called(torch._utils._rebuild_device_tensor_from_cpu_tensor, Called(*FLAT), "f", "cpu", 0),
        Called(torch._tensor._rebuild_from_type_v2, bytearray, torch.Tensor, (4 * 10**9,), {}),
        [Called(set, LONG) for _ in range(1000)],
        [Called(collections.Counter, LONG) for _ in range(1000)],
        [Called(torch.Size, FEW) for _ in range(1000)],
        [Called(collections.OrderedDict, state=MANY) for _ in range(1000)],
        Called(collections.OrderedDict, key=KEY),
        DEEP,
        dict.fromkeys(n * (2**61 - 1) for n in LONG[1:]) | dict.fromkeys(map(float, LONG)),
        dict.fromkeys((n, -n) for n in LONG),
        Called(set, [-n for n in LONG] + [n / 3 for n in LONG]),
        Called(collections.Counter, [Called(complex, -1000003 * n, n) for n in LONG]),
        Called(collections.OrderedDict, state={n << 40: n for n in range(11_000)}),
        Called(collections.OrderedDict, [[-n, 0] for n in range(11_000)]),
        Called(__import__("_codecs").encode, "\u20ac" * 1000, "punycode"),
        [None] * 1_000_001,
    ],
)
def test_what_makes_more_than_the_file_holds(path: Path, value: Any, new: bool) -> None:
    plant(path, {"x": value, **dict.fromkeys(PLAIN)}, new=new)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "it holds more than a model's tensors, which is refused" in refusal(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize(
    ("operations", "message"),
    [
        (b"\x8fa" * 4000, "its objects take more than"),
        (b"}a" * 4000, "its objects take more than"),
        (b"".join(b"Nr" + (n << 20).to_bytes(4, "little") + b"a" for n in range(100)), "memo"),
    ],
)
def test_what_takes_memory_or_time_beyond_its_size(
    path: Path, operations: bytes, message: str, new: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hydra_peft.backbones.pickle_sizes._MOST_MADE", 10**6)
    plant(path, b"]" + operations, new=new)
    assert message in refusal(path)


@pytest.mark.parametrize("name", ["items", "get", "keys", "values"])
def test_attributes_of_a_mapping_are_no_methods(path: Path, name: str) -> None:
    shadows = {name: collections.OrderedDict}
    both = [
        [key, Called(collections.OrderedDict, [["a", Called(*FLAT)]], state=shadows)]
        for key in ("model", "model_ema")
    ]
    plant(path, Called(collections.OrderedDict, both, state=shadows), new=True)
    found = read_torch_file(path)
    assert type(found) is dict
    assert torch.equal(found["a"], torch.arange(6.0))


@pytest.mark.parametrize("new", [True, False])
def test_what_training_checkpoints_hold_beside(path: Path, new: bool) -> None:
    state = collections.OrderedDict(PLAIN)
    state._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    marked = torch.nn.Parameter(torch.ones(2))
    marked.kind = "bias"  # type: ignore[attr-defined]
    beside = {
        "sets": {1, 2}, "bytes": [b"abc", bytearray(b"abc")], "size": torch.Size([2, 3]),
        "milestones": collections.Counter([3, 3, 5]), "device": torch.device("cpu"), "z": 1 + 2j,
        "types": [torch.float16, torch.ones(0), torch.ones(()), torch.ones(3, dtype=torch.uint8)],
        "random": torch.get_rng_state(), "marked": marked, "grid": torch.ones(4, 4)[1::2, ::2].T,
        "params": {(0, "a"): [1.5, None, True, -3, 2**40, "\u20ac"]},
    }  # fmt: skip
    torch.save({"model": state, **beside}, path, _use_new_zipfile_serialization=new)
    assert read_torch_file(path).keys() == PLAIN.keys()
