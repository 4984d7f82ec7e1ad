"""Our tasks as files of lm-evaluation-harness: a YAML file and its examples, one JSON line each, for each length.

The prompts are those that `longspan measure` asks: as long in the model's own tokens, from the same documents.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from longspan.disk import write_atomically
from longspan.errors import InputError
from longspan.measure.models.model import LoadedModel
from longspan.prompts.example import PromptExample, PromptGroup
from longspan.survey.harness.scoring import process_results, written
from longspan.survey.plan import SurveyPlan
from longspan.survey.probes import material_of
from longspan.task import task_of

TAG = "longspan"
"""`--tasks longspan` runs all of them."""


def write_tasks(plan: SurveyPlan, model: LoadedModel, folder: Path) -> tuple[str, ...]:
    """Write the tasks of a survey and return their names in the harness.

    The harness lets a model write as many tokens after each prompt of a task as the longest answer needs.

    Errors: InputError for a task that is not answered in writing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for task in plan.tasks:
        for length in plan.lengths:
            name = "_".join([TAG, *re.findall(r"\w+", task), str(length)])
            lines = list(_lines(plan, model, task, length))
            examples = (folder / f"{name}.jsonl").resolve()
            write_atomically(examples, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
            write_atomically(folder / f"{name}.yaml", _yaml(name, examples, max(line["room"] for line in lines)))
            names.append(name)
    return tuple(names)


def _lines(plan: SurveyPlan, model: LoadedModel, task: str, length: int) -> Iterator[dict[str, Any]]:
    """Every example; of several prompts about one text, each by itself."""
    for index, document in enumerate(plan.documents[length]):
        made = task_of(task).example(material_of(model, document), length, str(index))
        for example in made.examples if isinstance(made, PromptGroup) else (made,):
            if not isinstance(example, PromptExample) or example.draft.choices:
                raise InputError(f"task {task} is not answered in writing: lm-evaluation-harness cannot be given it")
            yield {
                "index": index,
                "input": example.prompt.text,
                "outputs": list(example.draft.answers),
                "scoring": written(example.draft.scoring),
                "tokens": len(example.ids),
                "room": example.room,
                "document": None if document is None else document.name,
            }


def _yaml(name: str, examples: Path, room: int) -> str:
    """The task's file; JSON strings are YAML strings."""
    return f"""# Written by longspan measure --lm-eval. Needs longspan where it runs: it scores the answers.
task: {name}
tag: {TAG}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {json.dumps(str(examples))}
test_split: test
output_type: generate_until
doc_to_text: input
doc_to_target: outputs
process_results: !function {process_results.__module__}.{process_results.__name__}
generation_kwargs:
  do_sample: false
  until: []
  max_gen_toks: {room}
metric_list:
  - metric: score
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1
"""
