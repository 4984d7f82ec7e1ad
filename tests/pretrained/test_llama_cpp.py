"""llama.cpp itself, under the flags that `longspan export` prints, beside the extended model: `make llama-cpp`."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

import longspan
from longspan.pretrained.storing.runtimes import runtime_flags
from pretrained.models import logits
from pretrained.real import SMOLLM2, words_of

PYTHON = os.environ.get("LLAMA_CPP_PYTHON", "")
SCRIPT = Path(__file__).parents[1] / "llama_cpp_logits.py"
LENGTH = 400

pytestmark = pytest.mark.skipif(not (PYTHON and SMOLLM2.exists()), reason="make llama-cpp builds llama.cpp")


@pytest.fixture(scope="module")
def model():
    return longspan.load(SMOLLM2).eval()


@pytest.fixture(scope="module")
def words():
    return words_of(SMOLLM2, LENGTH)


def of_llama_cpp(folder: Path, flags: tuple[str, ...], words: torch.Tensor) -> torch.Tensor:
    job = {"gguf": str(SMOLLM2), "flags": flags, "tokens": words[0].tolist()}
    (folder / "job.json").write_text(json.dumps(job))
    command = [PYTHON, str(SCRIPT), str(folder / "job.json"), str(folder / "logits.npy")]
    subprocess.run(command, check=True, capture_output=True)
    return torch.from_numpy(np.load(folder / "logits.npy"))


def loss(found: torch.Tensor, words: torch.Tensor) -> float:
    return float(torch.nn.functional.cross_entropy(found[:-1], words[0, 1:]))


@pytest.fixture(scope="module")
def plain(model, words, tmp_path_factory) -> tuple[torch.Tensor, torch.Tensor]:
    """Both without extension."""
    return logits(model, words)[0], of_llama_cpp(tmp_path_factory.mktemp("plain"), ("-c", "8192"), words)


def test_the_two_read_the_plain_model_alike(plain, words):
    ours, theirs = plain
    assert abs(loss(ours, words) - loss(theirs, words)) < 0.03
    assert (ours.argmax(-1) == theirs.argmax(-1)).float().mean() > 0.9


NEIGHBORS = {
    "linear(factor=4)": "linear(factor=4.1)",
    "ntk(factor=4)": "ntk(factor=5)",
    "yarn(factor=4)": "yarn(factor=4, ramp=turns)",
    "yarn(factor=8, fast=16)": "yarn(factor=8)",
}
"""Flags that are checked, and what they could be mistaken for."""


@pytest.mark.parametrize("scheme", NEIGHBORS)
def test_flags_make_llama_cpp_read_as_the_extended_model(model, words, plain, tmp_path, scheme):
    (flags,) = [each.flags for each in runtime_flags(model.config, scheme) if each.runtime == "llama.cpp"]
    theirs = of_llama_cpp(tmp_path, flags, words)
    found = {}
    for each in (scheme, NEIGHBORS[scheme]):
        with longspan.attached(model, each):
            found[each] = logits(model, words)[0]
    apart = {name: float((ours - theirs).std() / ours.std()) for name, ours in found.items()}
    # llama.cpp rounds activations: what it differs by without any extension is what it may differ by.
    rounding = float((plain[0] - plain[1]).std() / plain[0].std())
    assert apart[scheme] < 2 * rounding
    assert apart[scheme] < 0.5 * float((found[scheme] - plain[0]).std() / plain[0].std())
    assert apart[scheme] < apart[NEIGHBORS[scheme]]
    assert abs(loss(found[scheme], words) - loss(theirs, words)) < 0.03
