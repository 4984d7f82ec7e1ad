"""Extended models in lm-evaluation-harness: prompts are read whole or refused, and scores are ours: `make lm-eval`."""

import json
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import longspan
from longspan import bundled
from longspan.cli.progress import Stderr
from longspan.errors import InputError
from longspan.measure.models.model import LoadedModel
from longspan.measure.scoring.examining import examined
from longspan.prompts.scoring import AllOf
from longspan.survey.harness.model import harness_model
from longspan.survey.harness.scoring import written
from longspan.survey.request import Request
from longspan.survey.run import write_for_harness
from longspan.task import Material, task_of
from tiny import TRAINED_LENGTH, bytes_tokenizer, llama

installed = pytest.mark.skipif(find_spec("lm_eval") is None, reason="make lm-eval installs lm-evaluation-harness")
METHOD, LENGTH = "rerope(window=16)", 200


@pytest.fixture
def extended() -> Iterator[Any]:
    """A model of 64 tokens that reads 200."""
    model = llama(256)
    with longspan.attached(model, METHOD, length=LENGTH):
        yield model


def read_by(model: Any, ask: Any) -> list[int]:
    """How many tokens each forward pass reads while something is asked."""
    found: list[int] = []

    def count(module: Any, given: tuple[Any, ...], more: dict[str, Any]) -> None:
        ids: Any = more.get("input_ids", given[0] if given else None)
        found.append(ids.shape[1])

    hook = model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        ask()
    finally:
        hook.remove()
    return found


def written_after(text: str, room: int) -> Any:
    """A request of the harness to write so many tokens."""
    settings = {"until": [], "do_sample": False, "max_gen_toks": room}
    return import_module("lm_eval.api.instance").Instance("generate_until", {}, (text, settings), 0)


def likelihood_of(context: str, continuation: str) -> Any:
    return import_module("lm_eval.api.instance").Instance("loglikelihood", {}, (context, continuation), 0)


def test_without_the_harness_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval.models.huggingface", None)
    with pytest.raises(InputError, match=r"pip install 'longspan\[lm-eval\]'"):
        harness_model(llama(256), bytes_tokenizer())


@installed
def test_a_prompt_beyond_the_trained_length_reaches_the_model_whole(extended: Any) -> None:
    served = harness_model(extended, tokenizer())
    assert served.max_length == LENGTH > TRAINED_LENGTH
    text = "abcdefgh" * 24  # 192 tokens, and 8 to write
    assert read_by(extended, lambda: served.generate_until([written_after(text, 8)]))[0] == 192
    assert read_by(extended, lambda: served.loglikelihood([likelihood_of(text, "ijklmnop")])) == [199]


@installed
def test_a_longer_prompt_is_refused_with_its_numbers(extended: Any) -> None:
    served = harness_model(extended, tokenizer())
    text = "abcdefgh" * 24
    with pytest.raises(InputError, match="a prompt of 192 tokens with 9 after it is longer than the 200"):
        served.generate_until([written_after(text, 9)])
    assert len(served.loglikelihood([likelihood_of(text, "123456789")])) == 1  # the last token is not read
    with pytest.raises(InputError, match="a prompt of 192 tokens with 9 after it is longer than the 200"):
        served.loglikelihood([likelihood_of(text, "1234567890")])
    assert read_by(extended, lambda: harness_model(extended, tokenizer(), 300).generate_until([written_after(text, 9)]))


@installed
def test_the_harness_gives_our_scores(tmp_path: Path) -> None:
    request = Request("bundled", "", tasks=("passkey",), lengths=(768,), docs=3)
    (name,) = write_for_harness(request, Stderr(), tmp_path)
    loaded = LoadedModel.load("bundled", "float32", "cpu")
    loaded.attach("rerope(window=256)")
    ours = []
    for index in range(3):
        example = task_of("passkey").example(Material(loaded.tokenizer, (), loaded.opening), 768, str(index))
        ours.append(examined(loaded, example)["output"])
    lines = [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
    lines[1] |= {"outputs": [ours[1].strip()], "scoring": written(AllOf())}  # the small model finds no pass key
    (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    evaluated = import_module("lm_eval").simple_evaluate(
        model=harness_model(loaded.model, loaded.tokenizer, 768),
        tasks=[name],
        task_manager=import_module("lm_eval.tasks").TaskManager(include_path=str(tmp_path)),
        log_samples=True,
    )
    samples = sorted(evaluated["samples"][name], key=lambda sample: sample["doc_id"])
    assert [sample["resps"][0][0] for sample in samples] == ours
    assert [sample["score"] for sample in samples] == [0, 1, 0]
    assert evaluated["results"][name]["score,none"] == pytest.approx(1 / 3)


@installed
def test_the_lines_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[3] / "docs" / "measure.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    request = Request("bundled", "", tasks=("passkey",), lengths=(768,), docs=1)
    (name,) = write_for_harness(request, Stderr(), tmp_path / "tasks")
    run: dict[str, Any] = {"MODEL": str(bundled.model_path())}
    exec(code, run)
    assert set(run["found"]["results"]) == {name}
    assert run["model"].config.max_position_embeddings == 32768


def tokenizer() -> Any:
    """One token a byte, with the tokens that the harness wants to know."""
    found = bytes_tokenizer()
    found.add_special_tokens({"eos_token": "!", "pad_token": "!"})
    return found
