"""Attention that is more than one softmax: sums of tiles are the reference, and refusals say what cannot be summed."""

import pytest
import torch

from longspan import attend, parse
from longspan.compute.tiling import near
from longspan.compute.tiling.lowering import Cut, Span, lower
from longspan.errors import RefusalError
from longspan.slots import Band


@pytest.mark.parametrize("far", [0.0, 1e-30, -2.0])
def test_gradients_where_far_factors_vanish(far: float) -> None:
    """The far sum then has no gradient, its log-sum-exp has: the kernels see it in a pass of its own."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, h, 40, 8, dtype=torch.float64, generator=generator) for h in (4, 2, 2))
    factors = torch.randn(4, 11, dtype=torch.float64, generator=generator)
    factors[1:3, 0] = far
    tensors = [x.requires_grad_() for x in (q, k, v, factors)]

    def gradients(backend: str) -> tuple[torch.Tensor, ...]:
        out = attend(q, k, v, "rope + urpe(5)", weights={"reweight.factors": factors}, backend=backend)
        return torch.autograd.grad(out.sin().sum(), tensors)

    for given, wanted in zip(gradients("tiles"), gradients("reference"), strict=True):
        torch.testing.assert_close(given, wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("text", ["rerope(40) + shaw(20)", "rope + shaw(20) + bidirectional"])
def test_near_pairs_in_several_pieces(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Pieces of one block each, of two rows of a batch, where queries are fewer than keys."""
    monkeypatch.setattr(near, "PAIRS", 1)
    generator = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(2, h, n, 8, dtype=torch.float64, generator=generator) for h, n in ((4, 150), (2, 200), (2, 200))
    )
    weights = {
        n: torch.randn(w.shape, generator=generator).double() for n, w in parse(text).initial_weights(4, 8).items()
    }
    out, wanted = (attend(q, k, v, text, weights=weights, backend=backend) for backend in ("tiles", "reference"))
    torch.testing.assert_close(out, wanted, rtol=1e-11, atol=1e-11)


def test_a_band_of_a_lowering_costs_its_width() -> None:
    plan = lower(parse("rerope(1024)"), Span(8192, 8192, 0), Cut(256), 0, Band(stop=128), True)
    assert sum(tile.pairs for tile in plan.tiles) == 8192 * 128 - 128 * 127 // 2
    assert sum(tile.computed for tile in plan.tiles) < 8192 * 512
    assert {tile.shape for tile in plan.tiles} == {"toeplitz"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("rope + shaw + urpe", "urpe multiplies weights of values to which shaw adds vectors"),
        ("xpos + shaw", "xpos decays and shaw adds vectors to keys"),
    ],
)
def test_what_cannot_be_summed_is_refused(text: str, reason: str) -> None:
    x, scheme = torch.randn(1, 2, 6, 8), parse(text)
    with pytest.raises(RefusalError, match=reason):
        attend(x, x, x, scheme, weights=scheme.initial_weights(2, 8), backend="tiles")
    assert attend(x, x, x, scheme, weights=scheme.initial_weights(2, 8)).isfinite().all()
