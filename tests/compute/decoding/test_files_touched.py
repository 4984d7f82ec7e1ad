"""A decoding step passes few files of `longspan.compute`, and none of them twice on its way down.

A step is warm when another layer has taken it before: then it is looked up and run. The first step behind a prompt also
checks the new shapes; what is counted is the second one. `files_touched` says how files count.
"""

from collections.abc import Callable
from functools import partial
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
    [*WARM, "places.py", "tiling/lowering.py", "tiling/spans.py"]
    + [f"decoding/{name}.py" for name in ("build", "pieces", "positions", "prepare", "residual")]
)


def steps(text: str, batch: int = 1, queries: int = 1, **options: Any) -> list[Callable[[], Tensor]]:
    """The second step of each of two layers."""
    query, key, value = (torch.randn(batch, heads, KEYS, 8) for heads in (6, 2, 2))
    last = [x[:, :, -queries:] for x in (query, key, value)]
    layers = [Cache(text, weights=parse(text).initial_weights(6, 8)) for _ in range(2)]
    for layer in layers:
        layer.attend(query, key, value, **options)
        layer.attend(*last)
    return [partial(layer.attend, *last) for layer in layers]


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
    first, second = steps(text)
    first()
    assert visited(second) == (wanted, set())


@pytest.mark.parametrize("queries", [1, 3])
def test_padding_and_several_queries_add_no_file(queries: int) -> None:
    padding = torch.arange(KEYS)[None] < torch.tensor([[0], [7]])
    first, second = steps("rerope(100)", 2, queries, padding=padding)
    first()
    assert visited(second) == (WARM, set())


def test_a_cold_step_passes_no_file_twice() -> None:
    first, second = steps("rerope(100)")
    forget()
    assert visited(first) == (COLD, set())
    assert visited(second) == (WARM, set())
