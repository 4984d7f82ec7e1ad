import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from longspan.errors import InputError
from longspan.measure.hardware.memory import WORKING, needed, require_memory
from tiny import llama


def test_the_cache_is_what_transformers_keeps() -> None:
    model = llama(60)
    cache = model.model(input_ids=torch.ones(1, 100, dtype=torch.int64), use_cache=True).past_key_values
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    growth = needed(model, 200) - needed(model, 100)
    assert held < growth < 100 * held
    assert needed(model, 0) == WORKING


MODEL = llama(60)


@given(length=st.integers(100, 10**400), free=st.integers(0, 2**60))
def test_too_much_names_the_greatest_length_that_fits(length: int, free: int) -> None:
    """In constant time, however absurd the length."""
    if needed(MODEL, length) <= free:
        assert require_memory(MODEL, length, 64, free) == needed(MODEL, length)
        return
    with pytest.raises(InputError, match=f"reading {length} tokens takes about .* GiB beside the model") as error:
        require_memory(MODEL, length, 64, free)
    advice = str(error.value).split(": ")[1]
    if needed(MODEL, 65) > free:
        assert advice.startswith("no length beyond the trained one fits")
    else:
        fits = int(advice.removeprefix("give at most --to ").split(",")[0])
        assert needed(MODEL, fits) <= free < needed(MODEL, fits + 1)
