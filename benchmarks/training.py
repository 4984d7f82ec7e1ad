"""What a design costs a whole model in training: `python benchmarks/training.py`.

One forward and backward pass of a small Llama (6 layers of width 256 and 8 heads, a vocabulary of 2304) with each
design, over the same of the model as transformers makes it, with PyTorch's own attention, round by round. "rope through
tiles" is rope whose attention the library computes itself. The memory of a pass is measured in a process of its own.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from longspan.bench.attention import conditions, timed
from longspan.pretrained.attach import design

FOLDER = Path(__file__).parent / "results"
TOKENS, ROUNDS = 4096, 9
LENGTHS = (512, 2048)
DESIGNS = {
    "rope through tiles": "rope + window(LENGTH)",
    "alibi": "alibi",
    "window of a quarter": "rope + window(QUARTER)",
    "key_norm": "rope + key_norm",
    "kerple_log": "kerple_log",
    "t5": "t5",
    "sandwich": "sandwich",
    "xpos": "xpos",
    "log_length": "rope + log_length(form='training')",
    "hwfa2": "hwfa2",
    "urpe": "rope + urpe",
}
GROWTH = (2048, 4096, 8192, 16384)
GROWING = ("alibi", "rope + key_norm")


def made(length: int, plan: str | None = None) -> LlamaForCausalLM:
    """A model of random numbers, with a design if one is given."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=2304, hidden_size=256, intermediate_size=704, num_hidden_layers=6, num_attention_heads=8,
        num_key_value_heads=8, max_position_embeddings=length, tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config).train()
    if plan is None:
        return model
    return design(model, plan.replace("LENGTH", str(length)).replace("QUARTER", str(length // 4)))


def step(model: LlamaForCausalLM, length: int, tokens: int = TOKENS) -> Callable[[], None]:
    """One forward and backward pass."""
    ids = torch.randint(2, 2304, (max(1, tokens // length), length), generator=torch.Generator().manual_seed(0))

    def call() -> None:
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
        hidden.square().mean().backward()
        model.zero_grad(set_to_none=True)

    return call


def peak_bytes(plan: str, length: int) -> int:
    """The most memory that one pass over a text holds beyond what the process held before, measured in a process."""
    code = f"import training; print(training.measured_peak({plan!r}, {length}))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    return int(found.stdout.split()[-1])


def measured_peak(plan: str, length: int) -> int:
    """The same, in this process."""
    call = step(made(length, plan), length, length)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: making the model had one of its own
    before = _status("VmRSS")
    call()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    """A number of bytes that Linux knows of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Write results/training.json.")
    parser.add_argument("--memory", action="store_true", help="measure memory alone, and keep the times that are there")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    rows, written = [], FOLDER / "training.json"
    for length in () if arguments.memory else LENGTHS:
        calls = {name: step(made(length, plan), length) for name, plan in DESIGNS.items()}
        rows += timed(step(made(length), length), calls, "training", length, torch.float32, ROUNDS, print)
    for row in rows:
        print(f"{row.length:6} {row.name:22} {row.ratio:.3f} [{row.low:.3f}, {row.high:.3f}]")
    memory = [{"plan": plan, "bytes": {str(n): peak_bytes(plan, n) for n in GROWTH}} for plan in GROWING]
    for each in memory:
        print(each)
    kept = {k: v for k, v in conditions().items() if k in ("hardware", "torch", "python", "load_average", "real_time")}
    found = {**kept, "command": "python benchmarks/training.py", "rows": [asdict(row) for row in rows]}
    if arguments.memory:
        found = json.loads(written.read_text())
    written.write_text(json.dumps({**found, "memory": memory}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
