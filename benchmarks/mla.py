"""What a decoding step of latent attention costs, on latents and by expanding them: `python benchmarks/mla.py`.

One layer of DeepSeek-V2-Lite's attention (random numbers) inside transformers' own model, with a narrow feed-forward
network and a small vocabulary, so that attention is what is timed. Both models hold the same weights in memory and a
cache of their own; steps take turns, and each is followed by cropping the cache.
"""

import argparse
import copy
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from transformers import DeepseekV2Config, DeepseekV2ForCausalLM, DynamicCache, PreTrainedModel

import longspan
from longspan.bench.attention import Row, conditions, timed

FOLDER = Path(__file__).parent / "results"
LENGTHS = (4096, 16384, 32768)
ROUNDS = 15
DIFFERENCE = 1e-5
"""Allowed between the logits of both in float32, in units of their standard deviation."""


def one_layer() -> DeepseekV2ForCausalLM:
    """One layer with the widths of V2-Lite's attention."""
    torch.manual_seed(0)
    config = DeepseekV2Config(
        hidden_size=2048, num_attention_heads=16, num_key_value_heads=16, kv_lora_rank=512, q_lora_rank=None,
        qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128, head_dim=64, num_hidden_layers=1,
        intermediate_size=128, first_k_dense_replace=1, vocab_size=256, max_position_embeddings=2**17,
        n_routed_experts=2, moe_intermediate_size=8, pad_token_id=0, bos_token_id=1, eos_token_id=None,
    )  # fmt: skip
    return DeepseekV2ForCausalLM(config).eval()


def cache_of(length: int) -> DynamicCache:
    """Random latents and rotary keys of so many tokens."""
    generator, cache = torch.Generator().manual_seed(1), DynamicCache()
    latents, keys = (torch.randn(1, 1, length, size, generator=generator) for size in (512, 64))
    cache.update(latents, keys, 0)
    return cache


@torch.no_grad()
def stepping(model: PreTrainedModel, length: int) -> Callable[[], None]:
    """One more token over a cache of `length` tokens."""
    cache, word = cache_of(length), torch.tensor([[7]])

    def step() -> None:
        with torch.no_grad():
            model(input_ids=word, past_key_values=cache)
        cache.crop(-1)

    return step


def extended(model: PreTrainedModel, scheme: str) -> PreTrainedModel:
    """Another model with the same weights in memory; methods whose keys come unrotated cost the same on these."""
    twin = copy.deepcopy(model, memo={id(weight): weight for weight in model.parameters()})
    return longspan.extend(twin, scheme)


@torch.no_grad()
def difference(length: int) -> float:
    """Between the logits of a step on latents and of the model's own, in units of their deviation."""
    model, word = one_layer(), torch.tensor([[7]])
    own = model(input_ids=word, past_key_values=cache_of(length)).logits
    with longspan.attached(model, "rope"):
        found = model(input_ids=word, past_key_values=cache_of(length)).logits
    return float((found - own).abs().max() / own.std())


def rows_at(length: int) -> list[Row]:
    """Time one length."""
    model = one_layer()
    calls = {"rope": stepping(extended(model, "rope"), length)}
    return timed(stepping(model, length), calls, "decode", length, torch.float32, ROUNDS, lambda _: None)


def main() -> None:
    """Write results/mla.json."""
    parser = argparse.ArgumentParser(description="Write results/mla.json.")
    parser.add_argument("--threads", type=int, default=1)
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    differences = {length: difference(length) for length in LENGTHS}
    assert max(differences.values()) < DIFFERENCE, differences
    rows = [row for length in LENGTHS for row in rows_at(length)]
    for row in rows:
        print(f"{row.length:6} {1 / row.ratio:.1f} × faster, {row.seconds * 1e3:.1f} ms")
    kept = {k: v for k, v in conditions().items() if k in ("hardware", "torch", "python", "load_average")}
    found = {"command": f"python benchmarks/mla.py --threads {threads}", **kept, "differences": differences}
    found["rows"] = [asdict(row) for row in rows]
    (FOLDER / "mla.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
