"""Start a small Llama at an induction circuit, so that few tokens of training are enough for recall.

From random weights, heads that look back a fixed number of tokens and heads that match content appear only after a
plateau that costs more than the whole budget here. So training starts from a circuit written down by hand, in
ordinary weights that are free to change from the first step:

    layer 0, heads 0 and 1   attend to the token 1 and 2 places back and write its content into spaces of their own
    layer 1, all heads       at a token with predecessor p, attend to keys preceded by the token and two places
                             before by p, and copy the key's content to where the logits read it

Matching uses the pairs whose wavelength is 4.5 to 25 trained lengths: at theta 10000 and 512 tokens pairs 21 to 26, of
wavelengths 2650 to 11173. They are slow enough that a match survives anywhere in the trained 512 tokens (mean cosine at
least 0.75) and fast enough that its score is gone beyond them (mean cosine 0.2 at 1024, -0.3 at 2048 and at 4096). The
slower pairs start silent in the queries and keys of every layer and so never learn: within the trained length they
carry content without position, which would let plain RoPE match at any distance. ReRoPE keeps every distance at which
the match was trained. A look-back head needs a query that is the same everywhere: channel 0 of every embedding starts
with one value, which adds the same number to every logit and so changes no prediction. Embeddings start in CONTENT
channels, which leaves room for what heads write.

After: Trockman & Kolter 2023, arXiv:2305.09828 (mimetic initialization); Olsson et al. 2022, arXiv:2209.11895.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from transformers import LlamaForCausalLM

CONTENT = 96  # channels 1 ... 96 hold the token, 64 channels each the tokens 1 and 2 places back
NORM = 0.32  # length of an embedding, of its constant and of what a look-back head writes
LOOK_BACK = 0.5  # query and key weight per frequency of a look-back head: a score gap of about 4 between neighbors
SHARP_PAIRS = 12  # look-back heads use the fastest frequencies
MATCHING_WAVELENGTHS = (4.5, 25.0)  # of the pairs that match, in trained lengths; slower pairs are silent
MATCH = 3.5  # query and key weight of six matching pairs; where they are fewer each weighs more
COPY = 0.15
LOGIT_GAIN = 2.0


def orthonormal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Random matrix (rows, columns), rows <= columns, with orthonormal rows."""
    square, _ = torch.linalg.qr(torch.randn(columns, rows, generator=generator))
    return square.T


def matching_pairs(theta: float, head_dim: int, length: int) -> range:
    """Frequency pairs by wavelength relative to the trained length: slow enough within it, fast enough beyond.

    >>> matching_pairs(10000.0, 64, 512)
    range(21, 27)
    """
    shortest, longest = (share * length for share in MATCHING_WAVELENGTHS)
    half = head_dim // 2
    found = [pair for pair in range(half) if shortest <= 2 * math.pi * theta ** (pair / half) <= longest]
    return range(found[0], found[-1] + 1)


@torch.no_grad()
def near_induction(model: LlamaForCausalLM, seed: int) -> None:
    """Overwrite the embedding and some heads of the first two layers; everything else keeps its random start."""
    generator = torch.Generator().manual_seed(seed)
    config = model.config
    size, half = config.head_dim, config.head_dim // 2
    theta = config.rope_parameters["rope_theta"]
    frequencies = theta ** -(torch.arange(half) / half)
    token = slice(1, 1 + CONTENT)
    back = [slice(token.stop + i * size, token.stop + (i + 1) * size) for i in range(2)]
    model.model.norm.weight.fill_(LOGIT_GAIN)

    embedding = model.model.embed_tokens.weight
    directions = torch.randn(len(embedding), CONTENT, generator=generator)
    embedding.zero_()
    embedding[:, token] = NORM * directions / directions.norm(dim=1, keepdim=True)
    embedding[:, 0] = NORM

    for layer in model.model.layers:  # what is not part of the circuit starts silent
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    first, second = model.model.layers[0].self_attn, model.model.layers[1].self_attn
    read = orthonormal(size, CONTENT, generator)
    for head, space in enumerate(back):
        rows = slice(head * size, (head + 1) * size)
        angle = (head + 1) * frequencies[:SHARP_PAIRS]
        for projection in (first.q_proj, first.k_proj, first.v_proj):
            projection.weight[rows] = 0.0
        first.v_proj.weight[rows, token] = read
        first.q_proj.weight[rows, 0][:SHARP_PAIRS] = LOOK_BACK
        first.k_proj.weight[rows, 0][:SHARP_PAIRS] = LOOK_BACK * angle.cos()
        first.k_proj.weight[rows, 0][half : half + SHARP_PAIRS] = LOOK_BACK * angle.sin()
        first.o_proj.weight[space, rows] = NORM / 9.2 * torch.eye(size)  # 9.2: length of a value after the norm

    pairs = torch.tensor(matching_pairs(theta, size, config.max_position_embeddings))
    match = MATCH * math.sqrt(6 / len(pairs))
    slow = torch.cat([pairs, pairs + half])
    slower = torch.arange(pairs[-1] + 1, half)
    silent = torch.cat([slower, slower + half])
    for layer in model.model.layers:
        for projection in (layer.self_attn.q_proj, layer.self_attn.k_proj):
            projection.weight.view(-1, size, config.hidden_size)[:, silent] = 0.0
    for head in range(config.num_attention_heads):
        rows = slice(head * size, (head + 1) * size)
        of_token = match * orthonormal(len(pairs), size, generator)
        of_predecessor = match * orthonormal(len(pairs), size, generator)
        query, key = torch.zeros(size, config.hidden_size), torch.zeros(size, config.hidden_size)
        query[slow[::2], token], key[slow[::2], back[0]] = of_token @ read, of_token
        query[slow[1::2], back[0]], key[slow[1::2], back[1]] = of_predecessor, of_predecessor
        second.q_proj.weight[rows], second.k_proj.weight[rows] = query, key
        copied = orthonormal(size, CONTENT, generator)
        second.v_proj.weight[rows] = 0.0
        second.v_proj.weight[rows, token] = copied
        second.o_proj.weight[token, rows] = COPY * copied.T
