"""Tables in plain text, to read on a terminal and to paste somewhere."""

from collections.abc import Sequence

from longspan.measure.statistics.interval import Estimate


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    r"""Return rows of a table as lines, the first column flush left and numbers flush right.

    >>> print("\n".join(aligned([["method", "loss"], ["plain", "4.10"]])))
    method  loss
    plain   4.10
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    ]


def value(found: Estimate | None, failed: str | None = None) -> str:
    """Return a mean with half its interval.

    >>> value(Estimate(1.0, 0.9, 1.1, 8))
    '1.000 ± 0.100'
    """
    if failed or found is None:
        return "failed" if failed else ""
    return f"{found.value:.3f}" if found.documents < 2 else f"{found.value:.3f} ± {(found.high - found.low) / 2:.3f}"
