"""A survey in a short plain text, to read on a terminal and to paste somewhere."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from longspan.measure.diagnostic import diagnostic_of
from longspan.measure.reduction import reduction_of
from longspan.measure.statistics.interval import Estimate
from longspan.report.figures.length import scores_by_length, several_lengths
from longspan.report.palette import standalone
from longspan.report.text import aligned, value
from longspan.survey.summary import Survey, TaskRow
from longspan.task import task_of


def files(survey: Survey) -> dict[str, str]:
    """Return what is written beside summary.json, by name; curves where they have more than one point."""
    curves = {"curves.svg": standalone(scores_by_length(survey))} if several_lengths(survey) else {}
    return {"share.txt": share_text(survey), **curves}


def share_text(survey: Survey) -> str:
    """Return tables, sentences and the command, as plain text."""
    setting = survey.setting
    versions = ", ".join(f"{name} {version}" for name, version in setting.versions.items())
    lines = [f"{setting.model}, trained on {setting.trained_length} tokens, {setting.dtype}"]
    lengths = [str(length) for length in setting.lengths]
    if survey.tasks:
        lines += [
            "",
            *aligned(
                [
                    ["score, 0 to 1 (documents)", *lengths, "guessing"],
                    *(_scores(row, setting.lengths) for row in survey.tasks),
                ]
            ),
        ]
        lines += ["", *(f"{row.task}, {row.method}: {row.sentence}." for row in survey.tasks)]
        lines.append(legend(survey))
    if by_depth := [(row, n, found) for row in survey.tasks for n, found in row.depths.items()]:
        lines += ["", "Scores by where the answer is, from 0, the text's start, to 1:"]
        lines += [f"{row.task}, {row.method} at {n}: {depths_of(found)}" for row, n, found in by_depth]
    if controls := [row for row in survey.tasks if row.controls]:
        lines += ["", f"Controls at {lengths[-1]} tokens, where a high score means that the task proves nothing:"]
        lines += [f"{row.task}, {row.method}: {controls_of(row)}" for row in controls]
    for what, found in (("loss", survey.losses), ("diagnostic", survey.diagnostics)):
        rows = [
            [f"{row.name}, {row.method}", *(value(row.values.get(n), row.failed) for n in setting.lengths), row.unit]
            for row in found
        ]
        lines += ["", *aligned([[f"{what} ± half the 95 % interval", *lengths, ""], *rows])] if rows else []
    lines += ["", *setting.caveats] if setting.caveats else []
    lines += ["", *_explained(survey)]
    return "\n".join([*lines, "", f"{setting.hardware}; {versions}", setting.command]) + "\n"


def legend(survey: Survey) -> str:
    """Return what the sentences about tasks rest on."""
    return (
        f"The short score is the plain model's at {survey.setting.lengths[0]} tokens; at 95%: of a hundred such "
        "sentences, five may be wrong, however often one looks."
    )


def guessing_of(row: TaskRow) -> str:
    """Return what guessing among the choices would score."""
    return "" if row.guessing is None else f"{row.guessing:.2f}"


def _explained(survey: Survey) -> list[str]:
    """What each name stands for, in the first words of its file."""
    named: dict[str, Any] = {row.task: task_of(row.task) for row in survey.tasks}
    named |= {row.name: reduction_of(row.name) for row in survey.losses}
    named |= {row.name: diagnostic_of(row.name) for row in survey.diagnostics}
    words = {name: (inspect.getdoc(inspect.getmodule(type(found))) or "") for name, found in named.items()}
    return [f"{name}: {text.partition(chr(10))[0]}" for name, text in words.items()]


def controls_of(row: TaskRow) -> str:
    """Return the controls of a row in one line, each with the number of documents."""
    return ", ".join(f"{name.replace('_', ' ')} {score(found)}" for name, found in row.controls.items())


def depths_of(found: Mapping[float, Estimate]) -> str:
    """Return scores by depth in one line."""
    return ", ".join(f"{depth:g}: {each.value:.2f}" for depth, each in found.items())


def score(found: Estimate | None, failed: str | None = None) -> str:
    """Return a mean score with the number of documents."""
    return "failed" if failed else "" if found is None else f"{found.value:.2f} ({found.documents})"


def _scores(row: TaskRow, lengths: Sequence[int]) -> list[str]:
    scores = (score(row.scores.get(n), row.failed) for n in lengths)
    return [f"{row.task}, {row.method}", *scores, guessing_of(row)]
