"""Reading 32768 tokens with a vocabulary of 49152 holds weights, cache and less than 1 GB, libraries included."""

import json
import os
import subprocess
import sys
from pathlib import Path

LENGTH = 32768
PROGRAM = """
import json, sys
from pathlib import Path
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from longspan.measure.reading import reader as module
from longspan.measure.kinds.reading import reading
from longspan.measure.reading.reader import Reader
from longspan.task import Example, Question

length, module.WHOLE = int(sys.argv[1]), int(sys.argv[2])
torch.manual_seed(0)
# Few channels, so that it takes seconds; as many in between, tokens and words as a whole model has.
config = LlamaConfig(
    vocab_size=49152, hidden_size=64, intermediate_size=4096, num_hidden_layers=2, num_attention_heads=1,
    num_key_value_heads=1, head_dim=64, max_position_embeddings=8192, tie_word_embeddings=True,
)
model = LlamaForCausalLM(config).eval()
weights = sum(p.numel() * p.element_size() for p in model.parameters())
cache = 2 * config.num_hidden_layers * config.head_dim * 4 * length
ids = tuple(torch.randint(0, 49152, (length,)).tolist())
text = Example(ids, (True,) * length, (Question((1, 2, 3), ((4,), (5,)), 0, 0.5, 9),))
found = reading(Reader(model), text, 8192, 256)
# Of this program alone: getrusage counts what the process held before it became this program, as a copy of its parent.
peak = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"weights": weights, "cache": cache, "peak": peak, "asked": found["asked"]}))
"""


def over(whole: int, length: int = LENGTH) -> float:
    """The most bytes that a process of its own held beside weights and cache, in GB."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM, str(length), str(whole)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["asked"] == 1
    return (found["peak"] - found["weights"] - found["cache"]) / 1e9


def test_reading_a_long_text_takes_less_than_1_gb_beside_weights_and_cache() -> None:
    """And not for nothing: all tokens at once would take more."""
    assert over(whole=8192) < 1.0
    assert over(whole=LENGTH) > 1.0
