from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers.cache_utils import DynamicLayer

from longspan.errors import InputError, RefusalError
from longspan.measure.reading import reader as module
from longspan.measure.reading.reader import Reader
from longspan.measure.reading.token_nll import token_nll
from longspan.pretrained.attach import attached
from longspan.pretrained.running.reserved import ReservedLayer
from reading import counting, scaled
from tiny import gemma2, llama

MODELS = {"llama": lambda: llama(60), "gemma2, softcapped": lambda: gemma2(60)}
IDS = [5, 9, 2, 33, 41, 7, 8, 21, 50, 11]


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_losses_are_those_of_the_models_own_logits(make: Any) -> None:
    model = make()
    reader = Reader(model)
    ids = reader.ids(IDS, IDS[::-1])
    with torch.no_grad():
        logits = model(ids).logits[:, :-1]
    wanted = functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(2, -1)
    assert torch.allclose(token_nll(reader, ids).float(), wanted, atol=1e-4)
    assert torch.allclose(token_nll(reader, ids, 3).float(), wanted[:, -3:], atol=1e-4)


def test_logits_are_made_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    model = llama(60)
    reader = Reader(model)
    ids = reader.ids(IDS * 10)
    whole = token_nll(reader, ids)
    monkeypatch.setattr(module, "SLICE_BYTES", 4 * 60 * 16)
    rows: list[int] = []
    model.lm_head.register_forward_hook(lambda _, args, output: rows.append(output.shape[0]))
    assert torch.allclose(token_nll(reader, ids), whole, atol=1e-5)
    assert max(rows) == 16
    assert sum(rows) == 99


def test_a_model_that_does_more_to_its_logits_is_refused() -> None:
    model = llama(60)
    model.register_forward_hook(lambda _, args, output: setattr(output, "logits", output.logits * 1.5))
    with pytest.raises(RefusalError, match="its loss cannot be measured in slices"):
        Reader(model)


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_a_question_leaves_the_cache_as_it_was(make: Any) -> None:
    reader = Reader(make())
    _, cache = reader.read(reader.ids(IDS * 3))
    first = reader.after(cache, reader.ids([3, 4, 5]))
    reader.after(cache, reader.ids([40]))
    assert torch.equal(reader.after(cache, reader.ids([3, 4, 5])), first)
    fresh = reader.hidden(reader.ids([*IDS * 3, 3, 4, 5]))[:, -3:]
    assert torch.allclose(first, fresh, atol=1e-4)


LONG = torch.randint(2, 60, (200,), generator=torch.Generator().manual_seed(0)).tolist()
METHODS = (
    "rope",
    "rerope(window=16) + log_length(trained_length=64)",
    "self_extend(window=16, group=8)",
    "ntk(factor=4)",
    "dynamic_ntk(trained_length=64)",
)


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("chunk", [37, 199])
def test_a_text_in_chunks_is_the_text(make: Any, method: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hidden states and what is read after them."""
    with attached(make(), method) as model:
        reader = Reader(model)
        ids = reader.ids(LONG)
        whole, cache = reader.read(ids)
        monkeypatch.setattr(module, "WHOLE", 100)
        monkeypatch.setattr(module, "CHUNK", chunk)
        fed = counting(reader, monkeypatch)
        found, chunked = reader.read(ids)
        assert fed == [chunk] * (200 // chunk) + [200 % chunk]
        torch.testing.assert_close(found, whole, atol=1e-4, rtol=0)
        later = reader.ids(LONG[:5])
        torch.testing.assert_close(reader.after(chunked, later), reader.after(cache, later), atol=1e-4, rtol=0)


def test_a_checkpoint_that_follows_the_length_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(scaled("dynamic"))
    monkeypatch.setattr(module, "WHOLE", 40)
    monkeypatch.setattr(module, "CHUNK", 16)
    fed = counting(reader, monkeypatch)
    reader.read(reader.ids(LONG))
    reader.read(reader.ids(LONG[:60]))
    assert fed == [200, 16, 16, 16, 12]


def test_a_token_that_the_model_does_not_have_is_named() -> None:
    with pytest.raises(InputError, match="gives token 60 and the model has 60"):
        Reader(llama(60)).ids([3, 60])


def test_a_model_that_fails_on_its_first_tokens_is_refused() -> None:
    model = llama(60)
    model.model.norm.variance_epsilon = "x"  # type: ignore[assignment]
    with pytest.raises(RefusalError, match="the model fails on its first tokens: TypeError"):
        Reader(model)


@pytest.mark.parametrize("last", [1, 14, 15, 16, 51, 52, 53, 199, 200, 300])
def test_hidden_states_of_the_last_tokens_alone(last: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one go and in chunks, of which the last one has 15 tokens."""
    reader = Reader(llama(60))
    ids = reader.ids(LONG)
    whole, _ = reader.read(ids)
    torch.testing.assert_close(reader.read(ids, last)[0], whole[:, -last:], atol=0, rtol=0)
    monkeypatch.setattr(module, "WHOLE", 100)
    monkeypatch.setattr(module, "CHUNK", 37)
    chunks, _ = reader.read(ids)
    found, cache = reader.read(ids, last)
    torch.testing.assert_close(found, chunks[:, -last:], atol=0, rtol=0)
    assert cache.get_seq_length() == 200


def test_layers_that_do_not_hold_every_token_stay_as_they_are() -> None:
    reader = Reader(gemma2(60))
    _, cache = reader.read(reader.ids([5, 9, 2]))
    kinds = {type(layer) for layer in cache.layers}
    assert ReservedLayer in kinds
    assert all(type(layer) is not DynamicLayer for layer in cache.layers)
    assert any(layer.is_sliding and type(layer) is not ReservedLayer for layer in cache.layers)


def test_a_text_in_chunks_and_questions_after_it_are_written_into_the_same_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WHOLE", 10)
    monkeypatch.setattr(module, "CHUNK", 7)
    reader = Reader(llama(60))
    seen: list[list[int]] = []
    append = Reader.append

    def appended(self: Reader, cache: Any, ids: Any) -> Any:
        found = append(self, cache, ids)
        seen.append(_addresses(found[1]))
        return found

    monkeypatch.setattr(Reader, "append", appended)
    _, cache = reader.read(reader.ids(list(range(2, 52))))
    reader.after(cache, reader.ids([3, 4, 5]))
    assert len(seen) == 7
    assert all(each == seen[0] for each in [*seen, _addresses(cache)])


def _addresses(cache: Any) -> list[int]:
    return [x.untyped_storage().data_ptr() for layer in cache.layers for x in (layer.keys, layer.values)]
