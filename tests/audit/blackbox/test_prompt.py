"""What is read in place of what was sent."""

import pytest

from longspan.audit.blackbox.prompt import DROPPED, WHOLE, Feeding

IDS = [1, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("feeding", "read", "source"),
    [
        (WHOLE, [1, 5, 6, 7, 8], [0, 1, 2, 3, 4]),
        (Feeding(back=2), [7, 8], [3, 4]),
        (Feeding(2, 0), [1, 5], [0, 1]),
        (Feeding(1, 1), [1, 8], [0, 4]),
        (Feeding(3, 4), [1, 5, 6, 7, 8], [0, 1, 2, 3, 4]),
        (Feeding(openings=0), [5, 6, 7, 8], [1, 2, 3, 4]),
        (Feeding(openings=2), [1, 1, 5, 6, 7, 8], [DROPPED, 0, 1, 2, 3, 4]),
    ],
)
def test_tokens_and_where_they_come_from(feeding: Feeding, read: list[int], source: list[int]) -> None:
    assert feeding.feed(IDS, [1]) == (read, source)


def test_a_text_without_opening_keeps_its_first_token() -> None:
    assert Feeding(openings=0).feed(IDS, []) == (IDS, [0, 1, 2, 3, 4])
