import json
from pathlib import Path
from typing import Any

import pytest
import torch

from longspan.errors import InputError
from longspan.measure.kinds import Context, Measurement, Reading, Retrieval, Short, Truncation
from longspan.measure.loading import load
from longspan.measure.measurement import Bench, bench, measure
from longspan.measure.reader import Reader
from longspan.measure.token_nll import token_nll
from longspan.memo import forget
from longspan.study.grid import Grid
from longspan.tasks.documents import Document, library
from longspan.tasks.retrieval import haystack
from tiny import save_model, words_tokenizer, write_texts

LENGTH = 256
METHOD = "rerope(window=16) + log_length(trained_length=64)"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    texts = write_texts(tmp_path_factory.mktemp("texts"), 1, LENGTH)
    return library([texts], words_tokenizer(), LENGTH, 1).documents[0]


@pytest.fixture
def grid(model: Path) -> Grid:
    return Grid(str(model), "float32", bench(str(model), "float32").fingerprint, 64, LENGTH)


def every_kind(grid: Grid, document: Document, method: str) -> list[Measurement]:
    return [
        grid.ask(Context, document, method, context=128),
        grid.ask(Reading, document, method),
        grid.ask(Retrieval, document, method, 128),
        grid.ask(Truncation, document),
        grid.ask(Short, document),
    ]


def found(asked: Measurement) -> dict[str, Any]:
    return measure(asked.arguments)["result"]


@pytest.mark.parametrize("method", ["plain", METHOD])
def test_a_measurement_is_a_function_of_its_arguments(grid: Grid, document: Document, method: str) -> None:
    """As JSON on another machine: a fresh model, and another method measured in between."""
    for asked in every_kind(grid, document, method):
        first = measure(asked.arguments)
        assert json.loads(json.dumps(first)) == first
        forget()
        measure(grid.ask(Reading, document, "window(size=64)").arguments)
        second = measure(json.loads(json.dumps(asked.arguments)))
        assert first["result"] == second["result"]
        assert first["key"] == second["key"] == asked.key
        assert first["seconds"] > 0
        assert first["peak_bytes"] > 2**20


def test_methods_change_the_result_and_truncation_is_no_method(grid: Grid, document: Document) -> None:
    plain, other = (found(grid.ask(Reading, document, method))["loss"] for method in ("plain", METHOD))
    assert plain != other
    cut, context = found(grid.ask(Truncation, document)), found(grid.ask(Context, document, context=64))
    assert cut["loss"] == pytest.approx(context["loss"], abs=1e-5)
    assert cut["fed"] == context["fed"]


def test_the_price_is_paid_within_the_trained_length(grid: Grid, document: Document) -> None:
    whole, short = found(grid.ask(Reading, document)), found(grid.ask(Short, document))
    assert short == {"short": pytest.approx(whole["short"], abs=1e-5), "fed": 64}


def test_the_method_comes_off_again(grid: Grid, document: Document) -> None:
    first = found(grid.ask(Reading, document))
    found(grid.ask(Reading, document, METHOD))
    assert found(grid.ask(Reading, document)) == first


def test_plain_is_the_model_as_it_came(grid: Grid, document: Document) -> None:
    loss = found(grid.ask(Context, document, context=LENGTH))["loss"]
    tokenizer = words_tokenizer()
    text = haystack(document.tokens(tokenizer), tokenizer, LENGTH, f"0/{document.digest}", tail=grid.tail)
    losses = token_nll(Reader(load(grid.model, "float32")), torch.tensor([text.ids]), grid.tail)
    assert loss == pytest.approx(float(losses.mean()), abs=1e-5)


def test_another_model_under_the_same_name_is_refused(grid: Grid, document: Document) -> None:
    with pytest.raises(InputError, match="is not the model it was"):
        measure({**grid.ask(Reading, document).arguments, "fingerprint": "0" * 16})


def test_an_unknown_kind_is_named(grid: Grid, document: Document) -> None:
    with pytest.raises(InputError, match="no measurement of kind 'taste'"):
        measure({**grid.ask(Reading, document).arguments, "kind": "taste"})


def test_nan_is_a_failure_and_no_number(tmp_path: Path, document: Document) -> None:
    folder = str(save_model(tmp_path, broken=True))
    grid = Grid(folder, "float32", bench(folder, "float32").fingerprint, 64, LENGTH)
    for asked in every_kind(grid, document, "plain"):
        record = measure(asked.arguments)
        assert record["result"] is None
        assert record["failed"] == "the model returned NaN or infinity"
        json.dumps(record, allow_nan=False)


def test_fingerprints_tell_models_apart(tmp_path: Path) -> None:
    from tiny import llama

    tokenizer = words_tokenizer()
    first, same, other = (Bench(llama(len(tokenizer), seed), tokenizer).fingerprint for seed in (0, 0, 1))
    assert first == same != other
