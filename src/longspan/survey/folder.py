"""SurveyFolder: the measurements of one model; the same command, or one with more tasks or methods, goes on in it.

run.json, results.jsonl     as in every folder of results (`longspan.grid.folder`)
summary.json                what they say
share.txt                   the same as a short text
curves.svg                  scores by length
"""

import re
from pathlib import Path

from longspan.grid.folder import ResultsFolder
from longspan.survey.plan import SurveyPlan

FORMAT = 1


class SurveyFolder(ResultsFolder):
    """The folder of one model in one dtype.

    Errors: as those of `ResultsFolder`.
    """

    left = re.compile(r"\.(run\.json|summary\.json|share\.txt|curves\.svg)\.\d+")

    def __init__(self, folder: Path, plan: SurveyPlan) -> None:
        of_model = {name: getattr(plan, name) for name in ("model", "dtype", "fingerprint", "trained_length")}
        super().__init__(folder, {"survey": FORMAT, **of_model})
