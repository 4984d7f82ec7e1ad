"""Servers that do something else are named, and servers that do what they were asked to are not accused."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM, MistralConfig, MistralForCausalLM

import longspan
from audit.blackbox.serving import (
    LENGTHS,
    OPENING,
    TRAINED_LENGTH,
    local,
    log_probabilities,
    prose,
    serves,
    stock,
    tokenizer,
    verdict_on,
)
from longspan.audit.blackbox.compare import texts_of
from longspan.audit.blackbox.runs_as import Function
from longspan.errors import InputError

ASKED = "yarn(factor=4)"
FOURFOLD = 4 * TRAINED_LENGTH


def rope(kind: str, **numbers: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0, **numbers}}


def yarn(factor: float = 4.0, original: int = TRAINED_LENGTH, **numbers: Any) -> dict[str, Any]:
    given = {"factor": factor, "original_max_position_embeddings": original, **numbers}
    return {**rope("yarn", **given), "max_position_embeddings": FOURFOLD}


STOCK: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "plain"),
    "raised maximum": (yarn(original=FOURFOLD), "original length 256"),
    "half": (yarn(2.0), "factor 2"),
    "double": (yarn(8.0), "factor 8"),
    "square": (yarn(16.0), "factor 16"),
    "linear": (rope("linear", factor=4.0), "linear(factor=4)"),
    "dynamic": (rope("dynamic", factor=4.0), "by the request's length"),
    "no temperature": (yarn(attention_factor=1.0), "attention factor is missing"),
    "temperature twice": (yarn(attention_factor=(0.1 * math.log(4) + 1) ** 2), "attention factor is applied twice"),
    "unrounded": (yarn(truncate=False), "ramp 'unrounded'"),
    "theta of Llama 3": (yarn(rope_theta=500000.0), "rope_theta 500000"),
    "theta of Qwen": (yarn(rope_theta=1000000.0), "rope_theta 1e+06"),
    "theta tenfold": (yarn(rope_theta=100000.0), "rope_theta 100000"),
}
"""Mistakes as transformers makes them itself, from a config: what the server runs, and what names it."""


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prose(tmp_path_factory.mktemp("documents"))


@pytest.mark.parametrize("mistake", STOCK)
def test_a_mistake_of_a_config_is_named(mistake: str, document: Path) -> None:
    changes, name = STOCK[mistake]
    verdict = verdict_on(serves(stock(**changes)), ASKED, document)
    assert verdict.named is not None
    assert name in verdict.named
    assert not verdict.as_asked
    assert verdict.ahead > 0.02


def cut(kept: slice | None) -> Function:
    """A server that drops tokens; None: the middle."""

    def answer(ids: Sequence[int]) -> list[float | None]:
        limit = TRAINED_LENGTH
        if len(ids) <= limit:
            chosen = list(range(len(ids)))
        elif kept is None:
            chosen = [*range(limit // 2), *range(len(ids) - limit // 2, len(ids))]
        else:
            chosen = list(range(len(ids)))[kept]
        found: list[float | None] = [None] * len(ids)
        with longspan.attached(local(), ASKED):
            for index, value in zip(chosen, log_probabilities(local(), [ids[i] for i in chosen]), strict=True):
                found[index] = value
        return found

    return Function(answer)


def opening(times: int) -> Function:
    def answer(ids: Sequence[int]) -> list[float | None]:
        with longspan.attached(local(), ASKED):
            given = log_probabilities(local(), [*OPENING * times, *ids[1:]])
        return [None, *given[times:]] if times else [None, *given]

    return Function(answer)


def extended(scheme: str) -> Function:
    def answer(ids: Sequence[int]) -> list[float | None]:
        with longspan.attached(local(), scheme):
            return [*log_probabilities(local(), ids)]

    return Function(answer)


OTHERS: dict[str, tuple[Function, str]] = {
    "last": (cut(slice(-TRAINED_LENGTH, None)), "cut to the last 64"),
    "first": (cut(slice(TRAINED_LENGTH)), "cut to the first 64"),
    "middle": (cut(None), "middle is cut out, 64"),
    "no opening": (opening(0), "BOS) is missing"),
    "two openings": (opening(2), "BOS) is doubled"),
    "window": (extended(f"{ASKED} + window(size=64)"), "window of 64 tokens on"),
    "half window": (extended(f"{ASKED} + window(size=32)"), "window of 32 tokens on"),
    "sinks": (extended(f"{ASKED} + window(size=32, sinks=4)"), "window of 32 tokens and 4 sinks"),
    "log-n": (extended(f"{ASKED} + log_length"), "log-n scaling is applied"),
    "turns": (extended("yarn(factor=4, ramp=turns)"), "ramp 'turns'"),
    "ntk": (extended("ntk(factor=4)"), "ntk(factor=4)"),
    "dynamic by row": (extended("dynamic_ntk(factor=4)"), "by each row's length"),
}


@pytest.mark.parametrize("mistake", OTHERS)
def test_a_mistake_of_a_server_is_named(mistake: str, document: Path) -> None:
    server, name = OTHERS[mistake]
    verdict = verdict_on(server, ASKED, document)
    assert verdict.named is not None
    assert name in verdict.named


OF_WINDOWS = {
    "missing": (None, "sliding window is missing"),
    "half": (8, "is 8, half of 16"),
    "double": (32, "is 32, double 16"),
    "one more": (17, "is 17 instead of 16"),
    "one less": (15, "is 15 instead of 16"),
}


@pytest.mark.parametrize("mistake", [*OF_WINDOWS, "none"])
def test_the_models_own_window_is_audited(mistake: str, document: Path) -> None:
    def mistral(window: int | None) -> MistralForCausalLM:
        sizes: Any = {name: getattr(local().config, name) for name in ("hidden_size", "intermediate_size", "head_dim")}
        heads: Any = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
        config = MistralConfig(
            vocab_size=len(tokenizer()), max_position_embeddings=64, sliding_window=window, initializer_range=0.3,
            **sizes, **heads,
        )  # fmt: skip
        torch.manual_seed(1)
        return MistralForCausalLM(config).eval()

    window, name = OF_WINDOWS.get(mistake, (16, "plain"))
    verdict = verdict_on(serves(mistral(window)), "plain", document, model=mistral(16))
    assert verdict.named is not None, verdict.alike
    assert name in verdict.named


CORRECT = [
    *((ASKED, yarn(), torch.float32, 0, seed) for seed in range(5)),
    *((ASKED, yarn(), torch.bfloat16, 0, seed) for seed in range(3)),
    *((ASKED, yarn(), torch.float32, 8, seed) for seed in range(4)),
    *((ASKED, yarn(), torch.float32, 6, seed) for seed in range(2)),
    *(("plain", {}, torch.float32, bits, 7) for bits in (0, 8, 6)),
    ("linear(factor=4)", rope("linear", factor=4.0), torch.float32, 8, 1),
    ("yarn(factor=2)", yarn(2.0), torch.bfloat16, 0, 2),
    ("yarn(factor=8)", yarn(8.0), torch.float32, 8, 3),
]


@pytest.mark.parametrize(("asked", "changes", "dtype", "bits", "seed"), CORRECT)
def test_a_correct_server_is_not_accused(
    asked: str, changes: dict[str, Any], dtype: torch.dtype, bits: int, seed: int, tmp_path: Path
) -> None:
    lengths = [length + 3 * seed for length in LENGTHS]
    verdict = verdict_on(serves(stock(dtype, bits, **changes)), asked, prose(tmp_path, seed=seed), seed, lengths)
    assert verdict.as_asked, verdict.sentences()


def test_what_nobody_thought_of_fits_nothing(document: Path) -> None:
    verdict = verdict_on(serves(stock(**yarn(3.0, rope_theta=30000.0))), ASKED, document)
    assert not verdict.fits
    assert verdict.named is None
    assert not verdict.as_asked


def test_another_model_fits_nothing(document: Path) -> None:
    torch.manual_seed(3)
    verdict = verdict_on(serves(LlamaForCausalLM(local().config).eval()), ASKED, document)
    assert not verdict.fits
    assert "not those of this model" in verdict.sentences()[0]


def test_the_model_is_left_as_it_was(document: Path) -> None:
    before = log_probabilities(local(), range(2, 40))
    verdict_on(serves(stock()), ASKED, document)
    assert log_probabilities(local(), range(2, 40))[1:] == before[1:]


def test_short_documents_are_joined(tmp_path: Path) -> None:
    for seed in range(4):
        prose(tmp_path, words=60, seed=seed)
    text = texts_of(tokenizer(), [tmp_path], (160,), OPENING)[0]
    assert len(text.ids) == 160 + len(OPENING)
    with pytest.raises(InputError, match="fewer than 400: give more with --text"):
        texts_of(tokenizer(), [tmp_path], (400,), OPENING)
