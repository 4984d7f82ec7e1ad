"""A two-layer Llama written out in numpy and float64, straight from the articles' formulas."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

import longspan
from pretrained.models import in_parts, logits, tiny_llama, tokens

LENGTH = 90
Array = np.ndarray
Distance = Callable[[Array, Array], Array]
"""Of the positions i and j of a query and a key."""


def plain_frequencies(d: int, base: float) -> Array:
    return np.array([base ** (-2 * i / d) for i in range(d // 2)])


def rerope(i: Array, j: Array) -> Array:
    """kexue.fm/archives/9708: min(i − j, w)."""
    return np.minimum(i - j, 8)


def leaky(i: Array, j: Array) -> Array:
    """kexue.fm/archives/9708: w + (i − j − w) / k beyond the window."""
    return np.where(i - j < 8, i - j, 8 + (i - j - 8) / 4)


def self_extend(i: Array, j: Array) -> Array:
    """arXiv:2401.01325, algorithm 1: the floor of each position, and the query shifted by w − ⌊w / G⌋."""
    return np.where(i - j < 9, i - j, i // 4 + 9 - 9 // 4 - j // 4)


def dual_chunk(i: Array, j: Array) -> Array:
    """arXiv:2402.17463, section 3: queries at i mod s, at min(i mod s + s, c) and at c; keys at j mod s."""
    chunk, s = 24, 20
    apart = i // s - j // s
    return np.where(apart == 0, i % s, np.where(apart == 1, np.minimum(i % s + s, chunk), chunk)) - j % s


def mixed(d: int, base: float) -> Array:
    """kexue.fm/archives/9706: λ_1 … λ_j = exp(a j^b), a (d/2)^b = ln k, with k = 6 and b = 0.625."""
    a = np.log(6.0) / (d / 2) ** 0.625
    return np.array([base ** (-2 * i / d) / np.exp(a * (i + 1) ** 0.625) for i in range(d // 2)])


def same(i: Array, j: Array) -> Array:
    return i - j


def llama(
    model, words: Array, distance: Callable[[Array, Array], Array], spectrum: Callable[[int, float], Array]
) -> Array:
    """Logits of one row of words."""
    config = model.config
    weight = {name: value.double().numpy() for name, value in model.state_dict().items()}
    heads, groups = config.num_attention_heads, config.num_attention_heads // config.num_key_value_heads
    d, n = config.head_dim, len(words)
    frequencies = spectrum(d, config.rope_parameters["rope_theta"])
    mapped = distance(np.arange(n)[:, None], np.arange(n)[None]).astype(np.float64)

    def norm(x: Array, name: str) -> Array:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + config.rms_norm_eps) * weight[name]

    x = weight["model.embed_tokens.weight"][words]
    for layer in range(config.num_hidden_layers):
        at = f"model.layers.{layer}."
        h = norm(x, at + "input_layernorm.weight")
        q, k, v = (h @ weight[f"{at}self_attn.{letter}_proj.weight"].T for letter in "qkv")
        out = np.zeros((n, heads * d))
        for head in range(heads):
            kv = head // groups
            mine, theirs = q[:, head * d : (head + 1) * d], k[:, kv * d : (kv + 1) * d]
            scores = np.zeros((n, n))
            for pair, frequency in enumerate(frequencies):
                a, b = mine[:, pair], mine[:, pair + d // 2]
                s, t = theirs[:, pair], theirs[:, pair + d // 2]
                angle = mapped * frequency
                scores += (np.outer(a, s) + np.outer(b, t)) * np.cos(angle)
                scores += (np.outer(a, t) - np.outer(b, s)) * np.sin(angle)
            scores = np.where(np.tril(np.ones((n, n), bool)), scores / np.sqrt(d), -np.inf)
            weights = np.exp(scores - scores.max(1, keepdims=True))
            weights /= weights.sum(1, keepdims=True)
            out[:, head * d : (head + 1) * d] = weights @ v[:, kv * d : (kv + 1) * d]
        x = x + out @ weight[at + "self_attn.o_proj.weight"].T
        h = norm(x, at + "post_attention_layernorm.weight")
        gate = h @ weight[at + "mlp.gate_proj.weight"].T
        up = h @ weight[at + "mlp.up_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ weight[at + "mlp.down_proj.weight"].T
    return norm(x, "model.norm.weight") @ weight["lm_head.weight"].T


CASES = {
    "rope": (same, plain_frequencies),
    "rerope(window=8)": (rerope, plain_frequencies),
    "leaky_rerope(window=8, k=4)": (leaky, plain_frequencies),
    "self_extend(window=9, group=4)": (self_extend, plain_frequencies),
    "dual_chunk(chunk=24, local=4)": (dual_chunk, plain_frequencies),
    "ntk_mixed(factor=6, exponent=0.625)": (same, mixed),
    "ntk_mixed(factor=6, exponent=0.625) + leaky_rerope(window=8, k=4)": (leaky, mixed),
    "ntk_mixed(factor=6, exponent=0.625) + rerope(window=8)": (rerope, mixed),
}


@pytest.mark.parametrize("scheme", CASES)
def test_the_whole_model_is_what_the_article_says(scheme):
    words = tokens(1, LENGTH)
    model = tiny_llama()
    expected = torch.tensor(llama(model, words[0].numpy(), *CASES[scheme]))[None]
    with longspan.attached(model, scheme):
        for found in (
            logits(model, words),
            in_parts(model, words, [LENGTH - 20, *[1] * 20]),
            in_parts(model, words, [33, 40, LENGTH - 73]),
        ):
            torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)
