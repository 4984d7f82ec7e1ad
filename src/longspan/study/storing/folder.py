"""StudyFolder: the measurements of one model at one wanted length; the same command resumes an interrupted study.

run.json, results.jsonl     as in every folder of results (`longspan.grid.folder`)
summary.json                what they say
report.html                 the same as a page
model/                      the extended model
"""

import re
from dataclasses import asdict
from pathlib import Path

from longspan.grid.folder import ResultsFolder
from longspan.study.planning.subject import Subject

FORMAT = 2


class StudyFolder(ResultsFolder):
    """The folder of one subject.

    Errors: as those of `ResultsFolder`.
    """

    left = re.compile(r"\.(run\.json|summary\.json|report\.html)\.\d+|\.model|\.\.model\..+")
    """The last two names are those of older versions."""

    folders = ("model",)

    def __init__(self, folder: Path, subject: Subject) -> None:
        super().__init__(folder, {"format": FORMAT, **asdict(subject)})
