"""A decoding step passes few files of `longspan.compute`, and none of them twice on its way down.

A step is warm once another layer has taken it: then it is looked up and run. `files_touched` says how files count.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from files_touched import visited
from longspan import Cache, parse
from longspan.memo import forget

KEYS = 1200
WARM = ["cache.py", "decoding/prepared.py", "rotate.py"]
STILL = [name for name in WARM if name != "rotate.py"]
"""Without a rotation."""
LEARNED = sorted([*STILL, "decoding/build.py"])
"""Learned weights are read in every step."""
COLD = sorted(
    [*WARM, "inputs.py", "places.py", "tiling/lowering.py", "tiling/spans.py"]
    + [f"decoding/{name}.py" for name in ("build", "pieces", "positions", "prepare", "residual")]
)


def step(text: str, batch: int = 1, queries: int = 1, **options: Any) -> Callable[[], Tensor]:
    """One more step of a cache, the same one each time."""
    query, key, value = (torch.randn(batch, heads, KEYS, 8) for heads in (6, 2, 2))
    cache = Cache(text, weights=parse(text).initial_weights(6, 8))
    cache.attend(query, key, value, **options)
    last = [x[:, :, -queries:] for x in (query, key, value)]

    def again() -> Tensor:
        cache.crop(KEYS)
        return cache.attend(*last)

    return again


@pytest.fixture(params=[1, 4])
def threads(request: pytest.FixtureRequest) -> Any:
    """One thread, or so many that they read the keys in parts."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("rope", WARM),
        ("rerope(100)", WARM),
        ("rope + window(100)", WARM),
        ("rope + window(100, sinks=4)", WARM),
        ("self_extend(96, 8) + log_length(300)", WARM),
        ("leaky_rerope(100, 3)", WARM),
        ("dual_chunk(160, 32)", WARM),
        ("yarn(factor=4, trained_length=400)", WARM),
        ("dynamic_ntk(trained_length=400)", WARM),
        ("xpos", WARM),
        ("cosine + rope", WARM),
        ("alibi", STILL),
        ("nope + softmax_plus_one", LEARNED),
        ("t5", LEARNED),
    ],
)
def test_a_warm_step_passes_three_files(text: str, wanted: list[str], threads: None) -> None:
    again = step(text)
    again()
    assert visited(again) == (wanted, set())


@pytest.mark.parametrize("queries", [1, 3])
def test_padding_and_several_queries_add_no_file(queries: int) -> None:
    again = step("rerope(100)", 2, queries, padding=torch.arange(KEYS)[None] < torch.tensor([[0], [7]]))
    again()
    assert visited(again) == (WARM, set())


def test_a_cold_step_passes_no_file_twice() -> None:
    again = step("rerope(100)")
    forget()
    assert visited(again) == (COLD, set())
