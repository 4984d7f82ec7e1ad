"""Caches and frames: who may read a cache that was filled by whom, whatever was done to it in between."""

import copy
import gc
import pickle
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import Cache, DynamicCache, LlamaForCausalLM, StaticCache

import longspan
from longspan.errors import RefusalError
from longspan.pretrained.running.cached_positions import CachedPositions, put_back, take
from pretrained.models import TRAINED, in_parts, logits, tiny_llama, tokens

LENGTH = 2 * TRAINED + 6
FRAMES = (
    "rope",
    "rope(theta=1e6)",
    "rerope(8)",
    "leaky_rerope(window=8, k=4)",
    "leaky_rerope(window=8, k=2)",
    "self_extend(window=8, group=4)",
    "self_extend(window=8, group=2)",
    "dual_chunk(chunk=24, local=4)",
    "yarn(factor=2)",
    "yarn(factor=2) + leaky_rerope(window=8, k=4)",
)
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
    return tokens(2, LENGTH)


@torch.no_grad()
def filled(model: LlamaForCausalLM, words: Tensor, cache: Cache | None = None) -> Cache:
    """The cache after the model has read a text."""
    return model(input_ids=words, past_key_values=cache, use_cache=True).past_key_values


def foreign(model: LlamaForCausalLM, words: Tensor, cache: Cache | None = None) -> Cache:
    """The same in a frame that is not the plain model's."""
    with longspan.attached(model, "rerope(8)"):
        return filled(model, words, cache)


@pytest.mark.parametrize("how", COPIES)
def test_copies_refuse_as_well_and_are_read_on(model, words, how):
    cache = COPIES[how](foreign(model, words[:, :30]))
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
    cache = foreign(model, words[:, :30])
    twin = copy.deepcopy(cache)
    with longspan.attached(model, "rerope(8)"):
        logits(model, words[:, 30:], past_key_values=twin)
    assert (cache.get_seq_length(), twin.get_seq_length()) == (30, LENGTH)


@pytest.mark.parametrize(
    "make", [DynamicCache, lambda: StaticCache(config=tiny_llama().config, max_cache_len=LENGTH + 5)]
)
def test_the_class_of_a_cache_is_its_own(model, words, make):
    cache = make()
    kind = type(cache)
    assert type(foreign(model, words, cache)) is kind


def test_rows_of_a_refusing_cache_are_reordered_and_cropped(model, words):
    cache = foreign(model, words[:, :30])
    cache.reorder_cache(torch.LongTensor([1, 0]))
    cache.crop(-10)
    with longspan.attached(model, "rerope(8)"):
        found = logits(model, words[:, 20:].flip(0), past_key_values=cache)
        torch.testing.assert_close(found, logits(model, words.flip(0))[:, 20:], rtol=0, atol=2e-5)


ROTATING = (
    "rerope(8)",
    "leaky_rerope(window=8, k=4)",
    "self_extend(window=8, group=2)",
    "dual_chunk(chunk=24, local=4)",
    "streaming_llm(sinks=2, size=16)",
    "dynamic_ntk + rerope(8)",
    "rerope(8) + compressed(codes=100)",
    "yarn(factor=2)",
    "window(size=12)",
)
MOVES = {
    "reorder_cache": lambda rows: rows,
    "batch_select_indices": lambda rows: rows,
    "batch_repeat_interleave": lambda rows: torch.arange(2).repeat_interleave(len(rows)),
}
"""The methods of a cache that move its two rows, and which rows it holds then."""


@settings(max_examples=4)
@given(
    data=st.data(),
    paddings=st.lists(st.integers(0, 12), min_size=2, max_size=2),
    explicit=st.booleans(),
    how=st.sampled_from(["itself", "deep copy", "pickle"]),
)
@pytest.mark.parametrize("method", MOVES)
@pytest.mark.parametrize("scheme", ROTATING)
def test_moving_rows_is_having_read_them_in_that_order(
    model, words, scheme: str, method: str, data: st.DataObject, paddings: list[int], explicit: bool, how: str
) -> None:
    """Each row then reads on as it does alone; a row is padded on the left, and has the positions of its tokens."""
    chosen = torch.tensor(data.draw(st.lists(st.integers(0, 1), min_size=1, max_size=3), label="rows"))
    rows = MOVES[method](chosen)
    mask = (torch.arange(40)[None] >= torch.tensor(paddings)[:, None]).long()
    more, count = tokens(1, 6, seed=5), (mask.cumsum(1) - 1).clamp(min=0)
    with longspan.attached(model, scheme), torch.no_grad():
        given = {"position_ids": count[:, :34]} if explicit else {}
        cache = model(input_ids=words[:, :34], attention_mask=mask[:, :34], use_cache=True, **given).past_key_values
        cache = COPIES[how](cache)
        getattr(cache, method)(len(chosen) if method == "batch_repeat_interleave" else chosen)
        for start, stop in ((34, 39), (39, 40)):
            given = {"position_ids": count[rows, start:stop]} if explicit else {}
            tails = more[:, start - 34 : stop - 34].expand(len(rows), -1)
            asked = {"attention_mask": mask[rows, :stop], "past_key_values": cache}
            found = model(input_ids=tails, **asked, **given).logits
            for row, one in zip(rows.tolist(), found, strict=True):
                alone = torch.cat([words[row : row + 1, :34][:, paddings[row] :], more], 1)[:, : stop - paddings[row]]
                wanted = logits(model, alone)[0, start - stop :]
                torch.testing.assert_close(one, wanted, rtol=0, atol=3e-5)


def test_a_cache_whose_rows_follow_is_freed_at_once(model, words):
    mask = torch.ones(2, 30, dtype=torch.long)
    mask[0, :9] = 0
    with longspan.attached(model, "rerope(8)"), torch.no_grad():
        cache = model(input_ids=words[:, :30], attention_mask=mask, use_cache=True).past_key_values
        model(input_ids=words[:, :1])  # the model keeps its last pass alone
    assert "reorder_cache" in vars(cache)
    keys, shallow = weakref.ref(cache.layers[0].keys), copy.copy(cache)
    shallow.layers = []
    gc.disable()
    try:
        del cache
        assert keys() is None
    finally:
        gc.enable()
    with pytest.raises(RefusalError, match="shallow copy"):
        shallow.reorder_cache(torch.tensor([1, 0]))


def test_a_cache_that_was_emptied_is_any_models(model, words):
    cache = StaticCache(config=model.config, max_cache_len=LENGTH + 5)
    foreign(model, words, cache)
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
    foreign(model, words[:, :30], cache)
    with pytest.raises(RefusalError, match="another frame"):
        logits(model, words[:, 30:], past_key_values=cache)
    assert len(calls) == model.config.num_hidden_layers
    foreign(model, words[:, 30:], cache)
    assert len(calls) == 2 * model.config.num_hidden_layers


def test_a_pass_that_fails_inside_another_leaves_the_outer_ones_cache_open(model, words):
    other, cache = foreign(model, words), DynamicCache()

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


@pytest.mark.parametrize("into", FRAMES)
@pytest.mark.parametrize("made", FRAMES)
def test_a_cache_made_in_one_frame_and_used_in_another_is_refused(model, words, made, into):
    if made == into:
        return
    with longspan.attached(model, made):
        cache = filled(model, words)
        static = StaticCache(config=model.config, max_cache_len=LENGTH + 5)
        in_parts(model, words[:1], [LENGTH], cache=static)
    with longspan.attached(model, into):
        for each in (cache, static):
            with pytest.raises(RefusalError, match="another frame"):
                model(input_ids=words[:1, :1], past_key_values=each)


def test_the_plain_models_cache_is_refused_in_another_frame(model, words):
    plain = filled(model, words)
    for scheme in FRAMES[1:]:
        with longspan.attached(model, scheme), pytest.raises(RefusalError, match="another frame"):
            model(input_ids=words[:, :1], past_key_values=plain)


@pytest.mark.parametrize("make", [DynamicCache, lambda: StaticCache(config=tiny_llama().config, max_cache_len=90)])
def test_a_method_that_must_know_positions_refuses_a_cache_without_them(model, words, make):
    cache = make()
    in_parts(model, words, [LENGTH], cache=cache)
    with longspan.attached(model, "streaming_llm(sinks=2, size=16)"), pytest.raises(RefusalError, match="no positions"):
        model(input_ids=words[:, :1], past_key_values=cache)
    cache = make()
    with longspan.attached(model, "streaming_llm(sinks=2, size=16)"):
        in_parts(model, words[:, :9], [9], cache=cache)
    in_parts(model, words[:, 9:12], [3], cache=cache)
    with longspan.attached(model, "streaming_llm(sinks=2, size=16)"), pytest.raises(RefusalError, match="9 were read"):
        model(input_ids=words[:, :1], past_key_values=cache)


def test_equal_frames_share_a_cache(model, words):
    with longspan.attached(model, "rerope(window=1000)"):
        cache = filled(model, words[:, :30])
    with longspan.attached(model, "rerope(window=2000)"), torch.no_grad():
        found = model(input_ids=words[:, 30:], past_key_values=cache).logits
    torch.testing.assert_close(found, logits(model, words)[:, 30:], rtol=0, atol=2e-5)


@pytest.mark.parametrize("make", [DynamicCache, lambda: None])
def test_the_plain_model_refuses_a_cache_in_another_frame(model, words, make):
    with longspan.attached(model, "rerope(8)"), torch.no_grad():
        cache = model(input_ids=words, past_key_values=make(), use_cache=True).past_key_values
        copied = copy.deepcopy(cache)
        model(input_ids=words[:, :1], past_key_values=cache)
    for each in (cache, copied):
        assert isinstance(each, DynamicCache)
        with pytest.raises(RefusalError, match="another frame"):
            model(input_ids=words[:, :1], past_key_values=each)
    cache.reset()


def test_a_failed_pass_leaves_the_cache_refusing(model, words):
    cache = DynamicCache()
    with longspan.attached(model, "rerope(8)"), pytest.raises(RefusalError, match="2-D"):
        model(input_ids=words[:1, :4], attention_mask=torch.ones(1, 1, 4, 4).bool(), past_key_values=cache)
    with pytest.raises(RefusalError, match="another frame"):
        model(input_ids=words[:1, :4], past_key_values=cache)


def test_a_window_shares_its_cache_with_the_model(model, words):
    plain = filled(model, words[:, :30])
    with longspan.attached(model, "window(size=1000)"), torch.no_grad():
        found = model(input_ids=words[:, 30:], past_key_values=plain).logits
    torch.testing.assert_close(found, logits(model, words)[:, 30:], rtol=0, atol=2e-5)
