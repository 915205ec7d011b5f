"""What a pickle of torch's asks for, added up before torch does it.

``weights_only`` keeps code from running, and leaves sizes alone: what it allows can be called with
any number (a ``bytearray`` of 4 GB), be a view that grows its storage or repeats one value, copy
one list a million times, make a set of 216 bytes out of one, or give a dict keys that all have one
hash. Here the pickle is walked with nothing made of it.
"""

from __future__ import annotations

import io
import math
import pickletools
from pathlib import Path
from typing import Any, BinaryIO

import torch

#: beginning by which torch tells its formats apart
ZIP = b"PK\3\4"
#: as of a safetensors header; the pickle of a large model with its optimizer has a megabyte
MAX_PICKLE_BYTES = 16 * 2**20
#: what its objects may take in memory; those of a model of 50,000 tensors do
_MOST_MADE = 128 * 2**20
#: operations of all pickles of a file; 30 a tensor
_MOST_DONE = 1_000_000
#: bytes of any object, roughly; and what some take beyond that
_OBJECT = 32
_BEYOND = {"EMPTY_SET": 200, "EMPTY_DICT": 200, "EMPTY_LIST": 56, "REDUCE": 400, "NEWOBJ": 400}
#: parameters, which optimizers number; other numbers are keys in few places
_COUNTED = 100_000
#: of keys whose hash can be chosen, so that each is compared with each
_MOST_CHOSEN = 10_000
#: by how much places in the memo may be ahead of what it holds; pickles count from 0 or 1
_AHEAD = 1000
#: how often a pickle may copy all that it holds, and what it may copy in any case
_COPIES, _ANYWAY = 8, 10_000
_MOST = 2**60
#: of a tensor; as numpy's
_MAX_DIMENSIONS = 64
#: objects that wait for others; Python puts a thousand into a list at once
_MAX_WAITING = 100_000
#: tuples in each other; what rebuilds a tensor has three
_MAX_DEPTH = 64
#: magic number, version, system, content and keys, before the values in the old format
_OLD_PARTS = 5

_UTILS = "torch._utils._rebuild_"
_TEXTS = ("_codecs.encode", "builtins.bytearray")
_VIEWS = tuple(f"{_UTILS}{name}" for name in ("tensor", "tensor_v2", "tensor_v3", "qtensor"))
_WRAPPERS = (f"{_UTILS}parameter", f"{_UTILS}parameter_with_state", "torch.nn.parameter.Parameter")
_TYPED = "torch._tensor._rebuild_from_type_v2"
#: what makes keys of what it is given, and what may become one
_HASHED = ("collections.OrderedDict", "collections.Counter", "builtins.set")
_HASHABLE = ("builtins.complex", "torch.Size")
#: what makes no more than it is given; the tensors of the last kinds are refused by name later
_PLAIN_CALLS = (
    *(*_HASHED, *_HASHABLE, "torch.device", "torch.serialization._get_layout"),
    *(f"{_UTILS}{name}" for name in ("meta_tensor_no_storage", "wrapper_subclass")),
    f"{_UTILS}nested_tensor",
)
_SPARSE = f"{_UTILS}sparse_tensor"
_SCALARS = ("NONE", "NEWFALSE", "NEWTRUE", "BININT", "BININT1", "BININT2", "BINFLOAT", "LONG1")
_STRINGS = ("BINUNICODE", "SHORT_BINSTRING")
_EMPTY = ("EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET")
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def check_sizes(path: Path) -> None:
    """Check that reading a file of ``torch.save`` makes no more than the file holds.

    Raises:
        ValueError: it makes more, calls what no tensor needs, or is damaged.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(ZIP)) != ZIP:
            file.seek(0)
            stream = io.BytesIO(file.read(MAX_PICKLE_BYTES))
            done = 0
            for _ in range(_OLD_PARTS):
                walk = _Walk(size, min(size, MAX_PICKLE_BYTES), done)
                walk.through(stream)
                done = walk.done
            return
    # torch's own reader: another might find another file in a damaged archive.
    archive: Any = torch._C.PyTorchFileReader(str(path))
    if "constants.pkl" in archive.get_all_records():  # has_record() takes CONSTANTS.PKL as well
        return  # TorchScript, which torch refuses
    pickle = archive.get_record("data.pkl")
    if len(pickle) > MAX_PICKLE_BYTES:
        raise ValueError(f"a pickle of {len(pickle)} bytes beside its values")
    _Walk(size, len(pickle)).through(io.BytesIO(pickle))


class _Name(str):
    """A global that a pickle names."""


class _Value:
    """What stands for one object: a scalar, a tuple of these, a name, or None for all others.

    Attributes:
        weight: what copying, comparing or iterating it takes.
        depth: of tuples in each other.
        chosen: how much in it has a hash that can be chosen, as that of a text can not.
        is_data: whether it is a tensor or a storage, whose weight is the number of its values.
    """

    __slots__ = ("chosen", "depth", "is_data", "plain", "weight")

    def __init__(self, plain: Any = None, weight: int = 1, *, is_data: bool = False) -> None:
        self.plain, self.weight, self.is_data = plain, min(weight, _MOST), is_data
        self.depth = 0
        counts = isinstance(plain, int) and 0 <= plain < _COUNTED
        self.chosen = self.weight if isinstance(plain, int | float | tuple) and not counts else 0

    def take(self, others: list[_Value]) -> None:
        self.weight = min(self.weight + sum(other.weight for other in others), _MOST)
        self.chosen = min(self.chosen + sum(other.chosen for other in others), _MOST)

    def parts(self) -> tuple[_Value, ...]:
        return self.plain if isinstance(self.plain, tuple) else ()


class _Walk:
    """The stack machine of a pickle, with the operations that torch allows.

    Args:
        file_bytes: of the whole file; no tensor or storage has more values.
        pickle_bytes: of which a multiple may be copied.
        done: operations of other pickles of the file.
    """

    def __init__(self, file_bytes: int, pickle_bytes: int, done: int = 0) -> None:
        self.done = done
        self._file_bytes = file_bytes
        self._left = _COPIES * pickle_bytes + _ANYWAY
        self._made_left = _MOST_MADE
        self._chosen_left = _MOST_CHOSEN
        self._sparse_left = _COPIES * file_bytes  # torch compares all places in each
        self._stack: list[_Value] = []
        self._marks: list[list[_Value]] = []
        self._memo: dict[int, _Value] = {}

    def through(self, stream: BinaryIO) -> None:
        """Walk one pickle to its end.

        Raises:
            ValueError: see :func:`check_sizes`.
        """
        try:
            for operation, argument, _ in pickletools.genops(stream):
                self._do(operation.name, argument)
                self.done += 1
                if self.done > _MOST_DONE:
                    raise ValueError(f"it takes more than {_MOST_DONE:,} steps to read")
                self._made_left -= _OBJECT + _BEYOND.get(operation.name, 0)
                if self._made_left < 0:
                    raise ValueError(f"its objects take more than {_MOST_MADE} bytes")
                if len(self._stack) + len(self._marks) > _MAX_WAITING:
                    raise ValueError("it is nested too deeply")
        except (IndexError, KeyError):
            raise ValueError("its pickle takes what is not there") from None

    def _do(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _SCALARS:
            stack.append(_Value(argument))
        elif name in _STRINGS:
            stack.append(_Value(argument, 1 + len(argument)))
        elif name in _EMPTY:
            stack.append(_Value())
        elif name == "GLOBAL":
            module, _, last = argument.partition(" ")
            module = "builtins" if module == "__builtin__" else module
            stack.append(_Value(_Name(f"{module}.{last}")))
        elif name in _TUPLES:
            count = _TUPLES[name]
            self._push_tuple([stack.pop() for _ in range(count)][::-1])
        elif name == "MARK":
            self._marks.append(stack)
            self._stack = []
        elif name in ("TUPLE", "APPENDS", "SETITEMS"):
            self._stack = self._marks.pop()
            self._take(name, stack)
        elif name in ("APPEND", "SETITEM"):
            count = 1 if name == "APPEND" else 2
            self._take(f"{name}S", [stack.pop() for _ in range(count)][::-1])
        elif name in ("BINPUT", "LONG_BINPUT"):
            if argument > len(self._memo) + _AHEAD:  # torch keeps it in a dict
                raise ValueError("its memo is not in order")
            self._memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name in ("REDUCE", "NEWOBJ"):
            given = stack.pop()
            stack.append(self._called(stack.pop(), given))
        elif name == "BUILD":
            self._build(stack.pop())
        elif name == "BINPERSID":
            stack.append(self._storage(stack.pop()))
        elif name not in ("PROTO", "STOP"):
            raise ValueError(f"{name} has no place there")

    def _push_tuple(self, items: list[_Value]) -> None:
        found = _Value(tuple(items))
        found.take(items)
        found.chosen = found.weight
        found.depth = 1 + max((item.depth for item in items), default=0)
        if found.depth > _MAX_DEPTH:
            raise ValueError("it is nested too deeply")
        self._stack.append(found)

    def _take(self, name: str, items: list[_Value]) -> None:
        if name == "TUPLE":
            self._push_tuple(items)
            return
        if name == "SETITEMS":
            self._hash(items[::2])
        self._stack[-1].take(items)

    def _charge(self, values: list[_Value] | tuple[_Value, ...]) -> None:
        self._left -= sum(value.weight for value in values)
        if self._left < 0:
            raise ValueError("it copies more than it holds")

    def _hash(self, values: list[_Value] | tuple[_Value, ...]) -> None:
        """Count what becomes keys; the hash of a tuple is that of all in it, each time."""
        self._chosen_left -= sum(value.chosen for value in values)
        if self._chosen_left < 0:
            raise ValueError(f"more than {_MOST_CHOSEN} keys are neither names nor small numbers")

    def _storage(self, named: _Value) -> _Value:
        kind, _, key, _, count = [part.plain for part in named.parts()[:5]]
        if kind != "storage" or not isinstance(key, str) or not isinstance(count, int):
            raise ValueError("no storage of torch")
        if count > self._file_bytes:
            raise ValueError("a storage has more values than the file holds")
        return _Value(weight=count, is_data=True)

    def _called(self, function: _Value, given: _Value) -> _Value:
        name, values = function.plain, given.parts()
        if not isinstance(name, _Name):
            raise ValueError("it calls what is no function")
        if name == _TYPED:
            self._charge(values[3:])
            return self._called(values[0], values[2])
        if name in _VIEWS or name in _WRAPPERS:
            if name in _VIEWS:
                self._check_view(values)
            self._charge([value for value in values if not value.is_data])
            return _Value(weight=given.weight, is_data=True)
        if name in _TEXTS and _is_text(values):
            self._charge(values)
            return _Value(b"", given.weight)
        if name == _SPARSE:
            self._sparse_left -= given.weight
            if self._sparse_left < 0:
                raise ValueError("sparse tensors share more values than the file holds")
            return _Value(weight=given.weight, is_data=True)
        if name not in _PLAIN_CALLS:
            raise ValueError(f"Unsupported global: GLOBAL {name}")
        self._charge(values)
        if name in _HASHED:
            self._hash(values)
        made = _Value(values[0].plain if name == "torch.Size" else None, given.weight)
        made.chosen = given.weight if name in _HASHABLE else sum(value.chosen for value in values)
        return made

    def _build(self, state: _Value) -> None:
        values = state.parts()
        if len(values) in (3, 4):  # what a tensor of old code is set to
            self._check_view(values)
        self._charge([value for value in values or (state,) if not value.is_data])
        self._hash(() if len(values) in (3, 4) else (state,))

    def _check_view(self, values: tuple[_Value, ...]) -> None:
        """Check a view: storage, offset, size and strides."""
        storage, offset, size, strides = values[:4]
        numbers = [[part.plain for part in one.parts()] for one in (size, strides)]
        flat = [offset.plain, *numbers[0], *numbers[1]]
        if len(flat) > 2 * _MAX_DIMENSIONS or len(numbers[0]) != len(numbers[1]):
            raise ValueError("a tensor has no shape that one can have")
        if not all(isinstance(number, int) and 0 <= number < 2**63 for number in flat):
            raise ValueError("a tensor has no shape that one can have")
        steps = zip(*numbers, strict=True)
        last = offset.plain + sum((count - 1) * stride for count, stride in steps)
        beyond = math.prod(numbers[0]) > self._file_bytes or last >= storage.weight
        if beyond and 0 not in numbers[0]:
            raise ValueError("a tensor has more values than the file holds")


def _is_text(values: tuple[_Value, ...]) -> bool:
    """Whether ``values`` are nothing, bytes, or a text and the encoding in which torch writes
    bytes: others take quadratic time."""
    texts = [value.plain for value in values]
    named = len(texts) == 2 and isinstance(texts[0], str) and texts[1] in ("latin1", "latin-1")
    return named or texts in ([], [b""])
