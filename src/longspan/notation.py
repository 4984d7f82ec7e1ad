"""The text form of a scheme: terms joined by ` + `, as in `"rope(theta=1e4) + window(512, sinks=4)"`.

A term is a method's name, with arguments in parentheses where some differ from their defaults; arguments may be
positional in the order of the method's fields. The text is read with Python's own grammar and never executed.
"""

import ast
import inspect
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from longspan.catalogue import Method, methods
from longspan.errors import NotationError, nearest
from longspan.geometry import Geometry
from longspan.rotation.nope import NoPE
from longspan.rotation.rope import RoPE
from longspan.scheme import Scheme
from longspan.slots import Part


def parse(text: str, geometry: Geometry | None = None, length: int | None = None) -> Scheme:
    """The scheme that a text describes.

    With a geometry, what the text leaves open is closed for reading `length` tokens (the trained length where None).

    >>> parse("rerope(1024) + window(512, sinks=4)").mask.sinks
    4

    Errors: NotationError for an unknown name, argument or syntax; SchemeError for what fits no equation.
    """
    scheme = Scheme.of(*parts(text))
    if geometry is None:
        return scheme
    return scheme.fill(geometry, geometry.trained_length if length is None else length)


def parts(text: str) -> tuple[Part, ...]:
    """The parts that a text names, recipes spelled out, in the order of its terms."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise NotationError(
            f"cannot read {text!r}: {error.msg} at character {error.offset}; write 'name(argument=value) + name'"
        ) from None
    return tuple(part for term in _terms(tree, text) for part in _parts_of(term, text))


def format_scheme(scheme: Scheme) -> str:
    """The text that `parse` turns back into the scheme.

    >>> format_scheme(parse("window(512) + rope"))
    'rope + window(size=512)'
    """
    default = Scheme()
    shown: list[Part] = []
    for part in scheme.parts():
        if part.slot == "scale":
            multiplied = scheme.scale.multiplies
            shown += [scale for scale in (multiplied, scheme.scale) if scale and scale != scheme.brought_scale()]
        elif part != getattr(default, part.slot):
            shown.append(part)
    if scheme.distance != default.distance:
        shown = [part for part in shown if part != RoPE()]
        if scheme.rotation == NoPE():
            shown.insert(0, scheme.rotation)
    return " + ".join(_format_part(part) for part in shown) or "nope"


def _format_part(part: Part) -> str:
    ordered = sorted(fields(part), key=lambda f: f.kw_only is True)
    values = {f.name: getattr(part, f.name) for f in ordered if getattr(part, f.name) != f.default}
    shown = {name: value for name, value in values.items() if not isinstance(value, Part)}
    return part.name + (f"({', '.join(f'{name}={value!r}' for name, value in shown.items())})" if shown else "")


def _terms(tree: ast.expr, text: str) -> list[ast.expr]:
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add):
        return [*_terms(tree.left, text), *_terms(tree.right, text)]
    if isinstance(tree, (ast.Name, ast.Call)):
        return [tree]
    raise NotationError(f"cannot read {ast.unparse(tree)!r} in {text!r}: write 'name(argument=value)', joined by ' + '")


def _parts_of(term: ast.expr, text: str) -> tuple[Part, ...]:
    name = term.func if isinstance(term, ast.Call) else term
    if not isinstance(name, ast.Name):
        raise NotationError(f"cannot read {ast.unparse(term)!r} in {text!r}: a term starts with a method's name")
    method = methods().get(name.id)
    if method is None:
        near = nearest(name.id, methods())
        raise NotationError(f"unknown method {name.id!r} in {text!r}{near}; 'longspan methods' lists all")
    given = _arguments(method, term) if isinstance(term, ast.Call) else {}
    made = method.make(**given)
    return made if isinstance(made, tuple) else (made,)


def _arguments(method: Method, call: ast.Call) -> dict[str, Any]:
    parameters = inspect.signature(method.make).parameters
    hints = get_type_hints(method.make if inspect.isfunction(method.make) else method.make.__init__)
    hints = {name: hints[name] for name in parameters if not _holds_part(hints[name])}
    positional = [name for name in hints if parameters[name].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    if len(call.args) > len(positional):
        raise NotationError(
            f"{method.name} takes at most {len(positional)} positional arguments ({', '.join(positional)}), "
            f"got {len(call.args)}"
        )
    nodes = dict(zip(positional, call.args, strict=False))
    for keyword in call.keywords:
        if keyword.arg not in hints:
            near = nearest(str(keyword.arg), hints)
            taken = ", ".join(hints) or "none"
            raise NotationError(f"{method.name} has no argument {keyword.arg!r}{near}; it takes {taken}")
        if keyword.arg in nodes:
            raise NotationError(f"{method.name}: {keyword.arg} is given twice")
        nodes[keyword.arg] = keyword.value
    return {name: _value(method, name, node, hints[name]) for name, node in nodes.items()}


def _holds_part(hint: Any) -> bool:
    return any(inspect.isclass(kind) and issubclass(kind, Part) for kind in (hint, *get_args(hint)))


def _value(method: Method, name: str, node: ast.expr, hint: Any) -> Any:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        value = ast.unparse(node)  # a bare word, as in variant=fixed
    for kind in get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,):
        if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if kind is int and isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer():
            return int(value)
        if get_origin(kind) is tuple and isinstance(value, tuple | list):
            return tuple(float(item) for item in value)
        if get_origin(kind) is Literal and value in get_args(kind):
            return value
        if kind in (str, bool, NoneType) and isinstance(value, kind):
            return value
    wanted = ", ".join(repr(word) for word in get_args(hint)) if get_origin(hint) is Literal else _readable(hint)
    raise NotationError(f"{method.name}: {name} must be {wanted}, got {value!r}")


def _readable(hint: Any) -> str:
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    names = {int: "a whole number", float: "a number", str: "a word", bool: "True or False"}
    return " or ".join(names.get(kind, "a list of numbers") for kind in kinds if kind is not NoneType)
