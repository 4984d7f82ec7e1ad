"""A comparison as one self-contained page, and everything else that `longspan report` writes."""

from markupsafe import Markup

from longspan.report.comparison.compare import Comparison
from longspan.report.comparison.text import abouts, difference, reference_sentence, share_text, shown, table, unpaired
from longspan.report.figures.comparison import figures
from longspan.report.page import render
from longspan.report.palette import standalone


def files(comparison: Comparison) -> dict[str, str]:
    """Return what is written, by name of the file."""
    drawn = {_file(name): standalone(drawing) for name, drawing in figures(comparison).items()}
    return {
        "comparison.html": page(comparison),
        "comparison.csv": table(comparison),
        "comparison.txt": share_text(comparison),
        **drawn,
    }


def page(comparison: Comparison) -> str:
    """Return the comparison as HTML; nothing in it is fetched from anywhere."""
    return render(
        "comparison.html",
        folders=list(zip(comparison.folders, abouts(comparison), strict=True)),
        tables=comparison.tables,
        units=comparison.units,
        paired={
            name: unit
            for name, unit in comparison.units.items()
            if any(name in row.differences for row in comparison.rows)
        },
        rows=comparison.rows,
        reference=comparison.reference,
        reference_sentence=reference_sentence(comparison),
        unpaired=unpaired(comparison),
        shown=shown,
        decimals="{:.3f}".format,
        difference=difference,
        figures=[Markup(drawing) for drawing in figures(comparison).values()],
    )


def _file(quantity: str) -> str:
    """The name of a figure's file.

    >>> _file("loss minus truncation's")
    'comparison-loss-minus-truncations.svg'
    """
    words = "".join(each if each.isalnum() or each in "-_" else " " for each in quantity.replace("'", "")).split()
    return f"comparison-{'-'.join(words)}.svg"
