import pytest
import torch

from longspan.errors import InputError
from longspan.measure.memory import WORKING, needed, require_memory
from tiny import llama


def test_the_cache_is_what_transformers_keeps() -> None:
    model = llama(60)
    cache = model.model(input_ids=torch.ones(1, 100, dtype=torch.int64), use_cache=True).past_key_values
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    growth = needed(model, 200) - needed(model, 100)
    assert held < growth < 100 * held
    assert needed(model, 0) == WORKING


def test_too_much_says_what_would_fit() -> None:
    model = llama(60)
    free = needed(model, 1000)
    assert require_memory(model, 1000, 64, free) == free
    with pytest.raises(InputError, match=r"--to (\d+) would fit") as error:
        require_memory(model, 2000, 64, free)
    fits = int(str(error.value).split("--to ")[1].split()[0])
    assert needed(model, fits) <= free < needed(model, fits + 64)


def test_nothing_fits() -> None:
    with pytest.raises(InputError, match="no length beyond the trained one fits"):
        require_memory(llama(60), 2000, 64, 1)
