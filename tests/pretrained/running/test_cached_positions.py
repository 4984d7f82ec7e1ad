"""A cache in another frame refuses the plain model, whatever is done to it, and stays the cache that it was."""

import copy
import pickle

import pytest
import torch
from torch import Tensor
from transformers import Cache, DynamicCache, LlamaForCausalLM, StaticCache

import longspan
from longspan.errors import RefusalError
from longspan.pretrained.running.cached_positions import CachedPositions, put_back, take
from pretrained.models import logits, tiny_llama, tokens

COPIES = {
    "itself": lambda cache: cache,
    "copy": copy.copy,
    "deep copy": copy.deepcopy,
    "pickle": lambda cache: pickle.loads(pickle.dumps(cache)),
}


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    return tiny_llama()


@pytest.fixture(scope="module")
def words() -> Tensor:
    return tokens(2, 40)


def filled(model: LlamaForCausalLM, words: Tensor, cache: Cache | None = None) -> Cache:
    with longspan.attached(model, "rerope(8)"), torch.no_grad():
        return model(input_ids=words, past_key_values=cache, use_cache=True).past_key_values


@pytest.mark.parametrize("how", COPIES)
def test_copies_refuse_as_well_and_are_read_on(model, words, how):
    cache = COPIES[how](filled(model, words[:, :30]))
    with pytest.raises(RefusalError, match="another frame"):
        logits(model, words[:, 30:], past_key_values=cache)
    with longspan.attached(model, "rerope(8)"):
        torch.testing.assert_close(
            logits(model, words[:, 30:], past_key_values=cache), logits(model, words)[:, 30:], rtol=0, atol=2e-5
        )
    with pytest.raises(RefusalError, match="another frame"):
        logits(model, words[:, :1], past_key_values=cache)


def test_a_deep_copy_is_updated_in_the_place_of_nothing_else(model, words):
    """What refuses does not know the cache: a copy writes into its own layers."""
    cache = filled(model, words[:, :30])
    twin = copy.deepcopy(cache)
    with longspan.attached(model, "rerope(8)"):
        logits(model, words[:, 30:], past_key_values=twin)
    assert (cache.get_seq_length(), twin.get_seq_length()) == (30, 40)


@pytest.mark.parametrize("make", [DynamicCache, lambda: StaticCache(config=tiny_llama().config, max_cache_len=50)])
def test_the_class_of_a_cache_is_its_own(model, words, make):
    cache = make()
    kind = type(cache)
    assert type(filled(model, words, cache)) is kind


def test_rows_of_a_refusing_cache_are_reordered_and_cropped(model, words):
    cache = filled(model, words[:, :30])
    cache.reorder_cache(torch.LongTensor([1, 0]))
    cache.crop(-10)
    with longspan.attached(model, "rerope(8)"):
        found = logits(model, words[:, 20:].flip(0), past_key_values=cache)
        torch.testing.assert_close(found, logits(model, words.flip(0))[:, 20:], rtol=0, atol=2e-5)


def test_a_cache_that_was_emptied_is_any_models(model, words):
    cache = StaticCache(config=model.config, max_cache_len=50)
    filled(model, words, cache)
    cache.reset()
    with longspan.attached(model, "window(size=1000)"):
        logits(model, words[:, :30], past_key_values=cache)
    torch.testing.assert_close(
        logits(model, words[:, 30:], past_key_values=cache), logits(model, words)[:, 30:], rtol=0, atol=2e-5
    )


def test_an_update_that_somebody_set_on_a_cache_is_kept(model, words):
    cache, calls = DynamicCache(), []
    own = cache.update

    def counting(*args, **kwargs):
        calls.append(args)
        return own(*args, **kwargs)

    cache.update = counting
    filled(model, words[:, :30], cache)
    with pytest.raises(RefusalError, match="another frame"):
        logits(model, words[:, 30:], past_key_values=cache)
    assert len(calls) == model.config.num_hidden_layers
    filled(model, words[:, 30:], cache)
    assert len(calls) == 2 * model.config.num_hidden_layers


def test_a_pass_that_fails_inside_another_leaves_the_outer_ones_cache_open(model, words):
    other, cache = filled(model, words), DynamicCache()

    def fail(*_: object) -> None:
        with pytest.raises(RefusalError):
            logits(model, words[:, :1], past_key_values=other)

    with longspan.attached(model, "self_extend(window=8, group=4)"):
        alone = logits(model, words)
        logits(model, words[:, :30], past_key_values=cache)
        handle = model.model.layers[0].register_forward_pre_hook(fail)
        found = logits(model, words[:, 30:], past_key_values=cache)
        handle.remove()
    torch.testing.assert_close(found, alone[:, 30:], rtol=0, atol=2e-5)


def test_positions_are_a_value():
    first = CachedPositions(None).written(0, torch.arange(4)[None])
    second = first.written(2, torch.tensor([[7, 8, 9], [5, 6, 7]]))
    assert first.at(torch.arange(4)).tolist() == [[0, 1, 2, 3]]
    assert second.at(torch.arange(5)).tolist() == [[0, 1, 7, 8, 9], [0, 1, 5, 6, 7]]
    with pytest.raises(RefusalError, match="holds 5 tokens, of which 4 were read"):
        first.written(5, torch.tensor([[5]]))


def test_what_was_put_on_a_cache_is_taken_off_it():
    cache = DynamicCache()
    put_back(cache, CachedPositions("frame", torch.arange(3)[None]))
    put_back(cache, CachedPositions("frame", torch.arange(3)[None]))
    with pytest.raises(RefusalError):
        logits(tiny_llama(), tokens(1, 4), past_key_values=cache)
    assert take(cache, "frame", True).at(torch.tensor([2])).item() == 2
    assert "update" not in vars(cache)
