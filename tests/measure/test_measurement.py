import json
from pathlib import Path
from typing import Any

import pytest
import torch

from longspan.errors import InputError
from longspan.measure.corpus.documents import Document, library
from longspan.measure.kinds.context import Context
from longspan.measure.kinds.reading import Reading
from longspan.measure.kinds.retrieval import Retrieval
from longspan.measure.kinds.short import Short
from longspan.measure.kinds.truncation import Truncation
from longspan.measure.measurement import Measurement, measure
from longspan.measure.models.loading import load
from longspan.measure.models.model import LoadedModel
from longspan.measure.reading.reader import Reader
from longspan.measure.reading.token_nll import token_nll
from longspan.study.planning.subject import Subject
from tiny import haystack, save_model, words_tokenizer, write_texts

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
def subject(model: Path) -> Subject:
    return Subject(str(model), "float32", LoadedModel.load(str(model), "float32").fingerprint, 64, LENGTH)


def every_kind(subject: Subject, document: Document, method: str) -> list[Measurement]:
    return [
        subject.ask(Context, document, method, context=128),
        subject.ask(Reading, document, method),
        subject.ask(Retrieval, document, method, 128),
        subject.ask(Truncation, document),
        subject.ask(Short, document),
    ]


def found(asked: Measurement) -> dict[str, Any]:
    return measure(asked.arguments)["result"]


@pytest.mark.parametrize("method", ["plain", METHOD])
def test_a_measurement_is_a_function_of_its_arguments(subject: Subject, document: Document, method: str) -> None:
    """As JSON on another machine: a fresh model, and another method measured in between."""
    loaded = LoadedModel.load(subject.model, subject.dtype)
    for asked in every_kind(subject, document, method):
        first = measure(asked.arguments, loaded)
        assert json.loads(json.dumps(first)) == first
        measure(subject.ask(Reading, document, "window(size=64)").arguments, loaded)
        again = measure(asked.arguments, loaded)
        second = measure(json.loads(json.dumps(asked.arguments)))
        assert first["result"] == again["result"] == second["result"]
        assert first["key"] == second["key"] == asked.key
        assert first["seconds"] > 0
        assert first["peak_bytes"] > 2**20


def test_methods_change_the_result_and_truncation_is_no_method(subject: Subject, document: Document) -> None:
    plain, other = (found(subject.ask(Reading, document, method))["loss"] for method in ("plain", METHOD))
    assert plain != other
    cut, context = found(subject.ask(Truncation, document)), found(subject.ask(Context, document, context=64))
    assert cut["loss"] == pytest.approx(context["loss"], abs=1e-5)
    assert cut["fed"] == context["fed"]


def test_the_price_is_paid_within_the_trained_length(subject: Subject, document: Document) -> None:
    whole, short = found(subject.ask(Reading, document)), found(subject.ask(Short, document))
    assert short == {"short": pytest.approx(whole["short"], abs=1e-5), "fed": 64}


def test_the_method_comes_off_again(subject: Subject, document: Document) -> None:
    first = found(subject.ask(Reading, document))
    found(subject.ask(Reading, document, METHOD))
    assert found(subject.ask(Reading, document)) == first


def test_plain_is_the_model_as_it_came(subject: Subject, document: Document) -> None:
    loss = found(subject.ask(Context, document, context=LENGTH))["loss"]
    tokenizer = words_tokenizer()
    text = haystack(document.tokens(tokenizer), tokenizer, LENGTH, f"0/{document.digest}", tail=subject.tail)
    losses = token_nll(Reader(load(subject.model, "float32")), torch.tensor([text.ids]), subject.tail)
    assert loss == pytest.approx(float(losses.mean()), abs=1e-5)


def test_another_model_under_the_same_name_is_refused(subject: Subject, document: Document) -> None:
    with pytest.raises(InputError, match="is not the model it was"):
        measure({**subject.ask(Reading, document).arguments, "fingerprint": "0" * 16})


def test_an_unknown_kind_is_named(subject: Subject, document: Document) -> None:
    with pytest.raises(InputError, match="no measurement of kind 'taste'"):
        measure({**subject.ask(Reading, document).arguments, "kind": "taste"})


def test_nan_is_a_failure_and_no_number(tmp_path: Path, document: Document) -> None:
    folder = str(save_model(tmp_path, broken=True))
    subject = Subject(folder, "float32", LoadedModel.load(folder, "float32").fingerprint, 64, LENGTH)
    for asked in every_kind(subject, document, "plain"):
        record = measure(asked.arguments)
        assert record["result"] is None
        assert record["failed"] == "the model returned NaN or infinity"
        json.dumps(record, allow_nan=False)


def test_fingerprints_tell_models_apart(tmp_path: Path) -> None:
    from tiny import llama

    tokenizer = words_tokenizer()
    first, same, other = (LoadedModel(llama(len(tokenizer), seed), tokenizer).fingerprint for seed in (0, 0, 1))
    assert first == same != other
