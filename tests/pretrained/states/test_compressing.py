"""A model whose layers keep codes: against the same model with all keys, and against itself read in other parts."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, LlamaForCausalLM, StaticCache

from longspan.errors import RefusalError
from longspan.pretrained.attach import attached, detach, extend
from longspan.pretrained.attachment import attachment_of
from longspan.pretrained.states.compressing import CompressedLayer
from pretrained.models import in_parts, logits, tiny_llama, tokens

FEW = "rerope(window=4) + log_length(32) + compressed(codes=3)"
LENGTH = 41


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    return tiny_llama().double()


def layers(cache: DynamicCache) -> list[CompressedLayer]:
    assert all(isinstance(layer, CompressedLayer) for layer in cache.layers)
    return list(cache.layers)  # pyright: ignore[reportReturnType]


def filled(model: LlamaForCausalLM, words: Tensor) -> DynamicCache:
    cache = DynamicCache(config=model.config)
    in_parts(model, words, [words.shape[1]], cache)
    return cache


def test_a_code_for_every_far_key_is_rerope(model: LlamaForCausalLM) -> None:
    words = tokens(2, LENGTH)
    with attached(model, "rerope(window=4) + log_length(32)"):
        wanted = logits(model, words)
    with attached(model, f"rerope(window=4) + log_length(32) + compressed(codes={LENGTH})"):
        torch.testing.assert_close(logits(model, words), wanted, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(in_parts(model, words, [17, 1, 1, 22]), wanted, rtol=1e-9, atol=1e-9)


def test_no_cut_and_no_padding_changes_anything(model: LlamaForCausalLM) -> None:
    """The codes matter here: with so few, logits are others than with all keys."""
    words = tokens(2, LENGTH)
    with attached(model, "rerope(window=4) + log_length(32)"):
        exact = logits(model, words)
    with attached(model, FEW):
        wanted = logits(model, words)
        assert (wanted - exact).abs().max() > 0.05 * exact.std()
        for sizes in ([LENGTH], [1] * LENGTH, [8, 13, 20]):
            torch.testing.assert_close(in_parts(model, words, sizes), wanted, rtol=1e-9, atol=1e-9)
        padded = torch.cat([torch.zeros(2, 6, dtype=torch.long), words], 1)
        padded[0] = padded[0].roll(-3)
        mask = (torch.arange(LENGTH + 6) >= torch.tensor([[3], [6]])) & (
            torch.arange(LENGTH + 6) < torch.tensor([[LENGTH + 3], [LENGTH + 6]])
        )
        found = in_parts(model, padded, [19, 1, LENGTH - 14], DynamicCache(), mask.long())
        torch.testing.assert_close(found[mask], wanted.flatten(0, 1), rtol=1e-9, atol=1e-9)


def test_a_cache_does_not_grow_with_the_text_and_copies_stand_alone(model: LlamaForCausalLM) -> None:
    with attached(model, FEW):
        cache = filled(model, tokens(2, 20))
        held = [layer.state.nbytes for layer in layers(cache) if layer.state]
        own = copy.deepcopy(cache)
        in_parts(model, tokens(2, 21, seed=3)[:, 20:], [1], own)
        assert [layer.state.nbytes for layer in layers(filled(model, tokens(2, 200))) if layer.state] == held
        assert cache.get_seq_length() == 20
        assert not cache.is_croppable


def test_beams_take_their_rows_along(model: Any) -> None:
    words = tokens(2, LENGTH)
    with attached(model, FEW):
        cache = filled(model, words[:, :-1])
        cache.reorder_cache(torch.LongTensor([1, 0]))
        cache.batch_repeat_interleave(2)
        last = in_parts(model, words[[1, 1, 0, 0]][:, -1:], [1], cache)
        wanted = logits(model, words)[[1, 1, 0, 0], -1:]
        torch.testing.assert_close(last, wanted, rtol=1e-9, atol=1e-9)
        found = model.generate(words, max_new_tokens=5, do_sample=False, num_beams=3)
        alone = model.generate(words[1:], max_new_tokens=5, do_sample=False, num_beams=3)
        assert found[1].tolist() == alone[0].tolist()


def test_caches_of_others_are_refused(model: LlamaForCausalLM) -> None:
    words = tokens(2, 30)
    with attached(model, "rerope(window=4)"):
        whole = filled(model, tokens(2, 20))
    with attached(model, FEW):
        codes = filled(model, tokens(2, 20))
        with pytest.raises(RefusalError, match="does not hold a compressed memory for layer 0"):
            in_parts(model, words, [30], whole)
        with pytest.raises(RefusalError, match="lies in a DynamicCache, not in a StaticCache"):
            in_parts(model, words, [30], StaticCache(config=model.config, max_cache_len=64))
        with pytest.raises(RefusalError, match="cannot forget its last tokens"):
            codes.crop(-1)
    for other, why in (
        ("rerope(window=4)", "filled under a compressed memory"),
        ("rerope(window=4) + compressed(codes=5)", "filled under another memory"),
    ):
        with attached(model, other), pytest.raises(RefusalError, match=why):
            in_parts(model, words, [30], copy.deepcopy(codes))
    with pytest.raises(RefusalError):
        in_parts(model, words, [30], codes)


def test_open_codes_are_an_eighth_of_the_trained_length_and_all_is_taken_off(model: Any) -> None:
    before = logits(model, tokens(1, 20))
    extend(model, "rerope + compressed", length=64)
    present = attachment_of(model)
    assert present is not None
    assert present.text == "rerope(window=8) + compressed(codes=4)"
    detach(model)
    torch.testing.assert_close(logits(model, tokens(1, 20)), before, rtol=0, atol=0)
    assert not model.model.layers[0].self_attn._forward_pre_hooks
