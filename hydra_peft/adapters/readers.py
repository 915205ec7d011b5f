"""Modules that read the weight of a layer in them instead of calling the layer.

A module in the layer's place is then not called, and only what it gives as its weight is seen:
other libraries' adapters give the frozen one. Found in the source of ``forward`` and of what that
calls, since no input is needed for it.
"""

from __future__ import annotations

import ast
import functools
import inspect
import operator
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from hydra_peft.adapters.base import Adapter
from hydra_peft.adapters.described import DESCRIBES

#: functions that look at what a value is
_LOOKS = frozenset(("isinstance", "hasattr", "type"))
_COMPARES: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    **{ast.Is: operator.is_, ast.IsNot: operator.is_not, ast.Eq: operator.eq},
    **{ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le},
    **{ast.Gt: operator.gt, ast.GtE: operator.ge},
}


@dataclass(frozen=True)
class Reading:
    """How the modules around a layer use it.

    Attributes:
        by: the class of one that reads its weight.
        called: whether one calls it too, in another case.
    """

    by: str
    called: bool


def weight_readings(model: nn.Module, layers: Iterable[str]) -> dict[str, Reading]:
    """Return how those of ``layers`` are used whose weight is read, as far as can be told.

    A test of a module's own attributes (``self.q_bias is None``) is decided as the module is, but
    for ``self.training``; of any other both branches count.

    Args:
        model: holds the layers, adapted or not.
        layers: their names.
    """
    found, uses = {}, dict[str, _Uses]()
    for layer in layers:
        parts = layer.split(".")
        holders = [(".".join(parts[:end]), ".".join(parts[end:])) for end in range(len(parts))]
        for holder, _ in holders:
            if holder not in uses:
                uses[holder] = _Uses(model.get_submodule(holder))
        by = [type(uses[h].module).__name__ for h, path in holders if path in uses[h].read]
        if by:
            found[layer] = Reading(by[-1], any(path in uses[h].called for h, path in holders))
    return found


class _Uses(ast.NodeVisitor):
    """What ``module`` reads the weights of, and calls, by dotted names below it."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.read: set[str] = set()
        self.called: set[str] = set()
        self._followed: set[str] = set()
        if not isinstance(module, Adapter) and not _is_slow_encoder(module):
            self._follow("forward")

    def _follow(self, method: str) -> None:
        function = getattr(type(self.module), method, None)
        if inspect.isfunction(function) and method not in self._followed:
            self._followed.add(method)
            self._take(_body(function))

    def generic_visit(self, node: ast.AST) -> None:
        for _, field in ast.iter_fields(node):
            self._take(field if isinstance(field, list) else [field])

    def _take(self, parts: Sequence[Any]) -> None:
        """Visit those of ``parts`` that are syntax, statements as far as they are reached."""
        for part in parts:
            if isinstance(part, ast.AST):
                self.visit(part)
                if self._ends(part):
                    break

    def _ends(self, statement: ast.AST) -> bool:
        """Whether ``statement`` ends the function, whatever the input."""
        if isinstance(statement, ast.If) and (decided := self._decided(statement.test)) is not None:
            return any(map(self._ends, statement.body if decided else statement.orelse))
        return isinstance(statement, ast.Return | ast.Raise)

    def visit_If(self, node: ast.If) -> None:
        decided = self._decided(node.test)
        self.visit(node.test)
        if decided is not False:
            self._take(node.body)
        if decided is not True:
            self._take(node.orelse)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        decided = self._decided(node.test)
        self.visit(node.test)
        for part, taken in ((node.body, True), (node.orelse, False)):
            if decided in (None, taken):
                self.visit(part)

    def visit_Compare(self, node: ast.Compare) -> None:
        if not all(isinstance(op, ast.Is | ast.IsNot) for op in node.ops):
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in _LOOKS:
            return
        if path := _path(node.func):
            self.called.add(path)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        path = _path(node)
        if path is None:
            self.generic_visit(node)
            return
        layer, _, rest = f"{path}.".partition(".weight.")
        if layer != f"{path}." and rest.partition(".")[0] not in DESCRIBES:
            self.read.add(layer)
        self._follow(path)

    def _decided(self, test: ast.expr) -> bool | None:
        """Return what ``test`` is for this module, None where more than its attributes tell."""
        try:
            return bool(self._value(test))
        except (_OpenError, AttributeError, TypeError, ValueError, RuntimeError):
            return None

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not self._value(operand)
            case ast.BoolOp(op=op, values=values):
                return self._joined(values, stops=isinstance(op, ast.Or))
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARES:
                return _COMPARES[type(op)](self._value(left), self._value(right))
        path = _path(node)
        if path is None or path.rpartition(".")[2] == "training":
            raise _OpenError
        return operator.attrgetter(path)(self.module)

    def _joined(self, values: Sequence[ast.expr], *, stops: bool) -> bool:
        """Return whether ``or`` (which ``stops`` at what is true) or ``and`` holds of values."""
        decided = [self._decided(value) for value in values]
        if stops in decided:
            return stops
        if None in decided:
            raise _OpenError
        return not stops


def _is_slow_encoder(module: Any) -> bool:
    """Whether ``module`` is a layer of torch's encoder that never takes its fast path, which reads
    all weights and is guarded by more than attributes."""
    is_encoder = type(module).forward is nn.TransformerEncoderLayer.forward
    return is_encoder and not module.self_attn.batch_first


class _OpenError(Exception):
    """A test of more than a module's attributes."""


def _path(node: ast.expr) -> str | None:
    """Return ``a.b`` of ``self.a.b``, None of another expression."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    is_own = isinstance(node, ast.Name) and node.id == "self" and parts
    return ".".join(reversed(parts)) if is_own else None


@functools.lru_cache(maxsize=1024)
def _body(function: Callable[..., Any]) -> list[ast.stmt]:
    """Return the statements of ``function``; none where its source is not to be had."""
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return []
    return tree.body if isinstance(tree, ast.FunctionDef) else []
