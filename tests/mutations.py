"""What can be broken in a line of code: one small change of its meaning at a time.

Comparisons move by one (< to <=), signs flip, factors fall away, minima become maxima, a bound of a clamp falls away,
constants move, conditions turn around, a call on its own is left out. Docstrings, annotations, decorators and the texts
of errors stay as they are; of `require(holds, name, allowed)` only the condition changes.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
OPERATORS: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}
FACTORS = (ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.LShift)
OPPOSITES = {
    name: other
    for pair in (("min", "max"), ("minimum", "maximum"), ("amin", "amax"), ("floor", "ceil"), ("any", "all"))
    for name, other in (pair, pair[::-1])
}
ELEMENTWISE = {"abs", "cos", "detach", "double", "exp", "float", "log", "long", "relu", "sign", "sin", "sqrt", "square"}
"""Methods without arguments whose tensor can stand for their result."""
ATOMS = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.Constant)


@dataclass(frozen=True)
class Mutant:
    """A module with one change.

    Arguments:
        where: the class and function that hold the change.
        number: of the changed line, from one.
        line, becomes: the changed line, before and after; lines of one expression are joined.
        text: the whole module.
    """

    where: str
    number: int
    line: str
    becomes: str
    text: str


def mutants(text: str) -> list[Mutant]:
    """Every mutant of a module that is still Python, each once."""
    found: dict[str, Mutant] = {}
    source = text.encode()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for where, start, stop, new in _Changes(source, starts).of(ast.parse(text)):
        changed = source[:start] + new.encode() + source[stop:]
        try:
            compile(changed, "mutant", "exec")
        except SyntaxError:
            continue
        first = source.rfind(b"\n", 0, start) + 1
        last = source.find(b"\n", stop)
        line, becomes = source[first:last], source[first:start] + new.encode() + source[stop:last]
        number = source.count(b"\n", 0, start) + 1
        found.setdefault(changed.decode(), Mutant(where, number, _one(line), _one(becomes), changed.decode()))
    return list(found.values())


def _one(lines: bytes) -> str:
    return " ".join(lines.decode().split())


Change = tuple[str, int, int, str]
"""The function it is in, the span of bytes, and what to write there."""


class _Changes:
    """The changes of one source, node by node."""

    def __init__(self, source: bytes, starts: list[int]) -> None:
        self.source = source
        self.starts = starts

    def of(self, node: ast.AST, where: str = "") -> Iterator[Change]:
        """All changes of a node and what it holds."""
        if isinstance(node, ast.Raise | ast.JoinedStr):
            return
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            where = f"{where}.{node.name}".removeprefix(".")
        for start, stop, new in self._here(node):
            yield where, start, stop, new
        for child in _meaning(node):
            yield from self.of(child, where)

    def _here(self, node: ast.AST) -> Iterator[tuple[int, int, str]]:
        if isinstance(node, ast.Compare):
            for left, operator, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
                yield self._between(left, right, *COMPARISONS[type(operator)])
        elif isinstance(node, ast.BinOp):
            yield from self._binary(node)
        elif isinstance(node, ast.BoolOp):
            old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
            for left, right in zip(node.values, node.values[1:], strict=False):
                yield self._between(left, right, old, new)
        elif isinstance(node, ast.UnaryOp):
            yield *self._span(node), self._kept(node.operand)
        elif isinstance(node, ast.Constant):
            yield from self._constant(node)
        elif isinstance(node, ast.Call):
            yield from self._call(node)
        elif isinstance(node, ast.AnnAssign):
            yield from self._other_literal(node)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield *self._span(node), "pass"
        elif isinstance(node, ast.If | ast.While | ast.IfExp) and isinstance(node.test, ATOMS):
            yield *self._span(node.test), f"not {self._text(node.test)}"

    def _binary(self, node: ast.BinOp) -> Iterator[tuple[int, int, str]]:
        if type(node.op) in OPERATORS:
            yield self._between(node.left, node.right, *OPERATORS[type(node.op)])
        elif isinstance(node.op, FACTORS):
            yield *self._span(node), self._kept(node.left)
            if isinstance(node.op, ast.Mult):
                yield *self._span(node), self._kept(node.right)

    def _constant(self, node: ast.Constant) -> Iterator[tuple[int, int, str]]:
        value = node.value
        if isinstance(value, bool):
            yield *self._span(node), str(not value)
        elif isinstance(value, int):
            yield *self._span(node), str({0: 1, 1: 0}.get(value, value + 1))
        elif isinstance(value, float):
            yield *self._span(node), str({0.0: 1.0, 1.0: 0.0}.get(value, 2 * value))

    def _call(self, node: ast.Call) -> Iterator[tuple[int, int, str]]:
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if name in OPPOSITES:
            stop = self._span(function)[1]
            yield stop - len(name), stop, OPPOSITES[name]
        if not isinstance(function, ast.Attribute):
            return
        start, stop = self._span(node)
        if name in ELEMENTWISE and not node.args and not node.keywords:
            yield start, stop, self._kept(function.value)
        if name == "clamp":
            bounds = [f"min={self._text(a)}" for a in node.args[:1]] + [f"max={self._text(a)}" for a in node.args[1:]]
            bounds += [self._text(keyword) for keyword in node.keywords]
            tensor = self._kept(function.value)
            if isinstance(function.value, ast.Name) and function.value.id == "torch":
                tensor, bounds = self._kept(node.args[0]), bounds[1:]
            for bound in bounds:
                others = [other for other in bounds if other != bound]
                yield start, stop, f"{tensor}.clamp({', '.join(others)})" if others else tensor

    def _other_literal(self, node: ast.AnnAssign) -> Iterator[tuple[int, int, str]]:
        """Another default of a field that is a Literal."""
        annotation, default = node.annotation, node.value
        if not (isinstance(annotation, ast.Subscript) and isinstance(default, ast.Constant)):
            return
        options = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else []
        for option in options:
            if isinstance(option, ast.Constant) and option.value != default.value:
                yield *self._span(default), repr(option.value)

    def _between(self, left: ast.expr, right: ast.expr, old: str, new: str) -> tuple[int, int, str]:
        """Another operator between two operands."""
        start, stop = self._span(left)[1], self._span(right)[0]
        pattern = re.escape(old).replace(r"\ ", r"\s+").encode()
        found = re.search(rb"(?m)^(?:#[^\n]*|[^#])*?(" + pattern + rb")", self.source[start:stop])
        assert found, (old, self.source[start:stop])
        return start + found.start(1), start + found.end(1), new

    def _span(self, node: ast.AST) -> tuple[int, int]:
        assert isinstance(node, ast.expr | ast.stmt | ast.keyword)
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self.starts[node.lineno - 1] + node.col_offset,
            self.starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def _text(self, node: ast.AST) -> str:
        start, stop = self._span(node)
        return self.source[start:stop].decode()

    def _kept(self, node: ast.AST) -> str:
        """What is left where the rest of an expression falls away."""
        text = self._text(node)
        return text if isinstance(node, ATOMS) else f"({text})"


def _meaning(node: ast.AST) -> Iterator[ast.AST]:
    """The children that say what a node does."""
    aside = {"annotation", "returns", "decorator_list", "type_params"}
    for name, value in ast.iter_fields(node):
        if name in aside:
            continue
        children = value if isinstance(value, list) else [value]
        if name == "args" and _is_require(node):
            children = children[:1]
        for child in children:
            if isinstance(child, ast.AST):
                yield child


def _is_require(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "require"
