"""A small, independent forward pass of a Llama with a chosen treatment of distance: for evaluation only.

It reads the weights of the transformers model and computes attention by blocks of query rows with two explicit key
sets (near: rotated keys; far: plain keys under a query turned by the window), so it shares no code with longspan
and can say whether the bundled model extrapolates before longspan can.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM

ROWS = 128  # query rows computed at once


@dataclass(frozen=True)
class Method:
    """How pairs further apart than `window` are treated: `plain` rope, `rerope` (clamped), `window` (not seen).

    `log_length` multiplies the query at position i by max(1, ln(i + 1) / ln(trained length)).
    """

    kind: str
    window: int = 0
    log_length: bool = False

    def __str__(self) -> str:
        name = self.kind if self.kind == "plain" else f"{self.kind}(window={self.window})"
        return name + (" + log_length" if self.log_length else "")


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE in the half layout."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class Extrapolator:
    """Hidden states and logits of `model` under a method."""

    def __init__(self, model: LlamaForCausalLM) -> None:
        self.model = model
        config = model.config
        self.heads = config.num_attention_heads
        self.head_dim = config.head_dim
        self.trained = config.max_position_embeddings
        theta = config.rope_parameters["rope_theta"]
        self.frequencies = theta ** -(torch.arange(0, self.head_dim, 2, dtype=torch.float64) / self.head_dim)

    def angles(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine of every position times every frequency."""
        angle = positions.double()[:, None] * self.frequencies
        return angle.cos().float(), angle.sin().float()

    def attention(self, q: Tensor, k: Tensor, v: Tensor, method: Method, first: int = 0) -> Tensor:
        """Rows `first` and later; q, k, v of shape (heads, n, head_dim), unrotated."""
        n = q.shape[1]
        if method.log_length:
            growth = torch.log(torch.arange(1, n + 1).float()) / math.log(self.trained)
            q = q * growth.clamp(min=1.0)[:, None]
        cos, sin = self.angles(torch.arange(n))
        near_q, near_k = rotate(q, cos, sin), rotate(k, cos, sin)
        far_q = rotate(q, *self.angles(torch.tensor([method.window])))
        window = n if method.kind == "plain" else method.window
        out = torch.empty_like(q)
        for start in range(first, n, ROWS):
            stop = min(n, start + ROWS)
            rows = torch.arange(start, stop)[:, None]
            low, high = max(0, start - window + 1), max(0, stop - window)
            columns = torch.arange(low, stop)[None]
            seen = (columns <= rows) & (rows - columns < window)
            scores = (near_q[:, start:stop] @ near_k[:, low:stop].mT).masked_fill(~seen, -math.inf)
            values = v[:, low:stop]
            if method.kind == "rerope" and high > 0:
                columns = torch.arange(high)[None]
                far = (far_q[:, start:stop] @ k[:, :high].mT).masked_fill(rows - columns < window, -math.inf)
                scores, values = torch.cat([scores, far], dim=-1), torch.cat([values, v[:, :high]], dim=1)
            out[:, start:stop] = torch.softmax(scores / math.sqrt(self.head_dim), dim=-1) @ values
        return out[:, first:]

    @torch.no_grad()
    def hidden(self, ids: Tensor, method: Method, last: int) -> Tensor:
        """Final hidden states (last, width) of the `last` tokens of one sequence."""
        body = self.model.model
        x = body.embed_tokens(ids).float()
        n = len(ids)
        for layer in body.layers:
            a = layer.self_attn
            h = layer.input_layernorm(x)
            q, k, v = (p(h).view(n, self.heads, self.head_dim).transpose(0, 1) for p in (a.q_proj, a.k_proj, a.v_proj))
            first = n - last if layer is body.layers[-1] else 0
            mixed = self.attention(q, k, v, method, first).transpose(0, 1).reshape(n - first, -1)
            x = x[first:] + a.o_proj(mixed)
            h = layer.post_attention_layernorm(x)
            x = x + layer.mlp.down_proj(nn.functional.silu(layer.mlp.gate_proj(h)) * layer.mlp.up_proj(h))
        result: Tensor = body.norm(x)
        return result

    @torch.no_grad()
    def last_logits(self, ids: Tensor, method: Method) -> Tensor:
        """Logits of the token that follows `ids`."""
        logits: Tensor = self.model.lm_head(self.hidden(ids, method, 1)[-1])
        return logits
