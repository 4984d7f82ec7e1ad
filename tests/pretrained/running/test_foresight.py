"""What a step foresees is what it was given, or its row is NaN and the next step says so."""

import copy
import pickle
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import DynamicCache
from transformers.masking_utils import and_masks, chunked_overlay, sliding_window_causal_mask_function

import longspan
from imitated_device import DEVICE, ImitatedDevice, here
from longspan.errors import RefusalError
from longspan.pretrained.running import foresight, forward_pass
from longspan.pretrained.running.foresight import Arriving, Foresight, function_here, one_further, one_token_more, same
from pretrained.models import tiny_llama, tokens

METHOD = "rerope(window=8)"


@st.composite
def steps(draw: st.DrawFn) -> list[Tensor]:
    """The masks of a text that is read in parts: mostly tokens, one by one, and rarely another past."""
    rows = draw(st.integers(1, 3))
    bits = partial(draw, st.lists(st.booleans(), min_size=rows, max_size=rows))
    mask = torch.tensor([bits() for _ in range(draw(st.integers(1, 4)))]).T
    found = [mask]
    for _ in range(draw(st.integers(1, 8))):
        more = draw(st.sampled_from([1, 1, 1, 2]))
        new = [bits() if draw(st.integers(0, 3)) == 0 else [True] * rows for _ in range(more)]
        mask = torch.cat([mask, torch.tensor(new).T], 1)
        if draw(st.integers(0, 5)) == 0:
            mask[draw(st.integers(0, rows - 1)), draw(st.integers(0, mask.shape[1] - 1))] ^= True
        found.append(mask.clone())
    return found


@given(steps(), st.data())
def test_a_row_is_right_or_doubtful(masks: list[Tensor], data: st.DataObject) -> None:
    """However late the device reports; it refuses where a doubtful row had a token, and only there."""
    known, slots, mattered, foreseen = Foresight(), 0, False, 0
    with pytest.MonkeyPatch.context() as patch:
        right = Arriving.get
        patch.setattr(Arriving, "get", lambda self: right(self) if data.draw(st.booleans()) else None)
        for mask in masks:
            more = mask.shape[1] - slots
            try:
                known = known.begun(slots, more)
            except RefusalError:
                assert mattered
                return
            read, known = known.read("padding", mask, one_token_more, mask[:, -1])
            doubtful = torch.zeros(len(mask), dtype=torch.bool) if known.doubtful is None else known.doubtful
            assert ((read == mask).all(1) | doubtful).all()
            mattered |= bool((doubtful & mask[:, -1]).any())
            foreseen += known.doubtful is not None
            slots = mask.shape[1]
    if mattered:
        with pytest.raises(RefusalError, match="start with an empty cache"):
            known.begun(slots, 2)


@given(steps(), st.data())
def test_rows_that_change_places_are_right_or_doubtful(masks: list[Tensor], data: st.DataObject) -> None:
    """Between steps a cache may hold its rows in another order, or some of them more than once, or not at all."""
    known, slots, rows = Foresight(), 0, torch.arange(len(masks[0]))
    for mask in masks:
        try:
            known = known.begun(slots, mask.shape[1] - slots)
        except RefusalError:
            return
        given = mask[rows]
        read, known = known.read("padding", given, one_token_more, given[:, -1])
        doubtful = torch.zeros(len(given), dtype=torch.bool) if known.doubtful is None else known.doubtful
        assert ((read == given).all(1) | doubtful).all()
        slots = mask.shape[1]
        if data.draw(st.booleans()):
            places = torch.tensor(data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=3)))
            rows, known = rows[places], known.moved(places)


def test_beams_of_one_prompt_are_foreseen_after_they_change_places() -> None:
    known, mask = Foresight(), torch.tensor([[0, 1], [0, 1], [1, 1], [1, 1]])
    for slots in range(2, 5):
        known = known.begun(slots if slots > 2 else 0, 1 if slots > 2 else 2)
        _, known = known.read("padding", mask, one_token_more, None)
        assert known.rows == 4
        assert known.differs
        mask = one_token_more(mask)
        known = known.moved(torch.tensor([1, 1, 3, 2]))
    assert known.doubtful is not None  # the last step was foreseen
    assert known.moved(torch.tensor([2, 3, 0, 1])).facts == {}


def test_what_follows_its_law_is_read_twice() -> None:
    """Guards the test above: what reads everything is always right."""
    known, reads = Foresight(), []
    with pytest.MonkeyPatch.context() as patch:
        right = Tensor.cpu
        patch.setattr(Tensor, "cpu", lambda self: reads.append(self) or right(self))
        for slots, more in ((0, 5), (5, 1), (6, 1), (7, 1)):
            known = known.begun(slots, more)
            _, known = known.read("positions", torch.arange(slots, slots + more)[None], one_further, None)
    assert len(reads) == 2
    assert known.doubtful is not None
    assert not known.doubtful.any()


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> ImitatedDevice:
    for module in (foresight, forward_pass):
        monkeypatch.setattr(module, "DEVICES", (DEVICE.type,))
    return ImitatedDevice()


def untyped() -> Any:
    """A tiny model; the types of its own `to` know no devices."""
    return tiny_llama()


WORDS = tokens(2, 16)
MASK = torch.ones(2, 16, dtype=torch.long)
MASK[1, :3] = 0


def step(model: Any, cache: Any, start: int, stop: int, mask: Tensor, **more: Tensor) -> tuple[Tensor, Any]:
    """Logits of some tokens of `WORDS`, and the cache."""
    out = model(
        input_ids=WORDS[:, start:stop].to(mask.device), attention_mask=mask, past_key_values=cache, use_cache=True,
        **more,
    )  # fmt: skip
    return out.logits, out.past_key_values


PARTS = [(0, 10), *((i, i + 1) for i in range(10, 16))]


def logits(model: Any, masks: list[Tensor], cache: Any = None) -> list[Tensor]:
    """Logits of a prompt and of single tokens behind it, each with a mask of its own."""
    found = []
    for (start, stop), mask in zip(PARTS, masks, strict=True):
        out, cache = step(model, cache, start, stop, mask)
        found.append(here(out))
    return found


@torch.no_grad()
def test_a_row_that_has_ended_may_go_on_as_padding(device: ImitatedDevice) -> None:
    """A loop that marks the tokens of an ended row as padding gets what it gets on the CPU."""
    mask = MASK.clone()
    mask[0, 13:] = 0
    mask[0, 15] = 1
    with longspan.attached(model := untyped(), METHOD, length=64):
        wanted = logits(model, [mask[:, :stop] for _, stop in PARTS])
    with device:
        moved = copy.deepcopy(model).to(DEVICE)
        with longspan.attached(moved, METHOD, length=64):
            there = mask.to(DEVICE)
            found = logits(moved, [there[:, :stop] for _, stop in PARTS])
    for (start, stop), one, other in zip(PARTS, found, wanted, strict=True):
        real = mask[:, start:stop].bool()
        torch.testing.assert_close(one[real], other[real], rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_another_past_is_nan_and_then_refused(device: ImitatedDevice) -> None:
    """The other row is right; with an empty cache the same masks are read, and everything is right."""
    masks = [MASK[:, :stop].clone() for _, stop in PARTS]
    for mask in masks[4:]:
        mask[1, 5] = 0
    with longspan.attached(model := untyped(), METHOD, length=64):
        wanted = logits(model, masks)
    with device:
        moved = copy.deepcopy(model).to(DEVICE)
        with longspan.attached(moved, METHOD, length=64):
            there = [mask.to(DEVICE) for mask in masks]
            cache, found = None, []
            for (start, stop), mask in zip(PARTS[:5], there[:5], strict=True):
                out, cache = step(moved, cache, start, stop, mask)
                found.append(here(out))
            with pytest.raises(RefusalError, match="start with an empty cache"):
                step(moved, cache, 14, 15, there[5])
            again = logits(moved, there)
    assert found[4][1].isnan().all()
    torch.testing.assert_close(found[4][0], wanted[4][0], rtol=1e-3, atol=1e-3)
    for one, other, mask in zip(again, wanted, masks, strict=True):
        real = mask[:, -one.shape[1] :].bool()
        torch.testing.assert_close(one[real], other[real], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("stride", [2, 1])
@torch.no_grad()
def test_positions_that_jump(stride: int, device: ImitatedDevice) -> None:
    """Those that always jump are read; those that begin to jump are NaN, then refused."""
    positions = torch.cat([torch.arange(10), 9 + stride * torch.arange(1, 7)])[None]
    positions[:, 14:] += 1
    model, all_real = untyped(), torch.ones(2, 16, dtype=torch.long)

    def run(model: Any, device: str | torch.device, count: int) -> list[Tensor]:
        cache, found = None, []
        for start, stop in PARTS[:count]:
            at = {"position_ids": positions[:, start:stop].expand(2, -1).to(device)}
            out, cache = step(model, cache, start, stop, all_real[:, :stop].to(device), **at)
            found.append(here(out))
        return found

    with longspan.attached(model, METHOD, length=64):
        wanted = run(model, "cpu", 7)
    with device:
        moved = copy.deepcopy(model).to(DEVICE)
        with longspan.attached(moved, METHOD, length=64):
            if stride == 2:
                for one, other in zip(run(moved, DEVICE, 7), wanted, strict=True):
                    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
                return
            assert run(moved, DEVICE, 6)[-1].isnan().all()
            with pytest.raises(RefusalError, match="start with an empty cache"):
                run(moved, DEVICE, 7)


@pytest.mark.parametrize("how", ["crop", "reset", "copy", "pickle", "written over"])
@torch.no_grad()
def test_a_cache_may_be_cropped_emptied_and_copied(how: str, device: ImitatedDevice) -> None:
    """And a caller may write into the mask that it gave."""
    model = untyped()

    def run(model: Any, device: str | torch.device) -> Tensor:
        mask, cache = MASK.clone().to(device), DynamicCache()
        for start, stop in PARTS[:5]:
            _, cache = step(model, cache, start, stop, mask[:, :stop])
        if how == "crop":
            cache.crop(-3)  # pyright: ignore[reportAttributeAccessIssue]
            return here(step(model, cache, 11, 12, mask[:, :12])[0])
        if how == "reset":
            cache.reset()  # pyright: ignore[reportAttributeAccessIssue]
            return here(step(model, cache, 0, 1, mask[:1, 3:4].expand(2, -1))[0])
        if how == "written over":
            mask[1, 5] = 0
            return here(step(model, cache, 14, 15, mask[:, :15])[0])
        cache = copy.deepcopy(cache) if how == "copy" else cache
        if how == "pickle" and device == "cpu":
            cache = pickle.loads(pickle.dumps(cache))
        return here(step(model, cache, 14, 15, mask[:, :15])[0])

    with longspan.attached(model, METHOD, length=64):
        wanted = run(model, "cpu")
    with device:
        moved = copy.deepcopy(model).to(DEVICE)
        with longspan.attached(moved, METHOD, length=64):
            found = run(moved, DEVICE)
    if how == "written over":
        assert found[1].isnan().all()
        found, wanted = found[:1], wanted[:1]
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def test_a_mask_function_computes_the_same_on_the_cpu() -> None:
    """Its tensors are read by name; parts that are no plain functions stay where they are."""
    left, read = torch.tensor([0, 3]), {}
    function = and_masks(sliding_window_causal_mask_function(5), chunked_overlay(4, left))
    moved = function_here(function, lambda name, x: read.setdefault(name, x))
    at = torch.arange(2)[:, None, None], None, torch.arange(9)[None, :, None], torch.arange(9)[None, None]
    assert torch.equal(moved(*at), function(*at))
    assert [x is left for x in read.values()] == [True]
    assert function_here(and_masks(function, partial(function)), lambda _, x: x) is None
    assert same(left) is left
