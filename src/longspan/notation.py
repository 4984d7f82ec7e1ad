"""The text form of a scheme: terms joined by ` + `, as in `"rope(theta=1e4) + window(512, sinks=4)"`.

A term is a method's name, with arguments in parentheses where some differ from their defaults; arguments may be
positional in the order of the method's fields. The text is read with Python's own grammar and never executed.
"""

import ast
import inspect
from collections.abc import Mapping
from dataclasses import fields
from math import copysign, inf
from string import ascii_letters, ascii_lowercase, ascii_uppercase
from sys import float_info
from types import NoneType, UnionType
from typing import Any, Literal, TypeGuard, Union, get_args, get_origin, get_type_hints

from longspan.catalogue import RECIPE, Method, everything, methods, mixers
from longspan.descriptions import MIXERS
from longspan.errors import NotationError, nearest, shown
from longspan.geometry import Geometry
from longspan.plan import Plan
from longspan.rotation.nope import NoPE
from longspan.rotation.rope import RoPE
from longspan.scheme import Scheme
from longspan.slots import Mixer, Part

ADVICE = "write 'name(argument=value) + name'"
"""What to do about a scheme that cannot be read."""

DEEPEST = 100
"""Terms and levels of nesting that a text may have: no scheme needs more, and Python's parser has a limit as well."""


def parse(text: str, geometry: Geometry | None = None, length: int | None = None) -> Scheme:
    """The scheme that a text describes; `format_scheme` writes the text of every scheme it returns.

    With a geometry, fields that the text leaves open are filled for reading `length` tokens (the trained length where
    None).

    >>> parse("rerope(1024) + window(512, sinks=4)").mask.sinks
    4

    Errors: NotationError for an unknown name, argument or syntax, and for anything that is not text; SchemeError for
    parts that do not fit each other, and for numbers out of range: all are finite, whole numbers at most 2^62. No text
    raises anything else.
    """
    scheme = Scheme.of(*parts(text, geometry))
    if geometry is None:
        return scheme
    return scheme.fill(geometry, geometry.trained_length if length is None else length)


def parse_plan(
    text: str, geometry: Geometry | None = None, length: int | None = None, num_layers: int | None = None
) -> Plan:
    """The plan that a text describes: a scheme or a mixer for all layers, a recipe of a plan, or a pattern of them.

    `tile` repeats its pattern over any number of layers, `per_layer` spells out all of them. A mixer stands alone, as
    in "mamba(states=8)" or "tile('MMA', M=mamba, A=rope)".

    >>> parse_plan("tile('SSL', S=rope + window(512), L=nope + log_length(512))").layer(2, num_layers=6).rotation
    NoPE()

    Errors: those of `parse`, and SchemeError for a pattern that does not fit its schemes or the model's depth.
    """
    text, tree = _read(text)
    plan = _plan(tree, text, geometry, num_layers)
    if num_layers is not None:
        plan.at(0, num_layers)  # raises where the plan is made for another depth
    if geometry is None:
        return plan
    return plan.fill(geometry, geometry.trained_length if length is None else length)


def parts(text: str, geometry: Geometry | None = None) -> tuple[Part, ...]:
    """The parts that a text names, recipes spelled out, in the order of its terms."""
    text, tree = _read(text)
    return _parts(tree, text, geometry)


def read_value(text: str, classes: Mapping[str, type], what: str) -> Any:
    """The value that one term describes, "name(setting=value)", of classes by name; `format_value` writes its text.

    Settings are fields whose type is a number, a word or one of a few; others keep their default.

    Arguments:
        what: what the classes are, for errors, as in "task".

    Errors: NotationError for a text that is no term, an unknown name and a setting that means nothing.
    """
    text, tree = _read(text, f"write NAME or 'NAME(setting=value)', a {what} by name; texts with / or spaces in quotes")
    name = tree.func if isinstance(tree, ast.Call) else tree
    if not isinstance(name, ast.Name):
        raise NotationError(f"cannot read {shown(text)}: a {what} is written NAME or 'NAME(setting=value)'")
    if name.id not in classes:
        near = nearest(name.id, classes)
        raise NotationError(f"unknown {what} {shown(name.id)}{near}; there are {', '.join(sorted(classes))}")
    made = classes[name.id]
    hints = {f.name: hint for f in fields(made) if _is_readable(hint := get_type_hints(made)[f.name])}
    call = tree if isinstance(tree, ast.Call) else ast.Call(name, [], [])
    return made(**_values(name.id, call, text, hints, list(hints)))


def format_value(value: Any, name: str) -> str:
    """The text from which `read_value` makes the same value: settings that differ from their default, in order."""
    given = {f.name: getattr(value, f.name) for f in fields(value)}
    changed = {f.name: given[f.name] for f in fields(value) if given[f.name] != f.default}
    return name + (f"({', '.join(f'{key}={each!r}' for key, each in changed.items())})" if changed else "")


def format_scheme(scheme: Scheme) -> str:
    """The text from which `parse` makes the same scheme.

    >>> format_scheme(parse("window(512) + rope"))
    'rope + window(size=512)'
    """
    default = Scheme(scale=scheme.default_scale)
    shown = [part for part in scheme.parts() if part != getattr(default, part.slot)]
    if scheme.distance != default.distance:
        shown = [part for part in shown if part != RoPE()]
        if scheme.rotation == NoPE():
            shown.insert(0, scheme.rotation)
    return " + ".join(_format_part(part) for part in shown) or "nope"


def format_plan(plan: Plan) -> str:
    """The text from which `parse_plan` makes the same plan.

    >>> format_plan(Plan.tile("SSL", S=parse("rope"), L=parse("nope")))
    "tile('AAB', A=rope, B=nope)"
    """
    distinct = list(dict.fromkeys(plan.layers))
    if len(plan.layers) == 1 and plan.num_layers is None:
        return _format_layer(distinct[0])
    if len(distinct) > len(ascii_letters):
        raise NotationError(f"the text form of a plan has {len(ascii_letters)} letters, got {len(distinct)} schemes")
    letters = dict(zip(distinct, ascii_uppercase + ascii_lowercase, strict=False))
    pattern = "".join(letters[scheme] for scheme in plan.layers)
    named = ", ".join(f"{letter}={_format_layer(scheme)}" for scheme, letter in letters.items())
    return f"{'tile' if plan.num_layers is None else 'per_layer'}({pattern!r}, {named})"


def _format_layer(layer: Scheme | Mixer) -> str:
    return _format_part(layer) if isinstance(layer, Mixer) else format_scheme(layer)


def _format_part(part: Part) -> str:
    ordered = sorted(fields(part), key=lambda f: f.kw_only is True)
    values = {f.name: getattr(part, f.name) for f in ordered if getattr(part, f.name) != f.default}
    shown = {name: value for name, value in values.items() if not isinstance(value, Part)}
    return part.name + (f"({', '.join(f'{name}={value!r}' for name, value in shown.items())})" if shown else "")


def _read(text: str, advice: str = ADVICE) -> tuple[str, ast.expr]:
    """A text without the space around it, and its tree; errors end with the advice."""
    if not isinstance(text, str):
        raise NotationError(
            f"a scheme is read from text, got {type(text).__name__}; write 'name(argument=value) + name'"
        )
    text = text.strip()
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        where = "" if error.offset is None else f" at character {error.offset}"
        raise _unreadable(text, f"{error.msg}{where}", advice) from None
    except UnicodeEncodeError as error:
        raise _unreadable(text, f"character {error.start + 1} is half of a surrogate pair", advice) from None
    except (RecursionError, MemoryError):
        raise _unreadable(text, f"more than {DEEPEST} terms or levels of nesting", advice) from None
    if _deeper(tree, DEEPEST):
        raise _unreadable(text, f"more than {DEEPEST} terms or levels of nesting", advice)
    return text, tree


def _unreadable(text: str, why: str, advice: str) -> NotationError:
    return NotationError(f"cannot read {shown(text)}: {why}; {advice}")


def _deeper(tree: ast.AST, levels: int) -> bool:
    level = [tree]
    for _ in range(levels):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return bool(level)


def _source(node: ast.expr, text: str) -> str:
    return ast.get_source_segment(text, node) or ""


def _plan(tree: ast.expr, text: str, geometry: Geometry | None, num_layers: int | None) -> Plan:
    name = tree.func if isinstance(tree, ast.Call) else tree
    if isinstance(name, ast.Name):
        if isinstance(tree, ast.Call) and name.id in ("tile", "per_layer"):
            return _pattern(name.id, tree, text, geometry)
        if (method := methods().get(name.id)) and method.makes_plan:
            known = {"num_layers": num_layers, "trained_length": geometry and geometry.trained_length}
            return _made(method, tree, text, known)
    return Plan.everywhere(_layer(tree, text, geometry))


def _layer(tree: ast.expr, text: str, geometry: Geometry | None) -> Scheme | Mixer:
    """What one layer does: a mixer, where the text is one, or the scheme that its terms add up to."""
    name = tree.func if isinstance(tree, ast.Call) else tree
    if isinstance(name, ast.Name) and name.id in mixers():
        return _made(_mixer(name.id), tree, text, {})
    return Scheme.of(*_parts(tree, text, geometry))


def _mixer(name: str) -> Method:
    return next(method for method in everything() if method.slot == MIXERS and method.name == name)


def _pattern(name: str, call: ast.Call, text: str, geometry: Geometry | None) -> Plan:
    pattern = call.args[0].value if len(call.args) == 1 and isinstance(call.args[0], ast.Constant) else None
    letters = [keyword.arg or "**" for keyword in call.keywords]
    if not isinstance(pattern, str) or not set(letters) <= set(ascii_letters):
        raise NotationError(f"cannot read {shown(text)}: write {name}('SSL', S=scheme, L=scheme), a scheme per letter")
    if twice := [letter for letter in letters if letters.count(letter) > 1]:
        raise NotationError(f"{name}: {twice[0]} is given twice")
    schemes = {letter: _layer(each.value, text, geometry) for letter, each in zip(letters, call.keywords, strict=True)}
    tiled = Plan.tile(pattern, **schemes)
    return tiled if name == "tile" else Plan.per_layer(tiled.layers)


def _parts(tree: ast.expr, text: str, geometry: Geometry | None) -> tuple[Part, ...]:
    return tuple(part for term in _terms(tree, text) for part in _parts_of(term, text, geometry))


def _terms(tree: ast.expr, text: str) -> list[ast.expr]:
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add):
        return [*_terms(tree.left, text), *_terms(tree.right, text)]
    if isinstance(tree, (ast.Name, ast.Call)):
        return [tree]
    raise NotationError(
        f"cannot read {shown(_source(tree, text))} in {shown(text)}: write 'name(argument=value)', joined by ' + '"
    )


def _parts_of(term: ast.expr, text: str, geometry: Geometry | None) -> tuple[Part, ...]:
    name = term.func if isinstance(term, ast.Call) else term
    if not isinstance(name, ast.Name):
        raise NotationError(
            f"cannot read {shown(_source(term, text))} in {shown(text)}: a term starts with a method's name"
        )
    method = methods().get(name.id)
    if method is None and name.id in mixers():
        raise NotationError(
            f"{name.id} in {shown(text)} takes the place of a whole scheme: give it alone where a plan is wanted, or "
            "in a pattern, as in tile('MMA', M=mamba, A=rope)"
        )
    if method is None:
        if beside := [method for method in everything() if method.name == name.id]:
            raise NotationError(
                f"{name.id} in {shown(text)} is not a term of a scheme: it belongs to longspan.{beside[0].slot}, which "
                "is chosen beside the scheme"
            )
        near = nearest(name.id, methods())
        raise NotationError(f"unknown method {shown(name.id)} in {shown(text)}{near}; 'longspan methods' lists all")
    if method.makes_plan:
        raise NotationError(
            f"{method.name} is a plan: it gives layers different schemes, so it is not a term of one scheme; "
            "give it alone where a plan is wanted (parse_plan)"
        )
    made = _made(method, term, text, {"trained_length": geometry and geometry.trained_length})
    return made if isinstance(made, tuple) else (made,)


def _made(method: Method, term: ast.expr, text: str, known: dict[str, int | None]) -> Any:
    """What the method makes from the term's arguments; a recipe takes open ones from what is known of the model."""
    given = _arguments(method, term, text) if isinstance(term, ast.Call) else {}
    if method.slot != RECIPE:
        return method.make(**given)
    parameters = inspect.signature(method.make).parameters
    given = {name: value for name, value in known.items() if name in parameters and value is not None} | given
    if missing := [name for name, p in parameters.items() if p.default is p.empty and name not in given]:
        raise NotationError(f"{method.name} needs {', '.join(missing)}: write {method.name}({missing[0]}=...)")
    return method.make(**given)


def _arguments(method: Method, call: ast.Call, text: str) -> dict[str, Any]:
    parameters = inspect.signature(method.make).parameters
    hints = get_type_hints(method.make if inspect.isfunction(method.make) else method.make.__init__)
    hints = {name: hints[name] for name in parameters if not _holds_part(hints[name])}
    positional = [name for name in hints if parameters[name].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    return _values(method.name, call, text, hints, positional)


def _values(called: str, call: ast.Call, text: str, hints: Mapping[str, Any], positional: list[str]) -> dict[str, Any]:
    """The arguments of a call, each of the type that its hint says."""
    if len(call.args) > len(positional):
        raise NotationError(
            f"{called} takes at most {len(positional)} positional arguments ({', '.join(positional)}), "
            f"got {len(call.args)}"
        )
    nodes = dict(zip(positional, call.args, strict=False))
    for keyword in call.keywords:
        if keyword.arg is None or keyword.arg not in hints:
            unknown, taken = keyword.arg or "**", ", ".join(hints) or "none"
            near = nearest(unknown, hints)
            raise NotationError(f"{called} has no argument {shown(unknown)}{near}; it takes {taken}")
        if keyword.arg in nodes:
            raise NotationError(f"{called}: {keyword.arg} is given twice")
        nodes[keyword.arg] = keyword.value
    return {name: _value(called, name, node, text, hints[name]) for name, node in nodes.items()}


def _holds_part(hint: Any) -> bool:
    return any(inspect.isclass(kind) and issubclass(kind, Part) for kind in (hint, *get_args(hint)))


def _value(called: str, name: str, node: ast.expr, text: str, hint: Any) -> Any:
    value = _literal(node, text)
    for kind in get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,):
        if kind is float and _is_number(value):
            return _float(value)
        if kind is float and value == "inf":  # the part refuses it where it means nothing
            return inf
        if kind is int and _is_whole(value):
            return int(value)
        if get_origin(kind) is tuple and isinstance(value, tuple | list):
            if get_args(kind)[0] is float and all(map(_is_number, value)):
                return tuple(map(_float, value))
            if get_args(kind)[0] is int and all(map(_is_whole, value)):
                return tuple(map(int, value))
        if get_origin(kind) is Literal and value in get_args(kind):
            return value
        if kind in (str, bool, NoneType) and isinstance(value, kind):
            return value
    wanted = ", ".join(repr(word) for word in get_args(hint)) if get_origin(hint) is Literal else _readable(hint)
    raise NotationError(f"{called}: {name} must be {wanted}, got {shown(value)}")


def _is_readable(hint: Any) -> bool:
    """Whether `_value` can make a value of this type."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    known = (int, float, str, bool, NoneType, tuple[int, ...], tuple[float, ...])
    return all(kind in known or get_origin(kind) is Literal for kind in kinds)


def _literal(node: ast.expr, text: str) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        return _source(node, text)  # a bare word, as in variant=fixed


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> TypeGuard[float]:
    return _is_number(value) and (isinstance(value, int) or value.is_integer())


def _float(number: float) -> float:
    """The same number; a whole number beyond all floats is infinite, as 1e999 is."""
    return float(number) if abs(number) <= float_info.max else copysign(inf, number > 0 or -1)


def _readable(hint: Any) -> str:
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    names = {
        int: "a whole number",
        float: "a number",
        str: "a word",
        bool: "True or False",
        tuple[int, ...]: "a list of whole numbers",
        tuple[float, ...]: "a list of numbers",
    }
    return " or ".join(names[kind] for kind in kinds if kind is not NoneType)
