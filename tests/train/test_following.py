"""Codebooks in training: they follow the keys of their layers, whatever way a step is computed, and enter the loss."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from longspan.mixers.transformer_vq import TransformerVQ, book_of
from longspan.pretrained.mixing import MixerModule, mixer_modules, penalties
from longspan.pretrained.storing.save import load
from longspan.train.data.batch import Batch
from longspan.train.following import Following
from longspan.train.forward import hidden_states
from longspan.train.run import Run
from small_runs import settings


def finished(folder: Path, name: str, plan: str, **training: Any) -> Run:
    run = Run(settings(folder, plan, **training), folder / name)
    for _ in run.train():
        pass
    return run


def codebooks(run: Run) -> list[Tensor]:
    found = [book_of(module.weights) for module in mixer_modules(run.model)]
    return [book["sum"] / book["count"][:, None] for book in found]


def keys_of(module: MixerModule, run: Run, step: int) -> Tensor:
    """The keys that a layer computes for the rows of a step."""
    assert isinstance(module.mixer, TransformerVQ)
    seen: list[Tensor] = []
    with module.register_forward_pre_hook(lambda _, args, given: seen.append(given["hidden_states"]), with_kwargs=True):
        run.model(input_ids=run.reading.batch(step, run.settings.training.batch).inputs)
    return module.mixer.observed(seen[0].flatten(0, 1), module.weights)


def test_codes_of_few_distinct_keys_are_these_keys(tmp_path: Path) -> None:
    """The first layer reads embeddings, so that it has one key for each of the letters; weights hardly move here."""
    run = finished(tmp_path, "run", "transformer_vq(codes=64, decay=0.5)", steps=60, batch=4, rate=1e-12)
    first = next(iter(mixer_modules(run.model)))
    with torch.no_grad():
        keys = keys_of(first, run, 59)
    assert 8 < len(keys.unique(dim=0)) <= 23
    distances = (keys[:, None] - codebooks(run)[0]).norm(dim=-1)
    assert float(distances.min(-1).values.max()) < 1e-5 * float(keys.norm(dim=-1).mean())


def test_neither_parts_nor_checkpointing_change_a_codebook(tmp_path: Path) -> None:
    plan = "transformer_vq(codes=5, decay=0.7, beta=0.1)"
    whole = finished(tmp_path, "whole", plan, batch=4)
    for name, other in {"parts": {"accumulate": 2}, "again": {"checkpointing": True}}.items():
        found = finished(tmp_path, name, plan, batch=4, **other)
        for one, wanted in zip(codebooks(found), codebooks(whole), strict=True):
            torch.testing.assert_close(one, wanted, rtol=1e-3, atol=1e-4)


def test_a_step_moves_the_codebook_as_the_formula_says(tmp_path: Path) -> None:
    """m ← γ m + (1 − γ) Σ k and n ← γ n + (1 − γ) #, over the keys of all rows."""
    run = Run(settings(tmp_path, "transformer_vq(codes=3, decay=0.9)", batch=4, accumulate=2), tmp_path / "run")
    modules, gamma = list(mixer_modules(run.model)), 0.9
    with torch.no_grad():
        keys = [keys_of(module, run, 0) for module in modules]
    before = [{name: value.clone() for name, value in book_of(module.weights).items()} for module in modules]
    next(run.train())
    for module, key, book in zip(modules, keys, before, strict=True):
        chosen = torch.cdist(key, book["sum"] / book["count"][:, None]).argmin(-1)
        one_hot = torch.nn.functional.one_hot(chosen, 3).float()
        found = book_of(module.weights)
        torch.testing.assert_close(found["count"], gamma * book["count"] + (1 - gamma) * one_hot.sum(0))
        torch.testing.assert_close(found["sum"], gamma * book["sum"] + (1 - gamma) * one_hot.T @ key)


def test_the_commitment_is_in_the_gradient_and_not_in_the_logged_loss(tmp_path: Path) -> None:
    found = {}
    for beta in (0.0, 0.5):
        run = Run(
            settings(tmp_path, f"tile('VR', V=transformer_vq(codes=3, beta={beta}), R=rope)", clip=1e9),
            tmp_path / f"run-{beta}",
        )
        module = next(iter(mixer_modules(run.model)))
        gradients: list[Tensor] = []
        weight = module.get_parameter("longspan.mixer.key")
        weight.register_post_accumulate_grad_hook(lambda p, g=gradients: g.append(torch.clone(p.grad)))
        book = {name: value.clone() for name, value in book_of(module.weights).items()}
        step = next(run.train())
        found[beta] = (step.loss, gradients[0], book)
    assert found[0.0][0] == found[0.5][0]
    run = Run(settings(tmp_path, "tile('VR', V=transformer_vq(codes=3, beta=0.5), R=rope)"), tmp_path / "by-hand")
    module = next(iter(mixer_modules(run.model)))
    key, book = keys_of(module, run, 0), found[0.5][2]
    codes = book["sum"] / book["count"][:, None]
    commitment = torch.cdist(key, codes).min(-1).values.square().mean()
    (wanted,) = torch.autograd.grad(0.5 * commitment, [module.get_parameter("longspan.mixer.key")])
    torch.testing.assert_close(found[0.5][1] - found[0.0][1], wanted, rtol=1e-3, atol=1e-5)


def test_padding_is_not_followed_and_neither_is_what_is_read_after_training(tmp_path: Path) -> None:
    run = Run(settings(tmp_path, "transformer_vq(codes=5)"), tmp_path / "run")
    ids, real = torch.arange(1, 13).view(2, 6), torch.tensor([[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]])
    run.model.train()(input_ids=ids, attention_mask=real)
    first = next(iter(mixer_modules(run.model)))
    assert first.observed is not None
    padded = first.observed
    run.model(input_ids=ids[:1, 2:])
    torch.testing.assert_close(first.observed, padded[:4])
    assert len(padded) == 10
    first.observed = None
    run.model.eval()(input_ids=ids)
    assert first.observed is None


def test_filler_behind_an_answer_is_not_followed(tmp_path: Path) -> None:
    """Rows of a task are filled up: together they move a codebook by the keys that each of them has alone."""
    run = Run(settings(tmp_path, "transformer_vq(codes=5)"), tmp_path / "run")
    model, ids = run.model.train(), torch.arange(1, 13).view(2, 6)
    real = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]]).bool()
    rows = [Batch(ids, ids, real, real=real, unseen=True)]
    rows += [Batch(each, each, torch.ones_like(each).bool()) for each in (ids[:1, :4], ids[1:])]
    first, seen = next(iter(mixer_modules(model))), list[Tensor]()
    for each in rows:
        hidden_states(model, each)
        assert first.observed is not None
        seen.append(first.observed)
    torch.testing.assert_close(seen[0], torch.cat(seen[1:]))
    assert rows[0].read == len(seen[0])


def test_a_model_without_codebooks_is_trained_as_before(tmp_path: Path) -> None:
    run = finished(tmp_path, "run", "retnet")
    assert penalties(run.model) == 0
    Following(run.model).update(0, run.processes)


def test_the_codebook_is_saved_and_loaded(tmp_path: Path) -> None:
    run = finished(tmp_path, "run", "transformer_vq(codes=5, decay=0.7)", average=0.5)
    loaded = list(mixer_modules(load(tmp_path / "run" / "model")))
    for module, wanted in zip(loaded, codebooks(run), strict=True):
        book = book_of(module.weights)
        torch.testing.assert_close(book["sum"] / book["count"][:, None], wanted, rtol=0, atol=0)
        assert not any(parameter.requires_grad for parameter in module.following.values())


@pytest.mark.parametrize("name", ["code_count", "code_sum"])
def test_no_optimizer_holds_what_follows(tmp_path: Path, name: str) -> None:
    run = Run(settings(tmp_path, "transformer_vq(codes=5)", optimizer="muon"), tmp_path / "run")
    held = {id(p) for optimizer in run.optimizers for group in optimizer.param_groups for p in group["params"]}
    assert all(id(module.following[name]) not in held for module in mixer_modules(run.model))
