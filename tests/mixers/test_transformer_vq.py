"""Outside source: the dense matrix over keys that are their codes, written out; the quantizer for the codebook."""

from typing import Any

import pytest
import torch

from longspan.compute.mix import mix
from longspan.errors import SchemeError
from longspan.mixers.transformer_vq import TransformerVQ
from longspan.quantizers.vq import VQ
from mixers.by_formula import drawn, mixed, text


def written_out(x: torch.Tensor, weights: dict[str, torch.Tensor], window: int, exact: bool = False) -> torch.Tensor:
    def normed(y: torch.Tensor) -> torch.Tensor:
        y = y - y.mean(-1, keepdim=True)
        return y / (y.square().mean(-1, keepdim=True) + 1e-5).sqrt() / y.shape[-1] ** 0.25

    silu, width, tokens = torch.nn.functional.silu, weights["key"].shape[0], x.shape[1]
    query, key = normed(x @ weights["query"].T), normed(x @ weights["key"].T)
    if not exact:
        codes = weights["code_sum"] / weights["code_count"][:, None]
        key = codes[torch.cdist(key, codes).argmin(-1)]
    rates = 1e4 ** (-torch.arange(0, width, 2).double() / width)
    outputs = []
    for t in range(tokens):
        scores = ((query[:, t] + weights["content_bias"])[:, None] * key[:, : t + 1]).sum(-1)
        for j in range(max(0, t - window), t + 1):
            sinusoid = torch.cat([torch.sin((t - j) * rates), torch.cos((t - j) * rates)])
            scores[:, j] += (query[:, t] + weights["place_bias"]) @ (weights["relative"] @ sinusoid)
        outputs.append((scores.softmax(-1)[..., None] * silu(x @ weights["value"].T)[:, : t + 1]).sum(1))
    return (silu(x @ weights["gate"].T) * torch.stack(outputs, 1)) @ weights["out"].T


@pytest.mark.parametrize("window", [1, 3, 20])
@pytest.mark.parametrize("codes", [1, 4])
def test_is_dense_attention_over_codes(window: int, codes: int) -> None:
    mixer = TransformerVQ(codes=codes, window=window)
    weights, x = drawn(mixer), text(17)
    wanted = written_out(x, weights, window)
    for chunk in (1, 4, 17):
        torch.testing.assert_close(mixed(x, mixer, weights, chunk=chunk), wanted, rtol=1e-9, atol=1e-10)


def test_a_code_for_every_key_is_attention() -> None:
    mixer = TransformerVQ(codes=17, window=3, beta=1.0)
    weights, x = drawn(mixer), text(17, batch=1)
    weights["code_sum"] = mixer.observed(x, weights)[0] * weights["code_count"][:, None]
    torch.testing.assert_close(mixed(x, mixer, weights), written_out(x, weights, 3, exact=True), rtol=1e-9, atol=1e-10)
    assert float(mixer.penalty(mixer.observed(x[0], weights), weights).max()) < 1e-20


def test_the_state_stops_growing_and_counts_what_left() -> None:
    mixer, sizes = TransformerVQ(codes=4, window=3), []
    weights = drawn(mixer)
    for tokens in (10, 50):
        _, state = mix(text(tokens), mixer, weights, output_final_state=True)
        assert state is not None
        assert (state.groups[0].tensors["count"].sum(-1) == tokens - 3).all()
        sizes.append(state.nbytes)
    assert sizes[0] == sizes[1]


def test_the_codebook_follows_the_keys_as_the_quantizer_does() -> None:
    """After some steps every code is nearer to the keys; no weight but the two of the codebook moves."""
    mixer, vq = TransformerVQ(codes=4, decay=0.5, beta=1.0), VQ(codes=4, decay=0.5)
    weights, x = drawn(mixer), text(40).flatten(0, 1)
    keys, before = mixer.observed(x, weights), weights
    book = {"count": weights["code_count"], "sum": weights["code_sum"]}
    for seed in range(5):
        followed = mixer.followed(keys, weights, torch.Generator().manual_seed(seed))
        assert followed.keys() == set(mixer.following)
        weights, book = weights | followed, vq.update(keys, book, torch.Generator().manual_seed(seed))
    torch.testing.assert_close(weights["code_sum"] / weights["code_count"][:, None], vq.vectors(book))
    assert float(mixer.penalty(keys, weights).mean()) < 0.6 * float(mixer.penalty(keys, before).mean())


def test_the_penalty_is_beta_times_the_squared_distance_from_the_nearest_code() -> None:
    mixer = TransformerVQ(codes=5, beta=0.25)
    weights, x = drawn(mixer), text(9, batch=1)[0]
    keys = mixer.observed(x, weights).requires_grad_()
    codes = weights["code_sum"] / weights["code_count"][:, None]
    near = codes[torch.cdist(keys.detach(), codes).argmin(-1)]
    torch.testing.assert_close(mixer.penalty(keys, weights), 0.25 * (keys - near).square().sum(-1))
    (gradient,) = torch.autograd.grad(mixer.penalty(keys, weights).sum(), keys)
    torch.testing.assert_close(gradient, 0.5 * (keys - near).detach())


@pytest.mark.parametrize("name", ["codes", "window", "expansion"])
def test_nothing_is_refused(name: str) -> None:
    with pytest.raises(SchemeError, match=f"{name} must be at least 1"):
        TransformerVQ(**dict[str, Any]({name: 0}))
