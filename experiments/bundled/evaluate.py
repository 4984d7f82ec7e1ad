"""Decide whether the bundled model ships, and how far it reads: writes results/bundled.json.

    python evaluate.py --work work
    python evaluate.py --work work --model siblings/theta-10000-length-256 --out siblings/theta-10000-length-256.json

Ship conditions, both at the trained length (512 tokens) and on books that training never saw:
1. four-choice retrieval (three distractor facts whose values are the other choices; all depths) is at least 80 %;
2. the loss of the same last 64 tokens is lower with 512 tokens of context than with 128 (an eighth of the trained
   length, a quarter of it), by an interval over documents that excludes 0.
Beyond the trained length it reports plain rope, truncation, a window and ReRoPE, by `extrapolate.py`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tokenizers
import torch
import transformers
from extrapolate import Extrapolator, Method
from recall import PACKAGE, Recall
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoModelForCausalLM

SEED = 2026
WINDOWS = 12  # windows per document
LONG = (8, 4, 2)  # trained lengths
KINDS = ("with_distractors", "needle_alone")


def methods(trained: int) -> tuple[Method, ...]:
    """What is compared beyond the trained length."""
    return (
        Method("plain"),
        Method("window", trained),
        Method("rerope", trained // 4),
        Method("rerope", trained // 4, log_length=True),
        Method("rerope", trained // 2),
        Method("rerope", trained // 2, log_length=True),
    )


@dataclass(frozen=True)
class Documents:
    """Held-out books as one token stream."""

    tokens: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    def window(self, rng: np.random.Generator, document: int, length: int) -> np.ndarray:
        """A random window of one document."""
        low, high = self.starts[document], self.starts[document + 1] - length
        at = int(rng.integers(low, high))
        return self.tokens[at : at + length].astype(np.int64)


def wilson(right: int, n: int, z: float = 1.96) -> list[float]:
    """Wilson's 95 % interval of a share."""
    share = right / n
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return [round(center - half, 4), round(center + half, 4)]


def bootstrap(values: np.ndarray, draws: int = 10_000) -> list[float]:
    """95 % percentile interval of the mean; one value per document."""
    rng = np.random.default_rng(SEED)
    means = values[rng.integers(len(values), size=(draws, len(values)))].mean(axis=1)
    return [round(float(q), 4) for q in np.quantile(means, [0.025, 0.975])]


def retrieval(
    reader: Extrapolator, recall: Recall, documents: Documents, length: int, n: int, method: Method, *,
    distractors: bool, fed: int = 0,
) -> dict[str, object]:  # fmt: skip
    """Share of `n` four-choice questions answered; depths uniform. `fed` > 0 truncates to the last `fed` tokens."""
    rng = np.random.default_rng([SEED, length, int(distractors)])
    right, near = 0, [0, 0]
    for i in range(n):
        text = documents.window(rng, i % len(documents), length)
        prompt = recall.prompt(rng, text, length, (i + 0.5) / n, distractors=distractors)
        logits = reader.last_logits(torch.from_numpy(prompt.ids[-fed:]), method)
        hit = int(logits[list(prompt.choices)].argmax()) == prompt.answer
        right += hit
        if prompt.distance > reader.trained:
            near = [near[0] + hit, near[1] + 1]
    result: dict[str, object] = {"accuracy": round(right / n, 4), "n": n, "wilson95": wilson(right, n)}
    if near[1]:
        share = round(near[0] / near[1], 4)
        result["beyond_trained_length"] = {"accuracy": share, "n": near[1], "wilson95": wilson(*near)}
    return result


def tail_loss(reader: Extrapolator, ids: np.ndarray, context: int, method: Method) -> float:
    """Mean loss, in nats, of the last eighth of a trained length when `context` tokens (they included) are fed."""
    part, scored = torch.from_numpy(ids[-context:]), reader.trained // 8
    hidden = reader.hidden(part, method, scored + 1)[:-1]
    with torch.no_grad():
        return float(nn.functional.cross_entropy(reader.model.lm_head(hidden), part[-scored:]))


def loss_table(reader: Extrapolator, documents: Documents, long: int, windows: int) -> dict[str, object]:
    """Loss of the same tokens under several contexts and methods; unit = document."""
    trained = reader.trained
    cells = [(trained // 4, Method("plain")), (trained // 2, Method("plain")), (trained, Method("plain"))]
    if long > trained:
        cells = [(trained, Method("plain")), *((long, m) for m in methods(trained))]
    rng = np.random.default_rng([SEED, long])
    losses = np.zeros((len(documents), len(cells)))
    for document in range(len(documents)):
        for _ in range(windows):
            ids = documents.window(rng, document, long)
            losses[document] += [tail_loss(reader, ids, context, method) for context, method in cells]
    losses /= windows
    table: dict[str, object] = {}
    for column, (context, method) in enumerate(cells):
        change = losses[:, column] - losses[:, 0]
        table[f"{context} {method}"] = {
            "loss": round(float(losses[:, column].mean()), 4),
            "minus_first_row": round(float(change.mean()), 4),
            "bootstrap95": bootstrap(change),
            "documents": len(documents),
            "windows_per_document": windows,
        }
    return table


def write(path: Path, record: dict[str, object]) -> None:
    """Replace the record in one move; it is written after every cell, so a long run can be stopped."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(record, indent=2) + "\n")
    os.replace(temporary, path)


def main() -> None:
    """Measure, print as it goes, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=400, help="questions at the trained length")
    parser.add_argument("--long-samples", type=int, default=64, help="questions per method beyond it")
    parser.add_argument("--lengths", type=int, nargs="*", help="lengths beyond the trained one; 8, 4 and 2 times it")
    parser.add_argument("--kinds", nargs="*", default=KINDS, choices=KINDS, help="kinds of question beyond it")
    parser.add_argument("--long-windows", type=int, default=1, help="windows per document for loss beyond it; 0 skips")
    parser.add_argument("--model", type=Path, default=PACKAGE / "model", help="a sibling's folder")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "bundled.json")
    arguments = parser.parse_args()
    torch.set_num_threads(2)

    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32).eval()
    reader = Extrapolator(model)
    trained = reader.trained
    recall = Recall(Tokenizer.from_file(str(PACKAGE / "model" / "tokenizer.json")))
    documents = Documents(np.load(arguments.work / "held_out.npy"), np.load(arguments.work / "held_out_starts.npy"))
    plain = Method("plain")

    bound = retrieval(reader, recall, documents, trained, arguments.samples, plain, distractors=True)
    alone = retrieval(reader, recall, documents, trained, arguments.samples, plain, distractors=False)
    loss = loss_table(reader, documents, trained, WINDOWS)
    row = loss[f"{trained} {plain}"]
    assert isinstance(row, dict)
    record: dict[str, object] = {
        "ships": bound["accuracy"] >= 0.8 and row["bootstrap95"][1] < 0,  # type: ignore[operator]
        f"retrieval_{trained}": {"with_distractors": bound, "needle_alone": alone},
        f"loss_{trained}": loss,
        "command": shlex.join(["python", Path(sys.argv[0]).name, *sys.argv[1:]]),
        "seed": SEED,
        "weights_sha256": hashlib.sha256((arguments.model / "model.safetensors").read_bytes()).hexdigest(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "hardware": "2 CPU cores (AMD EPYC)",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
    }
    print(json.dumps(record, indent=2), flush=True)
    write(arguments.out, record)
    beyond: dict[str, dict[str, object]] = {}
    record["beyond"] = beyond
    plans = [(str(method), method, 0) for method in methods(trained)] + [(f"truncate({trained})", plain, trained)]
    lengths = [times * trained for times in LONG] if arguments.lengths is None else arguments.lengths
    for length in lengths:
        cells = beyond.setdefault(str(length), {})
        for name, method, fed in plans:
            for kind in arguments.kinds:
                cells[f"{kind}: {name}"] = found = retrieval(
                    reader, recall, documents, length, arguments.long_samples, method,
                    distractors=kind == "with_distractors", fed=fed,
                )  # fmt: skip
                print(length, kind, name, json.dumps(found), flush=True)
                write(arguments.out, record)
        if arguments.long_windows:
            cells["loss"] = loss_table(reader, documents, length, arguments.long_windows)
            print(length, json.dumps(cells["loss"], indent=2), flush=True)
            write(arguments.out, record)


if __name__ == "__main__":
    main()
