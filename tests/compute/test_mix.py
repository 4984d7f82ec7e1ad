"""What `mix` refuses, how it chooses, and what a saved state does: the equivalences are in tests/contract."""

from typing import Any

import pytest
import torch

from longspan.compute.mix import initial_state, mix
from longspan.errors import RefusalError, SchemeError, ShapeError
from longspan.mixers.linear_attention import LinearAttention
from longspan.slots import Mixer, State, Weights

MIXER = LinearAttention()
WEIGHTS = MIXER.initial_weights(2, 4)
X = torch.randn(2, 5, 8)


class Counting(LinearAttention):
    """It notes the shapes that it is given."""

    def chunked(self, x: torch.Tensor, weights: Weights, state: State, chunk: int) -> tuple[torch.Tensor, State]:
        seen: list[tuple[int, int]] = vars(weights).setdefault("seen", [])
        seen.append((x.shape[0], x.shape[1]))
        return super().chunked(x, weights, state, chunk)


class Noted(dict[str, torch.Tensor]):
    """Weights with room for notes."""


@pytest.mark.parametrize(
    ("given", "error", "why"),
    [
        ({"mode": "paralel"}, SchemeError, "unknown mode 'paralel'; did you mean 'parallel'"),
        ({"chunk": 0}, ShapeError, "at least 1 token, got 0"),
        ({"documents": torch.zeros(2, 4)}, ShapeError, r"documents must be \(batch, 5\)"),
        ({"padding": torch.zeros(3, 5)}, ShapeError, r"padding must be \(batch, 5\)"),
        ({"mode": "parallel", "output_final_state": True}, RefusalError, "keeps no state: use mode='chunk'"),
        ({"causal": False, "mode": "chunk"}, RefusalError, "causal=False reads whole documents"),
        ({"causal": False, "output_final_state": True}, RefusalError, "causal=False reads whole documents"),
    ],
)
def test_what_it_cannot_do_is_refused(given: dict[str, Any], error: type[Exception], why: str) -> None:
    with pytest.raises(error, match=why) as refused:
        mix(X, MIXER, WEIGHTS, **given)
    assert "\n" not in str(refused.value)


def test_a_form_that_is_missing_is_refused() -> None:
    class Bare(Mixer):
        def initial_weights(self, *_: Any, **__: Any) -> dict[str, torch.Tensor]:
            return {}

        def initial_state(self, batch: int, weights: Weights) -> State:
            return {}

        def step(self, x: torch.Tensor, weights: Weights, state: State) -> tuple[torch.Tensor, State]:
            return x, state

    assert Bare().modes == ("recurrent",)
    with pytest.raises(RefusalError, match="has no chunk form: use mode='recurrent'"):
        mix(X, Bare(), {}, mode="chunk")
    torch.testing.assert_close(mix(X, Bare(), {})[0], X)


def test_documents_of_like_length_are_read_in_one_call() -> None:
    """Eight documents, of 5 to 8 tokens, are one call; no document is padded to twice its length."""
    weights = Noted(WEIGHTS)
    lengths = [1, 8, 5, 6, 7, 8, 5, 6, 7, 1]  # a shorter one lies before one of another call
    documents = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))[None]
    x = torch.randn(1, sum(lengths), 8)
    found, _ = mix(x, Counting(), weights, documents=documents, chunk=4)
    assert sorted(vars(weights)["seen"]) == [(8, 8)]
    alone = [mix(some, MIXER, WEIGHTS, mode="recurrent")[0] for some in x.split(lengths, 1)]
    torch.testing.assert_close(found, torch.cat(alone, 1))


def test_a_state_goes_on_with_the_first_document_alone() -> None:
    _, state = mix(X, MIXER, WEIGHTS, output_final_state=True)
    documents = torch.tensor([[3, 3, 7, 7, 7]])
    found, _ = mix(X, MIXER, WEIGHTS, initial_state=state, documents=documents)
    torch.testing.assert_close(found[:, :2], mix(X[:, :2], MIXER, WEIGHTS, initial_state=state)[0])
    torch.testing.assert_close(found[:, 2:], mix(X[:, 2:], MIXER, WEIGHTS)[0])


def test_rows_keep_their_order_whatever_their_lengths() -> None:
    """Rows of equal length are read together: the first and the third here."""
    x, more = torch.randn(3, 5, 8), torch.randn(3, 1, 8)
    padding = torch.arange(5) < torch.tensor([[3], [1], [3]])
    _, state = mix(x, MIXER, WEIGHTS, padding=padding, output_final_state=True)
    found, _ = mix(more, MIXER, WEIGHTS, initial_state=state)
    for row in range(3):
        alone = torch.cat([x[row, ~padding[row]], more[row]])[None]
        torch.testing.assert_close(found[row], mix(alone, MIXER, WEIGHTS)[0][0, -1:])


def test_no_token_sees_what_stands_beside_a_text_in_both_directions() -> None:
    padding = torch.arange(5) < torch.tensor([[1], [2]])
    found, _ = mix(X, MIXER, WEIGHTS, padding=padding, causal=False)
    for row in range(2):
        alone, _ = mix(X[row, ~padding[row]][None], MIXER, WEIGHTS, causal=False)
        torch.testing.assert_close(found[row, ~padding[row]], alone[0])


def test_nothing_but_padding_leaves_the_state_as_it_was() -> None:
    _, state = mix(X, MIXER, WEIGHTS, output_final_state=True)
    y, after = mix(X, MIXER, WEIGHTS, initial_state=state, padding=torch.ones(2, 5).bool(), output_final_state=True)
    assert state is not None
    assert after is not None
    assert (y == 0).all()
    assert torch.equal(after.groups[0].tensors["sum"], state.groups[0].tensors["sum"])


def test_a_state_can_be_reordered() -> None:
    _, state = mix(X, MIXER, WEIGHTS, output_final_state=True)
    assert state is not None
    swapped = state.select(torch.tensor([1, 1, 0]))
    assert swapped.batch == 3
    assert torch.equal(swapped.groups[0].tensors["sum"], state.groups[0].tensors["sum"][[1, 1, 0]])


def test_no_tokens_leave_the_state_as_it_was() -> None:
    y, state = mix(X[:, :0], MIXER, WEIGHTS, output_final_state=True)
    assert y.shape == (2, 0, 8)
    assert state is not None
    assert state.nbytes == initial_state(MIXER, 2, WEIGHTS).nbytes == 2 * 2 * 4 * 5 * 4
