"""What is remembered: by value, and within a budget of bytes."""

import torch

from longspan.compute.remembered import BESIDES, Remembered, spelled


def test_the_results_used_last_stay_within_the_budget() -> None:
    made: list[str] = []
    memory = Remembered(3 * (8 + BESIDES))

    def ask(key: str) -> None:
        def make() -> tuple[torch.Tensor]:
            made.append(key)
            return (torch.zeros(1, dtype=torch.float64),)

        memory.get(key, make)

    for key in "abcabdac":
        ask(key)
    assert "".join(made) == "abcdc"  # d drove out c, the one not used for longest; c came back


def test_one_result_is_kept_whatever_its_size() -> None:
    memory = Remembered(1)
    first = memory.get("a", lambda: (torch.zeros(9),))
    assert memory.get("a", lambda: (torch.ones(9),)) is first


def test_equal_numbers_are_spelled_alike() -> None:
    table = torch.randn(3, 2, dtype=torch.bfloat16)
    before = spelled(table)
    assert spelled(table.clone().requires_grad_()) == before
    table[0, 0] += 1
    assert spelled(table) != before
