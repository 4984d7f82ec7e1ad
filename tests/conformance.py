"""`make conformance`: method × family × path on tiny models, written to docs/conformance.md.

A cell is `pass`, `refused` with a reason from the reviewed list below, `own` where the model itself does not agree
between two paths, or FAIL. Paths are compared with reading at once; a method of fixed frequencies is also computed on
unturned keys, a second route that shares no rotation with the first. `--wrong-frame` tells rotary modules false
positions, and every cell must turn red.
"""

import argparse
import multiprocessing
import re
import sys
import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from queue import Empty

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel, StaticCache

import longspan
from longspan.errors import LongspanError
from longspan.pretrained import attach, division
from longspan.pretrained.frame import Frame
from longspan.pretrained.standing import UNTURNED
from pretrained.families import model_types, small_model
from pretrained.models import in_parts, logits

METHODS = (
    "linear(factor=2)",
    "ntk(factor=2, variant=fixed)",
    "ntk(factor=2, variant=aware)",
    "ntk_mixed(factor=2)",
    "ntk_by_parts(factor=2)",
    "dynamic_ntk",
    "yarn(factor=2)",
    "longrope(factor=2)",
    "llama3(factor=2)",
    "rerope(window=6)",
    "leaky_rerope(window=6, k=2)",
    "self_extend(window=6, group=2)",
    "dual_chunk(chunk=12, local=4)",
    "window(size=8)",
    "window(size=8, sinks=2)",
    "streaming_llm(sinks=2, size=10)",
    "lm_infinite(window=8, sinks=2)",
    "log_length(trained_length=8)",
    "rerope(window=6) + log_length(trained_length=8)",
    "yarn(factor=2) + log_length(trained_length=8) + window(size=12)",
)
REASONS = {
    "no rotation": "has no rotary position embedding|turns with position: there is nothing",
    "own attention": "does not call attention through",
    "unknown layout": "none of the known layouts|takes no position_ids",
    "own masks": "works on its masks itself|more than causality",
    "far layers do not turn": "do not turn with position",
    "all layers slide": "every attention layer of this model has a sliding window",
    "own switch": "changes its own frequencies with the length",
    "no theta": "names no rope_theta",
    "no length": "has no max_position_embeddings",
    "no gain": "has no gain",
}
"""The reviewed list: what a refusal may say."""
DIFFERENT: dict[str, str] = {}
"""Families that fail the self-test, and what they do with positions that longspan does not know."""
LENGTH, SECONDS = 40, 120
TOLERANCE, UNSTEADY = 1e-3, 2e-2
"""In units of the logits' deviation: what paths may differ by, and from where on a model itself has no such path.

Rounding grows in these sharpened models: a path may also differ by four times what it does without extension.
"""


def words() -> Tensor:
    return torch.randint(3, 119, (2, LENGTH), generator=torch.Generator().manual_seed(0))


def by_token(model: PreTrainedModel) -> Tensor:
    return in_parts(model, words(), [30, *[1] * (LENGTH - 30)])


def in_chunks(model: PreTrainedModel) -> Tensor:
    return in_parts(model, words(), [7, 20, LENGTH - 27])


def left_padded(model: PreTrainedModel) -> Tensor:
    padding = torch.zeros(2, 5, dtype=torch.long)
    padded = torch.cat([padding, words()], 1)
    mask = (torch.arange(LENGTH + 5) >= 5).long().expand(2, -1)
    return logits(model, padded, attention_mask=mask)[:, 5:]


def static_cache(model: PreTrainedModel) -> Tensor:
    cache = StaticCache(config=model.config, max_cache_len=LENGTH + 3)
    return in_parts(model, words(), [30, *[1] * (LENGTH - 30)], cache=cache)


def unturned(model: PreTrainedModel, method: str) -> Tensor:
    """The same method with every source in frame 0."""
    before, division.standing = division.standing, lambda *_: UNTURNED
    try:
        with longspan.attached(model, method):
            return logits(model, words())
    finally:
        division.standing = before


PATHS: dict[str, Callable[[PreTrainedModel], Tensor]] = {
    "token by token": by_token,
    "chunked": in_chunks,
    "left-padded": left_padded,
    "static cache": static_cache,
}


def family(model_type: str) -> dict[str, str]:
    """The cells of one model type, by method."""
    model = small_model(model_type)
    plain = logits(model, words())
    apart = float(_differ(logits(model, words(), position_ids=_zeros(), attention_mask=_ones()), plain))
    own = {name: _distance(lambda path=path: path(model), plain) for name, path in PATHS.items()}
    cells = {method: _cell(model, method, plain, own) for method in METHODS}
    return {"positions": f"{apart:.2f}", **cells}


def _cell(model: PreTrainedModel, method: str, plain: Tensor, own: dict[str, float]) -> str:
    try:
        with longspan.attached(model, method):
            at_once = logits(model, words())
            steady = {name: max(TOLERANCE, 4 * apart) for name, apart in own.items() if apart < UNSTEADY}
            red = [n for n, allowed in steady.items() if not _distance(lambda n=n: PATHS[n](model), at_once) <= allowed]
            attachment = attach.attachment_of(model)
            stock = attachment is not None and attachment.work.stock
        if stock:
            red += [] if _second_route(model, method, at_once) else ["unturned"]
    except LongspanError as error:
        return _refused(model.config.model_type, str(error))
    except Exception as error:
        return f"FAIL {type(error).__name__}: {str(error)[:80]}"
    if not torch.equal(logits(model, words()), plain):
        red.append("detach")
    if red:
        return "FAIL " + ", ".join(red)
    unsteady = sorted(own.keys() - steady.keys())
    return "pass" if not unsteady else f"pass (own: {', '.join(unsteady)})"


def _second_route(model: PreTrainedModel, method: str, at_once: Tensor) -> bool:
    try:
        return _differ(unturned(model, method), at_once) <= 4 * TOLERANCE
    except LongspanError:  # a family that has no second route
        return True


def _refused(model_type: str, message: str) -> str:
    if model_type in DIFFERENT and "plain rotation through this path differs" in message:
        return f"refused: {DIFFERENT[model_type]}"
    for name, pattern in REASONS.items():
        if re.search(pattern, message):
            return f"refused: {name}"
    return f"FAIL unreviewed refusal: {message[:120]}"


def _distance(path: Callable[[], Tensor], expected: Tensor) -> float:
    try:
        return _differ(path(), expected)
    except LongspanError:
        raise
    except Exception:  # a path that the model itself does not have
        return inf


def _differ(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.std())


def _zeros() -> Tensor:
    return torch.zeros(2, LENGTH, dtype=torch.long)


def _ones() -> Tensor:
    return torch.ones(2, LENGTH, dtype=torch.long)


# --- running ----------------------------------------------------------------------------------------------------------


class WrongFrame(Frame):
    """Tells positions that drift away from the true ones."""

    def __call__(self, module, args, kwargs):
        given = super().__call__(module, args, kwargs) or (args, kwargs)
        told = self.arguments.get("position_ids", *given)
        return self.arguments.put("position_ids", told + torch.arange(told.shape[-1]) % 3, *given)


def _work(model_type: str, wrong: bool, results: "multiprocessing.Queue[dict[str, str]]") -> None:
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    if wrong:
        attach.Frame = WrongFrame  # type: ignore[misc]
    try:
        results.put(family(model_type))
    except Exception as error:
        results.put({"unbuilt": f"{type(error).__name__}: {str(error).splitlines()[0][:100] if str(error) else ''}"})


def measure(model_type: str, wrong: bool) -> dict[str, str]:
    """One family in a process of its own, stopped when it takes too long."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=_work, args=(model_type, wrong, results))
    process.start()
    try:
        return results.get(timeout=SECONDS)
    except Empty:
        return {"unbuilt": f"took longer than {SECONDS} s"}
    finally:
        process.kill()
        process.join()


def table(found: dict[str, dict[str, str]]) -> str:
    """docs/conformance.md."""
    turning = {name: cells for name, cells in found.items() if "unbuilt" not in cells and not _without(cells)}
    takes = [name for name, cells in turning.items() if any(cells[m].startswith("pass") for m in METHODS)]
    lines = [
        "# Conformance\n",
        "Written by `make conformance`; see `tests/conformance.py` for what a cell proves.\n",
        f"{len(takes)} of {len(turning)} model types with rotation that were built take at least one method; "
        f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}.\n",
        "| model type | positions matter | " + " | ".join(f"`{m}`" for m in METHODS) + " |",
        "|---" * (len(METHODS) + 2) + "|",
    ]
    for name, cells in sorted(turning.items()):
        lines.append(f"| {name} | {cells['positions']} | " + " | ".join(cells[m] for m in METHODS) + " |")
    unbuilt = [f"- {name}: {cells['unbuilt']}" for name, cells in sorted(found.items()) if "unbuilt" in cells]
    lines += ["\n## Not built\n", *unbuilt]
    lines += ["\n## Without rotation\n", ", ".join(sorted(name for name, cells in found.items() if _without(cells)))]
    return "\n".join(lines) + "\n"


def _without(cells: dict[str, str]) -> bool:
    return all(cells.get(m) == "refused: no rotation" for m in METHODS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("types", nargs="*")
    parser.add_argument("--out", type=Path, default=Path("docs/conformance.md"))
    parser.add_argument("--wrong-frame", action="store_true")
    given = parser.parse_args()
    found = {}
    for model_type in given.types or model_types():
        start = time.monotonic()
        found[model_type] = cells = measure(model_type, given.wrong_frame)
        red = [f"{m}: {cell}" for m, cell in cells.items() if cell.startswith("FAIL")]
        print(
            f"{model_type} {time.monotonic() - start:.0f} s",
            *(red or [next(iter(cells.values()))]),
            sep="\n    ",
            flush=True,
        )
    if not given.types:
        given.out.write_text(table(found))
    reds = sum(cell.startswith("FAIL") for cells in found.values() for cell in cells.values())
    print(f"{reds} red cells")
    sys.exit(bool(reds) != given.wrong_frame)


if __name__ == "__main__":
    main()
