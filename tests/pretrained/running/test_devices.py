"""Extended models on a device that is not the CPU: the same logits and losses, and how often a step waits for it."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import longspan
from imitated_device import DEVICE, ImitatedDevice, here
from longspan.measure.reading.reader import Reader
from longspan.measure.reading.token_nll import token_nll
from longspan.pretrained.running import foresight, forward_pass
from pretrained.families import small_model
from pretrained.models import tiny_llama, tokens
from pretrained.test_families import FAMILIES
from tiny import gemma2

LENGTH = 128
METHODS = [
    "yarn(factor=4)",
    "dynamic_ntk",
    "rerope(window=8)",
    "self_extend(8, 4) + log_length",
    "rope + window(8, sinks=2)",
]
MODELS = {"llama": tiny_llama, "four layers": lambda: tiny_llama(num_hidden_layers=4), "gemma2": lambda: gemma2(97)}
PADDING = torch.ones(2, 40, dtype=torch.long)
PADDING[0, :7] = 0


@pytest.fixture(autouse=True)
def _steps_are_foreseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on CUDA; the imitated device sends its numbers without anybody who waits."""
    for module in (foresight, forward_pass):
        monkeypatch.setattr(module, "DEVICES", (DEVICE.type,))


@torch.no_grad()
def read(model: nn.Module, words: Tensor, mask: Tensor | None, device: ImitatedDevice | None = None) -> Tensor:
    """Logits of a prompt and four more tokens; the device counts in the last two steps only."""
    found, cache, length = [], None, words.shape[1]
    for start, stop in ((0, length - 4), *((i, i + 1) for i in range(length - 4, length))):
        if device is not None and stop == length - 1:
            device.waits.clear()
            device.waits_of.clear()
        more = {} if mask is None else {"attention_mask": mask[:, :stop]}
        out = model(input_ids=words[:, start:stop], past_key_values=cache, use_cache=True, **more)
        found.append(out.logits)
        cache = out.past_key_values
    return torch.cat(found, 1)


@pytest.mark.parametrize("mask", [None, PADDING], ids=["alone", "padded"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", MODELS)
def test_logits_are_those_of_the_cpu_and_no_step_waits(name: str, method: str, mask: Tensor | None) -> None:
    """Neither for padding, nor for positions, nor to compare a model's own mask with ours."""
    model, words = MODELS[name](), tokens(2, 40)
    with longspan.attached(model, method, length=LENGTH):
        wanted = read(model, words, mask)
    with ImitatedDevice() as device:
        moved = copy.deepcopy(model).to(DEVICE)
        with longspan.attached(moved, method, length=LENGTH):
            found = read(moved, words.to(DEVICE), None if mask is None else mask.to(DEVICE), device)
    real = slice(None) if mask is None else mask.bool()
    torch.testing.assert_close(here(found)[real], wanted[real], rtol=1e-3, atol=1e-3)
    assert not device.waits_of["longspan"], device.waits
    if method != "yarn(factor=4)":  # with which transformers makes its own masks, and reads the padding for them
        assert not device.waits, device.waits


@pytest.mark.parametrize("family", FAMILIES)
def test_no_family_waits_for_us(family: str) -> None:
    """Behind padding; experts wait for their own routing."""
    model: Any = small_model(family)
    words, mask = tokens(2, 24), torch.ones(2, 24, dtype=torch.long)
    mask[0, :7] = 0
    with torch.no_grad(), ImitatedDevice() as device:
        moved = model.to(DEVICE)
        with longspan.attached(moved, "rerope(window=6)", length=LENGTH):
            read(moved, words.to(DEVICE), mask.to(DEVICE), device)
    assert not device.waits_of["longspan"], device.waits


@pytest.mark.parametrize("method", METHODS)
def test_losses_and_texts_are_those_of_the_cpu(method: str) -> None:
    model: Any = tiny_llama()
    words = tokens(1, 90)
    options = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0}
    with longspan.attached(model, method, length=LENGTH):
        losses = token_nll(Reader(model), words)
        text = model.generate(words, **options)
    with ImitatedDevice():
        moved = copy.deepcopy(model).to(DEVICE)
        with longspan.attached(moved, method, length=LENGTH):
            found = token_nll(Reader(moved), words.to(DEVICE))
            generated = here(moved.generate(words.to(DEVICE), **options))
    assert torch.equal(generated, text)
    torch.testing.assert_close(here(found), losses, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["yarn(factor=4)", "rerope(window=8)"])
def test_a_saved_model_is_that_of_the_cpu(method: str, tmp_path: Path) -> None:
    """Byte by byte in every file; embeddings that are tied on the device are written once."""
    model: Any = tiny_llama(tie_word_embeddings=True)
    with ImitatedDevice():
        moved = copy.deepcopy(model).to(DEVICE)
        moved.tie_weights()
        with longspan.attached(moved, method, length=LENGTH):
            longspan.save(moved, tmp_path / "there")
    with longspan.attached(model, method, length=LENGTH):
        longspan.save(model, tmp_path / "here")
    names = sorted(path.name for path in (tmp_path / "here").iterdir())
    assert "model.safetensors" in names
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == names
    for name in names:
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes(), name
