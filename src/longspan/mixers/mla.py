"""MLA, multi-head latent attention: keys and values of all heads are made of one latent, which alone is cached.

    c_t = RMSNorm(W_DKV x_t)        r_t = RoPE(W_KR x_t), shared by all heads
    k_j^h = [ W_UK^h c_j , r_j ]    v_j^h = W_UV^h c_j        q_t^h = [ W_Q^h x_t , RoPE(W_QR^h x_t) ]
    y_t = W_o [ Σ_j softmax_j( q_t^h · k_j^h / √(d_n + d_R) ) v_j^h ]_h

    expanded   keys and values are made of the whole cache in each call
    absorbed   W_UK goes into the queries, W_UV after the sum: attention of all heads on one head of [r, c]
    merged     W_UKᵀ W_Q and W_o W_UV are one matrix each: more multiplications than one after the other
    auto       absorbed for as many new tokens as it costs less (`longspan.compute.latent`), else expanded

The cache holds d_c + d_R numbers per token. All forms are the same function; what is rotated is not absorbed.

Source: DeepSeek-AI 2024, "DeepSeek-V2", arXiv:2405.04434, section 2.1, eq. 9–19 and appendix C; queries without a
latent of their own as in V2-Lite; kexue.fm/archives/10091.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from longspan.compute.attend import attend
from longspan.compute.latent import Expansion, LatentWidths
from longspan.compute.rotate import rotate
from longspan.rotation.rope import RoPE
from longspan.slots import BlockMixer, Matrices, State, Weights, projection


@dataclass(frozen=True)
class MLA(BlockMixer):
    """Neutral: none; with a latent as wide as the layer's input it is multi-head attention with partial rotation.

    Arguments:
        latent: d_c; None for four heads' width, as in DeepSeek.
        rotary: d_R, even; None for half a head's width.
        form: how it is computed; no result depends on it.

    >>> MLA().initial_state(1, MLA().initial_weights(4, 8))["latent"].shape
    torch.Size([1, 0, 32])
    """

    matrices: ClassVar[Matrices] = MappingProxyType(
        {"query": 2, "query_rotary": 2, "down": 1, "key_rotary": 1, "up_key": 2, "up_value": 2, "out": 1}
    )
    latent: int | None = None
    rotary: int | None = None
    form: Literal["auto", "expanded", "absorbed", "merged"] = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        forms = ("auto", "expanded", "absorbed", "merged")
        self.require(self.form in forms, "form", "'auto', 'expanded', 'absorbed' or 'merged'")
        self.require(self.latent is None or self.latent >= 1, "latent", "at least 1")
        self.require(self.rotary is None or (self.rotary >= 2 and self.rotary % 2 == 0), "rotary", "even and above 0")

    def initial_weights(
        self, num_heads: int, head_dim: int, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """query: (heads, d_n, hidden); query_rotary: (heads, d_R, hidden); down: (d_c, hidden);
        key_rotary: (d_R, hidden); norm: (d_c); up_key, up_value: (heads, d_n, d_c); out: (hidden, heads, d_n).
        """
        hidden, latent = num_heads * head_dim, 4 * head_dim if self.latent is None else self.latent
        rotary = 2 * max(1, head_dim // 4) if self.rotary is None else self.rotary
        shapes = {
            "query": (num_heads, head_dim, hidden),
            "query_rotary": (num_heads, rotary, hidden),
            "down": (latent, hidden),
            "key_rotary": (rotary, hidden),
            "up_key": (num_heads, head_dim, latent),
            "up_value": (num_heads, head_dim, latent),
        }
        found = {name: projection(*shape, generator=generator) for name, shape in shapes.items()}
        out = projection(hidden, num_heads, head_dim, generator=generator, fan_in=hidden)
        return found | {"out": out, "norm": torch.ones(latent)}

    def initial_state(self, batch: int, weights: Weights) -> State:
        """latent: (batch, tokens, d_c), normalized; rotary: (batch, tokens, d_R), rotated."""
        return {
            name: weights["down"].new_zeros(batch, 0, width)
            for name, width in (("latent", len(weights["down"])), ("rotary", len(weights["key_rotary"])))
        }

    def chunked(
        self, x: Float[Tensor, "batch tokens hidden"], weights: Weights, state: State, chunk: int
    ) -> tuple[Float[Tensor, "batch tokens hidden"], State]:
        """Several queries over all latents so far; the chunk does not matter."""
        read, new = state["latent"].shape[1], x.shape[1]
        latent = torch.nn.functional.rms_norm(x @ weights["down"].mT, weights["norm"].shape, weights["norm"], 1e-6)
        rotary = _rotated((x @ weights["key_rotary"].mT)[:, None], read)[:, 0]
        state = {"latent": torch.cat([state["latent"], latent], 1), "rotary": torch.cat([state["rotary"], rotary], 1)}
        query = _rotated(torch.einsum("btd,hrd->bhtr", x, weights["query_rotary"]), read)
        expansion = Expansion(weights["up_key"], weights["up_value"])
        content, value = weights["up_key"].shape[1], weights["up_value"].shape[1]
        widths = LatentWidths(latent.shape[-1], rotary.shape[-1], content, value)
        scale = (content + rotary.shape[-1]) ** -0.5
        form = self.form
        if form == "auto":
            form = "absorbed" if widths.absorbs(new, read + new) else "expanded"
        if form == "expanded":
            y = self._expanded(torch.einsum("btd,hnd->bhtn", x, weights["query"]), query, state, expansion, scale)
            return torch.einsum("bhtv,dhv->btd", y, weights["out"]), state
        if form == "merged":
            met = torch.einsum("btd,hdc->bhtc", x, torch.einsum("hnd,hnc->hdc", weights["query"], expansion.key))
            out = torch.einsum("hvc,dhv->dhc", expansion.value, weights["out"])
            return torch.einsum("bhtc,dhc->btd", _on_latents(met, query, state, scale), out), state
        met = expansion.absorb(torch.einsum("btd,hnd->bhtn", x, weights["query"]))
        y = expansion.values(_on_latents(met, query, state, scale))
        return torch.einsum("bhtv,dhv->btd", y, weights["out"]), state

    def _expanded(self, content: Tensor, rotary: Tensor, state: State, expansion: Expansion, scale: float) -> Tensor:
        keys, values = expansion.expand(state["latent"])
        shared = state["rotary"][:, None].expand(-1, keys.shape[1], -1, -1)
        query, key = torch.cat([content, rotary], -1), torch.cat([keys, shared], -1)
        return attend(query, key, values, "nope", scale=scale)


def _on_latents(met: Tensor, rotary: Tensor, state: State, scale: float) -> Tensor:
    """Latents mixed by attention on one head of [rotary key, latent], whose values are the same numbers."""
    shared = torch.cat([state["rotary"], state["latent"]], -1)[:, None]
    return attend(torch.cat([rotary, met], -1), shared, shared, "nope", scale=scale)[..., rotary.shape[-1] :]


def _rotated(x: Float[Tensor, "batch heads tokens rotary"], first: int) -> Tensor:
    positions = torch.arange(first, first + x.shape[2], device=x.device)[None, :, None]
    return rotate(x, positions, RoPE().spectrum(x.shape[-1]))
