"""SearchFolder: the measurements of one search; the same command resumes it, and a larger budget goes on.

run.json, results.jsonl     as in every folder of results (`longspan.grid.folder`)
summary.json                what they say
model/                      the model with the scheme that the judgement recommends
"""

import re
from dataclasses import asdict
from pathlib import Path

from longspan.grid.folder import ResultsFolder
from longspan.search.request import Over
from longspan.study.planning.subject import Subject

FORMAT = 1


class SearchFolder(ResultsFolder):
    """The folder of one subject, one thing that is searched, and one seed.

    Errors: as those of `ResultsFolder`.
    """

    left = re.compile(r"\.(run\.json|summary\.json)\.\d+|\.model")
    folders = ("model",)

    def __init__(self, folder: Path, subject: Subject, over: Over, seed: int) -> None:
        super().__init__(folder, {"search": FORMAT, "over": over, "candidates_seed": seed, **asdict(subject)})
