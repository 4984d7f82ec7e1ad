"""The page of a finished study: its summary, with what its model's config and its records add."""

from pathlib import Path

from longspan.report.page import page
from longspan.report.runtimes import lines
from longspan.report.sample import samples
from longspan.study.summary import Summary


def study_page(summary: Summary, folder: Path) -> str:
    """Return the report as HTML.

    Arguments:
        folder: of the study, where its records are.
    """
    return page(summary, lines(summary), samples(summary, folder))
