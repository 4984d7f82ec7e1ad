"""An audit as lines and tables for people."""

from collections.abc import Callable, Iterator

from rich.table import Table

from longspan.audit.counting.turns import Turns
from longspan.audit.report import Audit, BaseBound, RotationReport
from longspan.errors import shown
from longspan.report.printable import printable

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def amount(count: float | None) -> str:
    """Bytes for people.

    >>> amount(3 * 2**29)
    '1.5 GiB'
    """
    if count is None:
        return "unknown"
    unit = 0
    while count >= 1024 and unit < len(UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:.4g} {UNITS[unit]}"


def lines(audit: Audit) -> Iterator[str]:
    """What is true of the whole model."""
    yield f"{audit.model}: {audit.model_type}, {audit.dtype}, audited at {audit.length} tokens"
    if audit.assumed:
        yield f"assumed: {audit.assumed}"
    if audit.unknown:
        yield f"unknown: layers and cache; {audit.unknown}"
    if audit.cache_bytes is not None:
        yield (
            f"cache of one row at {audit.length} tokens: {amount(audit.cache_bytes)} in {audit.dtype}, "
            f"{amount(audit.cache_bytes_fp8)} with keys and values in fp8"
        )
    cost = audit.cost
    if cost and cost.crossing:
        each = f" ({cost.crossing / cost.hidden_size:.3g} × the hidden size)" if cost.hidden_size else ""
        windows = f", attention within windows {cost.windows:.3g}" if cost.windows else ""
        yield (
            f"attention to all tokens costs as much as all the rest from {cost.crossing:,.0f} tokens on{each}; "
            f"FLOPs of a token: weights {cost.weights:.3g}{windows}, attention {cost.per_key:.3g} per token it sees"
        )


def tables(audit: Audit) -> Iterator[tuple[str, Table]]:
    """What is true of layers, rotations and fields, each with a title."""
    if audit.layers:
        yield f"Layers (cache at {audit.length} tokens, one row)", _layers(audit)
    if audit.rotations:
        yield (
            f"Rotations (turns within {audit.trained_length} trained tokens; angles at {audit.length})",
            _rotations(audit),
        )
    if audit.fields:
        yield "Position fields of the config, each tried with other values", _fields(audit)


def _layers(audit: Audit) -> Table:
    table = Table(
        "layer type", "count", "attention", "heads / kv", "channels q / v", "rotates", "window, tokens", "seen, tokens",
        "cache", "cache, fp8", box=None,
    )  # fmt: skip
    for group in audit.layers:
        table.add_row(
            printable(group.kind),
            str(group.count),
            group.attention,
            f"{group.num_heads} / {group.num_kv_heads}" if group.num_heads else "–",
            f"{group.head_dim} / {group.value_dim}" if group.num_heads else "–",
            "yes" if group.rotates else "no",
            str(group.window or "none"),
            "all" if group.window is None else str(group.seen or "unknown"),
            amount(group.cache_bytes),
            amount(group.cache_bytes_fp8),
        )
    return table


def _rotations(audit: Audit) -> Table:
    table = Table("", box=None)
    for rotation in audit.rotations:
        table.add_column(printable(rotation.name))
    for name, cell in ROWS:
        table.add_row(name, *(cell(rotation) for rotation in audit.rotations))
    return table


def _slowed(rotation: RotationReport) -> str:
    return "unknown" if rotation.rescaled_by is None else "{:.4g} … {:.4g}".format(*rotation.rescaled_by)


def _frequencies(rotation: RotationReport) -> str:
    moving = [frequency for frequency in rotation.frequencies if frequency]
    return f"{max(moving):.4g} … {min(moving):.4g}" if moving else "none"


def _changes(rotation: RotationReport) -> str:
    if not rotation.changes_at:
        return "never"
    return f"at {rotation.changes_at[0]} tokens"


def _unseen(turns: Turns | None) -> str:
    return (
        "–" if turns is None else f"{turns.unseen_pairs} of {turns.pairs} pairs, {turns.unseen_share:.1%} of all angles"
    )


def _bound(base: BaseBound) -> str:
    if base.satisfied:
        return f"yes, to {base.length} tokens"
    return f"no: from distance {base.first_negative} of {base.length}"


ROWS: tuple[tuple[str, Callable[[RotationReport], str]], ...] = (
    ("layers", lambda r: f"{r.layers} ({', '.join(r.kinds)})" if r.layers else "unknown"),
    ("rescaling (rope_type)", lambda r: r.rescaling),
    ("θ", lambda r: f"{r.theta:g}" if r.theta else "unknown"),
    ("slowed by, against θ alone", _slowed),
    ("gain on cosine and sine", lambda r: f"{r.gain:.5g}"),
    ("rotary channels", lambda r: str(r.channels)),
    ("frequencies, radians per token", _frequencies),
    ("frequencies change first", _changes),
    ("turns of the fastest pair", lambda r: f"{r.turns.fastest:,.1f}"),
    ("turns of the slowest pair", lambda r: f"{r.turns.slowest:.4g}"),
    ("pairs without a whole turn", lambda r: f"{r.turns.incomplete} of {r.turns.pairs}"),
    ("angles not seen in training", lambda r: _unseen(r.turns)),
    ("the same, from the original length", lambda r: _unseen(r.from_original)),
    ("base bound satisfied", lambda r: _bound(r.base)),
    ("smallest θ for it, about", lambda r: f"{r.base.smallest_theta:g}" if r.base.smallest_theta else "–"),
)
"""What is said of each set of frequencies."""


def _fields(audit: Audit) -> Table:
    table = Table("field", "value", "effect", box=None)
    for field in audit.fields:
        value = shown(field.value)
        effect = field.effect + (f", because {field.reason}" if field.reason else "")
        table.add_row(
            printable(field.where), printable(value if len(value) < 40 else f"{value[:37]}…"), printable(effect)
        )
    return table
