"""Forward passes side by side and inside each other do not disturb each other."""

import copy
import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

import longspan
from longspan.errors import RefusalError
from longspan.pretrained.attachment import attachment_of
from pretrained.families import small_model
from pretrained.models import logits, tiny_llama, tokens
from pretrained.test_attach import generate

THREADS = 4


def padded(left: int) -> dict[str, Tensor]:
    mask = torch.ones(2, 30, dtype=torch.long)
    mask[1, :left] = 0
    return {"attention_mask": mask}


def side_by_side(model: PreTrainedModel, call: Callable[[int], Tensor]) -> None:
    """Call the model in several threads that wait for each other in the middle; each must get its own result."""
    wanted = [call(number) for number in range(THREADS)]
    together = threading.Barrier(THREADS, timeout=60)

    def wait(*_: object) -> None:
        together.wait()

    found = attachment_of(model)
    assert found is not None
    stops = [model.get_input_embeddings(), *(layer.module for layer in found.anatomy.layers[:2])]
    handles = [stop.register_forward_pre_hook(wait) for stop in stops]
    with ThreadPoolExecutor(THREADS) as pool:
        outs = list(pool.map(call, range(THREADS)))
    for handle in handles:
        handle.remove()
    assert [torch.equal(out, alone) for out, alone in zip(outs, wanted, strict=True)] == [True] * THREADS


@pytest.mark.parametrize(
    "scheme", ["rerope(window=8)", "self_extend(window=8, group=4)", "leaky_rerope(window=8, k=4)", "dynamic_ntk"]
)
def test_threads_with_different_padding_share_a_model(scheme):
    model, words = tiny_llama(), tokens(2, 30)
    with longspan.attached(model, scheme):
        side_by_side(model, lambda number: logits(model, words, **padded(5 * number)))


def test_threads_share_a_wrapper_that_makes_up_positions():
    model, words = small_model("gemma4"), tokens(2, 30)
    with longspan.attached(model, "self_extend(window=6, group=2)"):
        side_by_side(model, lambda number: logits(model, words, **padded(5 * number)))


def test_threads_generate_with_one_model():
    model, words = tiny_llama(), tokens(2, 30)

    def call(number: int) -> Tensor:
        return generate(model, words, padded(5 * number)["attention_mask"], max_new_tokens=2)

    with longspan.attached(model, "rerope(window=8)"):
        side_by_side(model, call)


def test_a_pass_inside_another_changes_nothing():
    """The same model is called in the middle of its own pass, on other tokens behind other padding."""
    model, words = tiny_llama(), tokens(2, 30)
    inner: list[Tensor] = []

    def call_again(*_: object) -> None:
        handle.remove()
        inner.append(logits(model, words.flip(1), **padded(13)))

    with longspan.attached(model, "rerope(window=8)"):
        wanted, other = logits(model, words, **padded(4)), logits(model, words.flip(1), **padded(13))
        handle = model.model.layers[0].register_forward_pre_hook(call_again)
        found = logits(model, words, **padded(4))
    assert torch.equal(inner[0], other)
    assert torch.equal(found, wanted)


def test_a_failed_pass_inside_another_gives_way_to_it():
    model, words = tiny_llama(), tokens(2, 30)
    with longspan.attached(model, "rerope(window=8)"):
        cache = model(input_ids=words, use_cache=True).past_key_values

    def fail(*_: object) -> None:
        with pytest.raises(RefusalError):
            logits(model, words[:, :1], past_key_values=cache)

    with longspan.attached(model, "self_extend(window=8, group=4)"):
        alone = logits(model, words, **padded(4))
        handle = model.model.layers[0].register_forward_pre_hook(fail)
        found = logits(model, words, **padded(4))
        handle.remove()
    assert torch.equal(found, alone)


def test_a_copy_is_in_no_pass():
    model = longspan.extend(tiny_llama(), "rerope(8)")
    logits(model, tokens(2, 30), **padded(4))
    made, copied = attachment_of(model), attachment_of(copy.deepcopy(model))
    assert made is not None
    assert copied is not None
    assert made.passes.current is not None
    assert copied.passes.current is None
    assert (copied.passes.frame, copied.passes.pairwise) == (made.passes.frame, made.passes.pairwise)


@pytest.mark.parametrize("whole", [False, True], ids=["text model", "whole model"])
def test_a_pass_that_was_interrupted_leaves_nothing_behind(whole: bool) -> None:
    """Ctrl-C is no Exception, after which alone torch runs hooks: neither its padding nor its cache may stay."""
    model, words = longspan.extend(tiny_llama(), "rerope(window=6)"), tokens(2, 30)
    called = model if whole else model.model
    given = {"input_ids": words, "position_ids": 3 * torch.arange(30).expand(2, -1)}
    with torch.no_grad():
        wanted = called(**given)[0]
        stop = model.get_submodule("model.layers.1.mlp").register_forward_pre_hook(_interrupt)
        cache = DynamicCache(config=model.config)
        keys = weakref.ref(cache)
        with pytest.raises(KeyboardInterrupt):
            model(input_ids=words, past_key_values=cache, **padded(7))
        stop.remove()
        del cache
        assert torch.equal(called(**given)[0], wanted)
        gc.collect()
        assert keys() is None
        assert torch.equal(called(**given)[0], wanted)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_another_attention_that_is_set_meanwhile_is_refused() -> None:
    model, words = tiny_llama(), tokens(1, 30)
    own = str(model.config._attn_implementation)
    with longspan.attached(model, "rerope(window=6)"):
        wanted = logits(model, words)
        installed = str(model.config._attn_implementation)
        model.set_attn_implementation("eager")
        with pytest.raises(RefusalError, match="attention was set to 'eager' while an extension is on"):
            logits(model, words)
        model.set_attn_implementation(installed)
        assert torch.equal(logits(model, words), wanted)
    assert model.config._attn_implementation == own
    with longspan.attached(model, "yarn(factor=2)"):  # its attention layers stay as they are
        wanted = logits(model, words)
        model.set_attn_implementation("eager")
        torch.testing.assert_close(logits(model, words), wanted, rtol=0, atol=2e-5)
