"""What an extension costs a whole model as it generates, at 3k cached tokens: `python benchmarks/model_decode.py`.

SmolLM2-135M where `make smollm2` has put it, else random numbers in its shape. A step of the model as it is, and one
under each scheme, round by round, all on the same weights in memory: one text, one in a static cache, and a batch of
four behind padding of their own.
"""

import argparse
import copy
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, PreTrainedModel, StaticCache

import longspan
from longspan.bench.attention import conditions, timed
from longspan.pretrained.attachment import attachment_of

FOLDER = Path(__file__).parent / "results"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "longspan"
SMOLLM2 = CACHE / "SmolLM2-135M-Instruct.Q4_1.gguf"
LENGTH, ROUNDS = 3000, 80
PADDING = (0, 100, 400, 1500)
"""Of the rows of the batch, tokens."""
SCHEMES = (
    "rerope(window=512)",
    "leaky_rerope(window=512, k=4)",
    "self_extend(window=512, group=4)",
    "rerope(window=1024)",
    "streaming_llm(size=1024)",
    "window(size=512)",
    "log_length(trained_length=2048)",
    "yarn(factor=4)",
)
FEW = SCHEMES[0], SCHEMES[5]
"""What is measured in every kind of cache."""


def random_llama() -> LlamaForCausalLM:
    """The shape of SmolLM2-135M with random numbers."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "vocab_size": 49152}
    heads = {"num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 2048}
    return LlamaForCausalLM(LlamaConfig(**sizes, **heads, tie_word_embeddings=True)).eval()


@torch.no_grad()
def stepping(model: PreTrainedModel, kind: str) -> Callable[[], None]:
    """One more token for a cache of its own that was filled beforehand."""
    padding = torch.tensor(PADDING if kind == "decode, padded batch" else (0,))[:, None]
    length = LENGTH + ROUNDS + 1
    words = torch.randint(2, 49152, (len(padding), length), generator=torch.Generator().manual_seed(0))
    real = (torch.arange(length) >= padding).long()
    static = kind == "decode, static cache"
    cache = StaticCache(config=model.config, max_cache_len=length) if static else DynamicCache()

    def read(start: int, stop: int) -> None:
        mask = real[:, :stop] if len(real) > 1 else None
        model(input_ids=words[:, start:stop], attention_mask=mask, past_key_values=cache, logits_to_keep=1)

    def step() -> None:
        with torch.no_grad():
            at = int(cache.get_seq_length())
            read(at, at + 1)

    read(0, LENGTH)
    return step


def extended(model: PreTrainedModel, scheme: str) -> PreTrainedModel:
    """Another model with the same weights in memory."""
    twin = copy.deepcopy(model, memo={id(weight): weight for weight in model.parameters()})
    longspan.extend(twin, scheme)
    assert attachment_of(model) is None
    return twin


def main() -> None:
    argparse.ArgumentParser(description="Write results/model-decode.json.").parse_args()
    torch.set_num_threads(2)
    name, model = ("SmolLM2-135M", longspan.load(SMOLLM2).eval()) if SMOLLM2.exists() else ("random", random_llama())
    rows = []
    for kind, schemes in (("decode", SCHEMES), ("decode, static cache", FEW), ("decode, padded batch", FEW)):
        calls = {scheme: stepping(extended(model, scheme), kind) for scheme in schemes}
        rows += timed(stepping(model, kind), calls, kind, LENGTH, torch.float32, ROUNDS, lambda _: None)
    for row in rows:
        print(
            f"{row.task:22} {row.name:36} {row.ratio:.3f} [{row.low:.3f}, {row.high:.3f}]  {row.seconds * 1e3:.0f} ms"
        )
    kept = {k: v for k, v in conditions().items() if k in ("hardware", "torch", "python", "load_average")}
    kept |= {"command": "python benchmarks/model_decode.py", "model": name, "padding": PADDING}
    found = {**kept, "rows": [asdict(row) for row in rows]}
    text = json.dumps(found, indent=1)
    (FOLDER / "model-decode.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
