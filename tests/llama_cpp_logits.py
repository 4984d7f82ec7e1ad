"""Logits of llama.cpp under the flags that `longspan export` prints: `python llama_cpp_logits.py JOB.json OUT.npy`.

Runs where llama-cpp-python is installed, and nothing else (`make llama-cpp`). JOB.json holds the path of a GGUF file,
the flags, and the tokens to read.
"""

import json
import sys
from pathlib import Path
from typing import Any

import llama_cpp  # pyright: ignore[reportMissingImports]
import numpy as np

MEANS: dict[str, Any] = {
    "-c": lambda value: {"n_ctx": int(value)},
    "--rope-scaling": lambda value: {
        "rope_scaling_type": getattr(llama_cpp, f"LLAMA_ROPE_SCALING_TYPE_{value.upper()}")
    },
    "--rope-scale": lambda value: {"rope_freq_scale": 1 / float(value)},
    "--rope-freq-base": lambda value: {"rope_freq_base": float(value)},
    "--yarn-orig-ctx": lambda value: {"yarn_orig_ctx": int(value)},
    "--yarn-beta-fast": lambda value: {"yarn_beta_fast": float(value)},
    "--yarn-beta-slow": lambda value: {"yarn_beta_slow": float(value)},
}
"""What llama.cpp's command line makes of each flag, in the words of its context parameters."""


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    flags, given = job["flags"], {}
    for flag, value in zip(flags[::2], flags[1::2], strict=True):
        given |= MEANS[flag](value)
    given["n_ctx"] = min(given["n_ctx"], 2 * len(job["tokens"]))  # no more memory than the text needs
    kinds = {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32}
    model = llama_cpp.Llama(job["gguf"], logits_all=True, verbose=False, n_batch=512, **kinds, **given)
    model.eval(job["tokens"])
    np.save(sys.argv[2], np.array(model.scores[: len(job["tokens"])], dtype=np.float32))


if __name__ == "__main__":
    main()
