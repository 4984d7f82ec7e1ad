"""Task files for lm-evaluation-harness hold the prompts that `longspan measure` asks."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from longspan.errors import InputError
from longspan.measure.corpus.documents import library
from longspan.measure.models.model import LoadedModel
from longspan.measure.statistics.effective import NOLIMA
from longspan.survey.harness.files import write_tasks
from longspan.survey.harness.scoring import process_results
from longspan.survey.plan import SurveyPlan
from longspan.survey.probes import material_of
from longspan.task import task_of
from tiny import bytes_tokenizer, llama

LENGTHS = (900, 1800)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return LoadedModel(llama(256), bytes_tokenizer())


def planned(model: LoadedModel, folder: Path, *tasks: str) -> SurveyPlan:
    """A survey of three documents."""
    for number in range(3):
        (folder / f"{number}.txt").write_text(f"It was day {number}. The sun rose over a quiet valley. " * 60)
    documents = {n: tuple(library([folder], model.tokenizer, n, 3).documents[:3]) for n in LENGTHS}
    return SurveyPlan("m", "float32", "", 64, ("plain",), tasks, (), LENGTHS, documents, NOLIMA)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("task", ["niah_single_2", "niah_multikey_1(keys=2)"])
def test_the_files_hold_what_is_measured(model: LoadedModel, task: str, tmp_path: Path) -> None:
    plan = planned(model, tmp_path, task)
    names = write_tasks(plan, model, tmp_path / "out")
    assert len(names) == len(set(names)) == 2
    for name, length in zip(names, LENGTHS, strict=True):
        settings = yaml.load((tmp_path / "out" / f"{name}.yaml").read_text(), Loader=_Loader)
        found = lines(Path(settings["dataset_kwargs"]["data_files"]["test"]))
        assert (settings["task"], settings["tag"], settings["doc_to_text"]) == (name, "longspan", "input")
        assert settings["process_results"] == f"{process_results.__module__}.process_results"
        assert settings["generation_kwargs"] == {"do_sample": False, "until": [], "max_gen_toks": 128}
        assert len(found) == 3
        for index, line in enumerate(found):
            example = task_of(task).example(material_of(model, plan.documents[length][index]), length, str(index))
            assert line["input"] == example.prompt.text
            assert model.opening + tuple(model.tokenizer(line["input"])["input_ids"]) == example.ids
            assert line["tokens"] + line["room"] == example.length <= length
            output = f"x {example.draft.answers[0]}"
            assert process_results(line, [output])["score"] == example.score(output) == 1


def test_each_prompt_about_one_text_is_an_example(model: LoadedModel, tmp_path: Path) -> None:
    plan = planned(model, tmp_path, "niah_depths(depths=3)")
    name, _ = write_tasks(plan, model, tmp_path / "out")
    found = lines(tmp_path / "out" / f"{name}.jsonl")
    assert [line["index"] for line in found] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert len({line["input"] for line in found}) == 9


@pytest.mark.parametrize("task", ["retrieval", "parity", "mqar"])
def test_a_task_that_is_not_answered_in_writing_is_refused(model: LoadedModel, task: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"task {task} is not answered in writing"):
        write_tasks(planned(model, tmp_path, task), model, tmp_path / "out")


class _Loader(yaml.SafeLoader):
    """Reads a named function as its name."""


_Loader.add_constructor("!function", lambda loader, node: node.value)
