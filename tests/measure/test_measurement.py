import json
from pathlib import Path
from typing import Any

import pytest
import torch

from longspan.errors import InputError
from longspan.measure.grid import Grid
from longspan.measure.loading import load
from longspan.measure.measurement import Bench, bench, key, loaded, measure
from longspan.measure.reader import Reader
from longspan.measure.token_nll import token_nll
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


def every_kind(grid: Grid, document: Document, method: str) -> list[dict[str, Any]]:
    return [
        grid.context(method, document, 128),
        grid.reading(method, document),
        grid.retrieval(method, document, 128),
        grid.truncation(document, LENGTH),
        grid.short(document),
    ]


@pytest.mark.parametrize("method", ["plain", METHOD])
def test_a_measurement_is_a_function_of_its_arguments(grid: Grid, document: Document, method: str) -> None:
    """As JSON on another machine: a fresh model, and another method measured in between."""
    for arguments in every_kind(grid, document, method):
        first = measure(arguments)
        assert json.loads(json.dumps(first)) == first
        loaded.cache_clear()
        measure(grid.reading("window(size=64)", document))
        second = measure(json.loads(json.dumps(arguments)))
        assert first["result"] == second["result"]
        assert first["key"] == second["key"] == key(arguments)
        assert first["seconds"] > 0
        assert first["peak_bytes"] > 2**20


def test_methods_change_the_result_and_truncation_is_no_method(grid: Grid, document: Document) -> None:
    plain, other = (measure(grid.reading(method, document))["result"]["loss"] for method in ("plain", METHOD))
    assert plain != other
    cut, context = (
        measure(x)["result"] for x in (grid.truncation(document, LENGTH), grid.context("plain", document, 64))
    )
    assert cut["loss"] == pytest.approx(context["loss"], abs=1e-5)
    assert cut["fed"] == context["fed"]


def test_the_price_is_paid_within_the_trained_length(grid: Grid, document: Document) -> None:
    whole, short = (measure(x)["result"] for x in (grid.reading("plain", document), grid.short(document)))
    assert short == {"short": pytest.approx(whole["short"], abs=1e-5), "fed": 64}


def test_the_method_comes_off_again(grid: Grid, document: Document) -> None:
    first = measure(grid.reading("plain", document))["result"]
    measure(grid.reading(METHOD, document))
    assert measure(grid.reading("plain", document))["result"] == first


def test_plain_is_the_model_as_it_came(grid: Grid, document: Document) -> None:
    found = measure(grid.context("plain", document, LENGTH))["result"]["loss"]
    tokenizer = words_tokenizer()
    text = haystack(document.tokens(tokenizer), tokenizer, LENGTH, f"0/{document.digest}", tail=grid.tail)
    losses = token_nll(Reader(load(grid.model, "float32")), torch.tensor([text.ids]), grid.tail)
    assert found == pytest.approx(float(losses.mean()), abs=1e-5)


def test_another_model_under_the_same_name_is_refused(grid: Grid, document: Document) -> None:
    with pytest.raises(InputError, match="is not the model it was"):
        measure({**grid.reading("plain", document), "fingerprint": "0" * 16})


def test_an_unknown_kind_is_named(grid: Grid, document: Document) -> None:
    with pytest.raises(InputError, match="no measurement of kind 'taste'"):
        measure({**grid.reading("plain", document), "kind": "taste"})


def test_nan_is_a_failure_and_no_number(tmp_path: Path, document: Document) -> None:
    folder = str(save_model(tmp_path, broken=True))
    grid = Grid(folder, "float32", bench(folder, "float32").fingerprint, 64, LENGTH)
    for arguments in every_kind(grid, document, "plain"):
        record = measure(arguments)
        assert record["result"] is None
        assert record["failed"] == "the model returned NaN or infinity"
        json.dumps(record, allow_nan=False)


def test_fingerprints_tell_models_apart(tmp_path: Path) -> None:
    from tiny import llama

    tokenizer = words_tokenizer()
    first, same, other = (Bench(llama(len(tokenizer), seed), tokenizer).fingerprint for seed in (0, 0, 1))
    assert first == same != other
