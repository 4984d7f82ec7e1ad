"""What is remembered: by value, and within a budget of bytes."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from threading import Barrier

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from longspan import attend, parse
from longspan.bias.alibi import slopes
from longspan.memo import OVERHEAD, TensorCache, forget, numbers_of
from longspan.mixers.performer import directions
from longspan.mixers.permuteformer import permutations


def test_the_results_used_last_stay_within_the_budget() -> None:
    made: list[str] = []
    memory = TensorCache(3 * (8 + OVERHEAD))

    def ask(key: str) -> None:
        def make() -> tuple[torch.Tensor]:
            made.append(key)
            return (torch.zeros(1, dtype=torch.float64),)

        memory.get(key, make)

    for key in "abcabdac":
        ask(key)
    assert "".join(made) == "abcdc"  # d drove out c, the one not used for longest; c came back


def test_one_result_is_kept_whatever_its_size() -> None:
    memory = TensorCache(1)
    first = memory.get("a", lambda: (torch.zeros(9),))
    assert memory.get("a", lambda: (torch.ones(9),)) is first


ROTATIONS = (
    "rope", "xpos", "ntk(factor=2)", "yarn(factor=4, trained_length=8)", "dynamic_ntk(trained_length=8)",
    "linear(factor=2)", "rope + alibi",
)  # fmt: skip


@pytest.mark.parametrize("mode", [lambda: torch.device("meta"), FakeTensorMode], ids=["meta", "fake"])
@pytest.mark.parametrize("text", ROTATIONS)
def test_what_is_asked_for_while_a_model_is_made_without_data_spoils_no_later_call(
    text: str, mode: Callable[[], AbstractContextManager[object]]
) -> None:
    x = torch.randn(1, 2, 20, 8)
    forget()
    wanted = [attend(x, x, x, text + more) for more in ("", " + softcap(5)")]
    forget()
    with mode():
        parse(text).rotation.spectrum(8)
        slopes(2)
        with suppress(RuntimeError):  # a call inside may fail, and must leave nothing behind
            attend(x, x, x, text + " + softcap(5)")
    found = [attend(x, x, x, text + more) for more in ("", " + softcap(5)")]
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("mode", [lambda: torch.device("meta"), FakeTensorMode], ids=["meta", "fake"])
@pytest.mark.parametrize(
    "made", [lambda: directions(6, 4, 0, "chi"), lambda: permutations(2, 4, 0)], ids=["performer", "permuteformer"]
)
def test_what_mixers_draw_has_data_whoever_asks_first(
    made: Callable[[], torch.Tensor], mode: Callable[[], AbstractContextManager[object]]
) -> None:
    forget()
    wanted = made()
    forget()
    with mode():
        made()
    assert torch.equal(made(), wanted)


def test_equal_numbers_are_equal_keys() -> None:
    table = torch.randn(3, 2, dtype=torch.bfloat16)
    before = numbers_of(table)
    assert numbers_of(table.clone().requires_grad_()) == before
    table[0, 0] += 1
    assert numbers_of(table) != before


def test_threads_that_ask_at_once_book_every_result_once() -> None:
    """All make the same result before any can keep it; all then get the one that is kept."""
    together, memory = Barrier(4), TensorCache(2**20)

    def make() -> tuple[torch.Tensor]:
        together.wait(timeout=30)
        return (torch.zeros(9),)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: memory.get("a", make), range(4)))
    assert all(result is found[0] for result in found)
    assert memory.nbytes == 36 + OVERHEAD


def test_threads_that_ask_for_many_results_stay_within_the_budget() -> None:
    memory, interval = TensorCache(3 * (40 + OVERHEAD)), sys.getswitchinterval()

    def ask(thread: int) -> None:
        for i in range(400):
            key = (i * (2 * thread + 1)) % 7
            (result,) = memory.get(key, lambda key=key: (torch.full((10,), float(key)),))
            assert result[0] == key

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(ask, range(4)))
    finally:
        sys.setswitchinterval(interval)
    kept = sum(memory.get(key, lambda: (torch.zeros(10),)) is not None for key in range(3))
    assert memory.nbytes == kept * (40 + OVERHEAD)


def test_a_result_may_be_made_of_another() -> None:
    memory = TensorCache(2**20)
    assert memory.get("a", lambda: memory.get("b", lambda: (torch.zeros(1),))) is memory.get("b", lambda: ())
