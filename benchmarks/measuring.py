"""What measuring costs: `python benchmarks/measuring.py depths bundled`, `… depths smollm2`, `… memory retrieval` and
`… memory loss`.

`depths`: 11 needles at 11 depths of one text, each asked for by itself. The text is read once, or once for each
question, turn by turn; seconds are of the processor, which other work on the machine hardly changes. `memory`: the
peak of a process that reads 32768 tokens, libraries, weights and all.
"""

import json
import os
import sys
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import torch

from longspan import bundled
from longspan.bench.attention import conditions
from longspan.measure.models.model import PLAIN, LoadedModel
from longspan.measure.reduction import Text, reduced
from longspan.measure.reductions.by_position import ByPosition
from longspan.measure.scoring.examining import examined
from longspan.prompts.example import PromptGroup
from longspan.task import Material
from longspan.tasks.niah_depths import NiahDepths
from longspan.tasks.retrieval import FactRetrieval

FOLDER = Path(__file__).parent / "results"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "longspan"
SMOLLM2 = CACHE / "SmolLM2-135M-Instruct.Q4_1.gguf"
GRIDS = {"bundled": (bundled.NAME, 4096, 3), "smollm2": (str(SMOLLM2), 8192, 1)}
"""Model, tokens and rounds."""
LONG = 32768


def material(model: LoadedModel) -> Material:
    """The bundled documents as one text."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in bundled.documents())
    ids = tuple(model.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    return Material(model.tokenizer, ids, model.opening, text)


def depths(which: str) -> dict[str, Any]:
    """Tokens, processor seconds and answers of a grid whose text is read once, and of its prompts one by one."""
    name, length, rounds = GRIDS[which]
    model = LoadedModel.load(name, "float32")
    model.attach(PLAIN)
    group = NiahDepths().example(material(model), length, "0")
    kept: list[dict[str, Any]] = []
    for _ in range(rounds):
        began = process_time()
        together = examined(model, group)
        middle = process_time()
        alone = [examined(model, PromptGroup((each,), (0.0,))) for each in group.examples]
        kept.append({"together": middle - began, "alone": process_time() - middle})
    pairs = list(zip(together["prompts"], (each["prompts"][0] for each in alone), strict=True))
    tokens = {"together": together["fed"], "alone": sum(each["fed"] for each in alone)}
    return {
        "model": Path(name).stem,
        "length": length,
        "depths": len(group.examples),
        "tokens": tokens,
        "token_ratio": tokens["together"] / tokens["alone"],
        "seconds": kept,
        "time_ratio": median(each["together"] / each["alone"] for each in kept),
        "same_answers": all(a["output"] == b["output"] for a, b in pairs),
        "likelihood_difference": max(abs(a["likelihood"] - b["likelihood"]) for a, b in pairs),
    }


def memory(what: str) -> dict[str, Any]:
    """The most that a process holds that loads SmolLM2 and measures a loss or a retrieval at 32768 tokens with it."""
    model = LoadedModel.load(str(SMOLLM2), "float32")
    model.attach(PLAIN)
    weights = sum(p.numel() * p.element_size() for p in model.model.parameters())
    config = model.model.config
    cache = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * 4 * LONG
    of, before = material(model), resident()
    if what == "loss":
        text = Text(of.document[:LONG], 8192, model.tokenizer.decode, model.opening)
        reduced(model.reader, text, LONG, {"by_position": ByPosition()})
    else:
        examined(model, FactRetrieval().example(of, LONG, "0"))
    return {
        "model": SMOLLM2.stem,
        "length": LONG,
        "vocabulary": config.vocab_size,
        "weights": weights,
        "cache": cache,
        "before": before,
        "peak": peak(),
        "processor_seconds": process_time(),
    }


def resident() -> int:
    """Bytes that this process holds now."""
    return _status("VmRSS:")


def peak() -> int:
    """The most bytes that this process held since its start."""
    return _status("VmHWM:")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    command = " ".join(["python", "benchmarks/measuring.py", *sys.argv[1:]])
    found = depths(sys.argv[2]) if sys.argv[1] == "depths" else memory(sys.argv[2])
    print(json.dumps(found, indent=2))
    path = FOLDER / f"measuring-{'-'.join(sys.argv[1:])}.json"
    machine = {name: conditions()[name] for name in ("hardware", "torch", "python", "load_average")}
    path.write_text(json.dumps({"command": command, **machine, **found}, indent=2) + "\n", encoding="utf-8")
