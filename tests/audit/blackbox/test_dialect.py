"""What a server read, found among what was sent."""

import pytest

from longspan.audit.blackbox.dialect import placed
from longspan.errors import RefusalError

SENT = (4, 5, 6, 7, 8, 9)


@pytest.mark.parametrize(
    ("read", "kept"),
    [
        ([4, 5, 6, 7, 8, 9], [0, 1, 2, 3, 4, 5]),
        ([1, 4, 5, 6, 7, 8, 9], [0, 1, 2, 3, 4, 5]),
        ([7, 8, 9], [3, 4, 5]),
        ([4, 5, 6], [0, 1, 2]),
        ([4, 5, 9], [0, 1, 5]),
        ([4, None, 9], [0, 1, 5]),
    ],
)
def test_each_value_goes_to_its_token(read: list[int | None], kept: list[int]) -> None:
    extra = max(0, len(read) - len(SENT))
    values = [float(-place) for place in range(len(read))]
    found = placed(SENT, read, values)
    assert [index for index, value in enumerate(found) if value is not None] == kept
    assert [value for value in found if value is not None] == values[extra:]


def test_other_tokens_are_refused() -> None:
    with pytest.raises(RefusalError, match="tokenizer"):
        placed(SENT, [1, 2, 3], [0.0, 0.0, 0.0])
