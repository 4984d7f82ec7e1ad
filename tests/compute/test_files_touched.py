"""A call of `attend` passes few files, and none of them twice on its way down.

`files_touched` says how files count; all memos are cleared before each call.
"""

from collections.abc import Callable

import pytest
import torch

from files_touched import visited
from longspan import attend, parse
from longspan.memo import forget

PROMPT = ["attend.py", "inputs.py", "kernels/cpu.py", "places.py", "rotate.py"] + [
    f"tiling/{name}.py" for name in ("lowering", "softmax", "tiles")
]
"""The files of one softmax over all pairs."""
BIASED = sorted({*PROMPT, "tiling/toeplitz.py"})
SEVERAL = sorted({*PROMPT, "tiling/decompose.py"})


def visited_cold(call: Callable[[], object]) -> tuple[list[str], set[tuple[str, ...]]]:
    """The files that a call passes when nothing is remembered."""
    forget()
    return visited(call)


def visited_by(text: str, padding: torch.Tensor | None = None) -> tuple[list[str], set[tuple[str, ...]]]:
    query, key, value = (torch.randn(1, heads, 100, 8) for heads in (4, 2, 2))
    weights = parse(text).initial_weights(4, 8)
    return visited_cold(lambda: attend(query, key, value, text, weights=weights, padding=padding))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("rope", PROMPT),
        ("yarn(factor=4, trained_length=32)", PROMPT),
        ("dynamic_ntk(trained_length=32)", PROMPT),
        ("xpos", PROMPT),
        ("rope + window(20)", PROMPT),
        ("rope + window(20, sinks=2) + softmax_plus_one", PROMPT),
        ("rerope(20) + log_length(32)", PROMPT),
        ("self_extend(20, 4)", PROMPT),
        ("nope", [name for name in PROMPT if name != "rotate.py"]),
        ("alibi", [name for name in BIASED if name != "rotate.py"]),
        ("rope + t5", BIASED),
        ("rope + l2", SEVERAL),
        ("rope + urpe(9)", sorted({*BIASED, *SEVERAL})),
    ],
)
def test_a_prompt_passes_few_files_and_none_twice(text: str, wanted: list[str]) -> None:
    """Eight files for one softmax; a bias adds toeplitz, several softmaxes add decompose."""
    assert visited_by(text) == (wanted, set())


def test_vectors_of_near_pairs_take_the_reference() -> None:
    """The most files of all schemes: near pairs are written out."""
    wanted = sorted({*SEVERAL, "tiling/near.py", "dense/reference.py"})
    assert visited_by("rope + shaw(9)") == (wanted, set())


def test_only_padding_and_documents_are_spelled_out_as_spans() -> None:
    padding = torch.arange(100)[None] < 7
    assert visited_by("rope", padding=padding) == (sorted([*PROMPT, "tiling/spans.py"]), set())


def test_what_tiles_refuse_passes_no_tile() -> None:
    wanted = ["attend.py", "dense/blocks.py", "dense/reference.py", "inputs.py", "kernels/cpu.py", "places.py"]
    assert visited_by("rope + sparsemax") == ([*wanted, "rotate.py", "tiling/softmax.py"], set())


def test_the_backward_pass_adds_no_file() -> None:
    query, key, value = (torch.randn(1, 2, 100, 8, requires_grad=True) for _ in range(3))
    assert visited_cold(lambda: attend(query, key, value, "rerope(20)").sum().backward()) == (PROMPT, set())


def test_the_count_sees_a_file_that_is_passed_twice() -> None:
    """Guards the tests above: a transform comes back to the file that it was called from."""
    x = torch.randn(1, 2, 20, 8)
    files, twice = visited_cold(lambda: torch.func.grad(lambda query: attend(query, x, x, "rope").sum())(x))
    assert files == sorted([*PROMPT, "traced/transformed.py"])
    assert any(way[:3] == ("attend.py", "traced/transformed.py", "attend.py") for way in twice)
