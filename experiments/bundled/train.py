"""Train the bundled model, or a sibling of it: the whole recipe in one file, resumable at any point.

    python prepare.py --sources sources --work work
    python train.py --work work
    python train.py --work work --theta 100000 --out siblings       # a sibling: another theta, another trained length
    python train.py --work work --length 256 --out siblings

State (weights, their running average, both optimizers) is one safetensors file, replaced atomically; data are a
function of the step. Killing the process at any time and starting it again continues from the last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from extrapolate import Extrapolator, Method
from initial import near_induction
from recall import PACKAGE, Recall, batch
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

SEED = 0
THETA = 10000.0
LENGTH = 512
BATCH_TOKENS = 8 * 512
WARMUP = 20
DECAY_FROM = 0.4  # share of the run after which the learning rate falls linearly
LR_MATRIX = 3e-3  # Muon, update size matched to AdamW's
LR_CIRCUIT = 5e-4  # Muon, for the attention of the two layers that start as an induction circuit
LR_REST = 2e-3  # AdamW: embeddings and norms
CIRCUIT = ("model.layers.0.self_attn", "model.layers.1.self_attn")
AVERAGE = 0.98  # decay per step of the running average of the weights that is shipped
CHECKPOINT_EVERY = 25
PROBE_EVERY = 50


@dataclass(frozen=True)
class Sibling:
    """What tells the models of this recipe apart; the one that ships is `Sibling()`.

    Arguments:
        theta: base of the rotary frequencies.
        length: tokens of a training sequence.
    """

    theta: float = THETA
    length: int = LENGTH

    def __str__(self) -> str:
        return f"theta-{self.theta:g}-length-{self.length}"

    @property
    def batch(self) -> int:
        """Sequences per step: a step has the same number of tokens whatever the length."""
        return BATCH_TOKENS // self.length


def configuration(vocabulary: int, sibling: Sibling) -> LlamaConfig:
    """A stock Llama; nothing in it is ours."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=64,
        max_position_embeddings=sibling.length,
        rope_parameters={"rope_type": "default", "rope_theta": sibling.theta},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
        attention_bias=False,
        dtype="bfloat16",
    )


class Run:
    """Model, running average and optimizers, with one way to save and one way to restore them."""

    def __init__(self, vocabulary: int, sibling: Sibling) -> None:
        torch.manual_seed(SEED)
        self.model = LlamaForCausalLM(configuration(vocabulary, sibling)).float()
        near_induction(self.model, SEED)
        self.average = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        matrices = {n: p for n, p in self.model.named_parameters() if p.ndim == 2 and "embed" not in n}
        circuit = [p for n, p in matrices.items() if n.startswith(CIRCUIT)]
        others = [p for n, p in matrices.items() if not n.startswith(CIRCUIT)]
        rest = [p for n, p in self.model.named_parameters() if p.ndim != 2 or "embed" in n]
        self.optimizers: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(others, lr=LR_MATRIX, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
            torch.optim.Muon(circuit, lr=LR_CIRCUIT, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(rest, lr=LR_REST, betas=(0.9, 0.95), weight_decay=0.01),
        )
        self.peaks = (LR_MATRIX, LR_CIRCUIT, LR_REST)
        self.step = 0

    def tensors(self) -> dict[str, Tensor]:
        """Everything needed to continue, by name."""
        found = {f"model.{n}": p.detach() for n, p in self.model.named_parameters()}
        found |= {f"average.{n}": p for n, p in self.average.items()}
        for which, optimizer in enumerate(self.optimizers):
            for number, state in optimizer.state_dict()["state"].items():
                found |= {f"optimizer.{which}.{number}.{key}": value for key, value in state.items()}
        return {name: tensor.contiguous() for name, tensor in found.items()}

    def save(self, path: Path) -> None:
        """Replace the checkpoint at `path` in one move, so that a kill leaves the old or the new one."""
        temporary = path.with_suffix(".tmp")
        save_file(self.tensors(), temporary, metadata={"step": str(self.step)})
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)

    def restore(self, path: Path) -> None:
        """Continue from the checkpoint at `path`."""
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            self.step = int(file.metadata()["step"])
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(tensors[f"model.{name}"])
                self.average[name].copy_(tensors[f"average.{name}"])
        for which, optimizer in enumerate(self.optimizers):
            states: dict[int, dict[str, Tensor]] = {}
            for name, tensor in tensors.items():
                if name.startswith(f"optimizer.{which}."):
                    _, _, number, key = name.split(".")
                    states.setdefault(int(number), {})[key] = tensor
            optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})

    def averaged(self) -> LlamaForCausalLM:
        """A copy of the model that holds the running average of the weights, rounded as it is shipped."""
        model = LlamaForCausalLM(self.model.config).float().eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(self.average[name].bfloat16())
        return model

    def advance(self, ids: np.ndarray, weights: np.ndarray, rate: float) -> tuple[float, float]:
        """One optimizer step; returns the mean loss of text tokens and of answers, in nats."""
        inputs = torch.from_numpy(ids)
        weight = torch.from_numpy(weights)[:, 1:].reshape(-1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = self.model.model(inputs[:, :-1], use_cache=False).last_hidden_state
            logits = self.model.lm_head(hidden)
        losses = nn.functional.cross_entropy(logits.float().flatten(0, 1), inputs[:, 1:].reshape(-1), reduction="none")
        ((losses * weight).sum() / weight.sum()).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer, peak in zip(self.optimizers, self.peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        decay = min(AVERAGE, self.step / (self.step + 10))
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                self.average[name].lerp_(parameter, 1 - decay)
        losses = losses.detach()
        text, answers = losses[weight == 1.0], losses[weight > 1.0]
        return float(text.mean()), float(answers.mean()) if len(answers) else math.nan


def rate(step: int, steps: int) -> float:
    """Learning rate as a share of its peak: warmup, constant, linear decay."""
    start = DECAY_FROM * steps
    return min(1.0, (step + 1) / WARMUP, max(0.02, (steps - step) / (steps - start)))


def probe(run: Run, recall: Recall, text: np.ndarray, *, long: bool) -> dict[str, float]:
    """Share of four-choice questions answered: at the trained length and, if `long`, at four times it."""
    extrapolator = Extrapolator(run.averaged())
    trained = extrapolator.trained
    plans = [(trained, 64, Method("plain"))]
    if long:
        plans += [(4 * trained, 24, Method("plain")), (4 * trained, 24, Method("rerope", trained // 2, True))]
    scores = {}
    for length, count, method in plans:
        rng = np.random.default_rng([SEED, 1])
        right = 0
        for i in range(count):
            at = int(rng.integers(len(text) - length))
            prompt = recall.prompt(rng, text[at:], length, (i + 0.5) / count, distractors=True)
            logits = extrapolator.last_logits(torch.from_numpy(prompt.ids), method)
            right += int(logits[list(prompt.choices)].argmax()) == prompt.answer
        scores[f"{length} {method}"] = right / count
    return scores


def export(run: Run, folder: Path, log: Path, kept: Path) -> None:
    """Write the averaged weights in bfloat16, a file at a time, and keep the loss curve at `kept`."""
    model = run.averaged().bfloat16()
    temporary = folder.with_name(folder.name + ".tmp")
    model.save_pretrained(temporary)
    for file in temporary.iterdir():
        os.replace(file, folder / file.name)
    temporary.rmdir()
    if folder != PACKAGE / "model":
        tokenizer = json.loads((PACKAGE / "model" / "tokenizer_config.json").read_text())
        tokenizer["model_max_length"] = run.model.config.max_position_embeddings
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer, indent=2) + "\n")
        shutil.copyfile(PACKAGE / "model" / "tokenizer.json", folder / "tokenizer.json")
    shutil.copyfile(log, kept)


def main() -> None:
    """Train up to `--steps`, from the last checkpoint if there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder with the token files; state is kept there")
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--theta", type=float, default=THETA, help="base of the rotary frequencies")
    parser.add_argument("--length", type=int, default=LENGTH, help="tokens of a training sequence")
    parser.add_argument("--out", type=Path, help="folder of siblings; needed for any but the model that ships")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--export", action="store_true", help="only write the averaged weights of the checkpoint")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sibling = Sibling(arguments.theta, arguments.length)
    if sibling != Sibling() and arguments.out is None:
        parser.error(f"{sibling} is not the model that ships: give --out")
    folder, kept = PACKAGE / "model", Path(__file__).parent / "results" / "loss.jsonl"
    if arguments.out is not None:
        folder = arguments.out / str(sibling)
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / "loss.jsonl"

    tokenizer = Tokenizer.from_file(str(PACKAGE / "model" / "tokenizer.json"))
    recall = Recall(tokenizer)
    stream = np.load(arguments.work / "train.npy")
    held_out = np.load(arguments.work / "held_out.npy")
    run = Run(tokenizer.get_vocab_size(), sibling)
    state, log = arguments.work / f"{sibling}.safetensors", arguments.work / f"{sibling}.jsonl"
    if state.exists():
        run.restore(state)
        lines = log.read_text().splitlines() if log.exists() else []
        log.write_text("".join(line + "\n" for line in lines if json.loads(line)["step"] <= run.step))
    if arguments.export:
        export(run, folder, log, kept)
        return

    began, first = time.monotonic(), run.step
    while run.step < arguments.steps:
        ids, weights = batch(SEED, run.step, sibling.batch, sibling.length + 1, stream, recall)
        text, answers = run.advance(ids, weights, rate(run.step, arguments.steps))
        record: dict[str, float] = {"step": run.step, "text": round(text, 4), "answers": round(answers, 4)}
        if run.step % PROBE_EVERY == 0 or run.step == arguments.steps:
            record |= probe(run, recall, held_out, long=False)
        with log.open("a") as file:
            file.write(json.dumps(record) + "\n")
        if run.step % CHECKPOINT_EVERY == 0 or run.step == arguments.steps:
            run.save(state)
        if run.step % 10 == 0 or len(record) > 3:
            spent = (time.monotonic() - began) / (run.step - first)
            left = spent * (arguments.steps - run.step) / 60
            print(f"{json.dumps(record)} {spent:.2f} s/step, {left:.0f} min left", flush=True)
    export(run, folder, log, kept)


if __name__ == "__main__":
    main()
