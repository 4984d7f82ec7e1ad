"""What decays and what Muon takes, by the papers and their authors' code, for every mixer of the catalogue."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import distributed, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

import longspan
from longspan.catalogue import mixers
from longspan.errors import RefusalError
from longspan.pretrained.linear import StructuredLinear
from longspan.pretrained.mixing import mixer_modules
from longspan.train.optimizers import optimizers_of
from longspan.train.settings import TrainingTable

HEADS = {"query": 2, "key": 2, "value": 2, "out": 1}
MATRICES: dict[str, dict[str, int]] = {
    "attention": HEADS,
    "cosformer": HEADS,
    "efficient_attention": HEADS,
    "flash": {"gate": 1, "value": 1, "shared": 1, "out": 1},
    "gau": {"gate": 1, "value": 1, "shared": 1, "out": 1},
    "gau_alpha": {"gate": 1, "value": 1, "shared": 1, "out": 1},
    "linear_attention": HEADS,
    # Adam without decay for the recurrence and B, AdamW for the rest (github.com/NicolasZucchet/minimal-LRU)
    "lru": {"back": 1, "open": 1, "shut": 1},
    # A_log and D are marked as free of decay, and nothing else is (github.com/state-spaces/mamba)
    "mamba": {"in": 1, "selection": 1, "size": 1, "out": 1},
    "mega": {"z": 1, "reset": 1, "blend": 1, "candidate": 1, "value": 1, "out": 1},
    "mla": {"query": 2, "query_rotary": 2, "down": 1, "key_rotary": 1, "up_key": 2, "up_value": 2, "out": 1},
    "performer": HEADS,
    "permuteformer": HEADS,
    "retnet": {"query": 2, "key": 2, "value": 2, "gate": 2, "out": 1},
    # What has two axes decays; time_decay, time_first and time_mix do not (github.com/BlinkDL/RWKV-LM)
    "rwkv4": {"receptance": 1, "key": 1, "value": 1, "out": 1},
    "sparse_attention": HEADS,
    "transformer_vq": {"query": 1, "key": 1, "value": 1, "gate": 1, "out": 1, "relative": 1},
}
"""The matrices of each mixer, and how many of their axes are rows."""
OTHERS = {"mamba": {"convolution"}}
"""What decays and is no matrix."""


def untrained(plan: str, kv_heads: int = 4, linear: str = "dense") -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=30,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=kv_heads,
        max_position_embeddings=64,
    )
    return longspan.design(LlamaForCausalLM(config), plan, linear=linear)


def own(model: Any) -> dict[str, nn.Parameter]:
    """The parameters of the mixer of the only layer, by their names in the paper's formula."""
    (module,) = mixer_modules(model)
    return {name.rpartition(".")[2]: parameter for name, parameter in module.named_parameters()}


def test_the_table_is_of_all_mixers() -> None:
    assert MATRICES.keys() == mixers().keys()


@pytest.mark.parametrize("name", MATRICES)
def test_matrices_decay_and_nothing_else_of_a_mixer_does(name: str) -> None:
    """One step without gradients: what decays is smaller by rate · decay, all else is as it was."""
    model = untrained(name)
    before = {key: value.detach().clone() for key, value in own(model).items()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    (optimizer,) = optimizers_of(model, TrainingTable(rate=0.1, weight_decay=0.5))
    optimizer.step()
    found = {key for key, value in own(model).items() if not torch.equal(value, before[key])}
    assert found == MATRICES[name].keys() | OTHERS.get(name, set())
    for key in found:
        torch.testing.assert_close(own(model)[key].detach(), 0.95 * before[key])


@pytest.mark.parametrize("name", MATRICES)
def test_muon_takes_the_same_matrices(name: str) -> None:
    """Its step has singular values near one, whatever the gradient; those of AdamW's first step are all signs."""
    model = untrained(name)
    before = {key: value.detach().clone() for key, value in own(model).items()}
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
    for optimizer in optimizers_of(model, TrainingTable(optimizer="muon", rate=1.0, weight_decay=0.0)):
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    assert all(parameter.grad is None for parameter in model.parameters())
    for key, value in own(model).items():
        step, axes = before[key] - value.detach(), MATRICES[name].get(key)
        if axes is None:
            assert not value.requires_grad or torch.allclose(step.abs(), torch.ones_like(step), atol=1e-3)
        else:
            flat = step.flatten(axes).reshape(value.shape[:axes].numel(), -1)
            sizes = torch.linalg.svdvals(flat) / (0.2 * max(flat.shape) ** 0.5)
            assert sizes.max() < 1.3
            assert sizes.median() > 0.6


def test_blocks_of_a_monarch_matrix_are_matrices_of_their_own() -> None:
    """Muon of PyTorch on the blocks of both factors, each written out as the formula of Monarch has it."""
    model = untrained("rope", linear="monarch(blocks=2)")
    layer = next(module for module in model.modules() if isinstance(module, StructuredLinear))
    factors = {name.rpartition(".")[2]: parameter for name, parameter in layer.named_parameters()}
    alone = {
        "first": [nn.Parameter(block.detach().flatten(0, 1).clone()) for block in factors["first"]],
        "second": [nn.Parameter(block.detach().flatten(1).clone()) for block in factors["second"]],
    }
    settings: dict[str, Any] = {"lr": 0.1, "weight_decay": 0.3, "adjust_lr_fn": "match_rms_adamw"}
    muon = torch.optim.Muon([block for blocks in alone.values() for block in blocks], **settings)
    optimizers = optimizers_of(model, TrainingTable(optimizer="muon", rate=0.1, weight_decay=0.3))
    generator = torch.Generator().manual_seed(1)
    for _ in range(2):
        for name, blocks in alone.items():
            gradient = torch.randn(factors[name].shape, generator=generator)
            factors[name].grad = gradient
            for block, grad in zip(blocks, gradient, strict=True):
                block.grad = grad.reshape(block.shape).clone()
        for each in (muon, *optimizers):
            each.step()
            each.zero_grad(set_to_none=True)
    for name, blocks in alone.items():
        for block, found in zip(blocks, factors[name], strict=True):
            torch.testing.assert_close(found.reshape(block.shape), block)


def mixture() -> Any:
    """Three experts of two layers."""
    torch.manual_seed(0)
    config = MixtralConfig(
        vocab_size=30, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, num_local_experts=3, max_position_embeddings=64, sliding_window=None,
    )  # fmt: skip
    return longspan.design(MixtralForCausalLM(config), "rope")


def test_experts_decay_as_matrices_do() -> None:
    model = mixture()
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    (optimizer,) = optimizers_of(model, TrainingTable(rate=0.1, weight_decay=0.5))
    optimizer.step()
    for name, value in model.named_parameters():
        decays = "proj" in name or name.endswith("mlp.gate.weight")
        torch.testing.assert_close(value.detach(), (0.95 if decays else 1.0) * before[name])


def test_muon_takes_each_expert_as_a_matrix_of_its_own() -> None:
    """Muon of PyTorch on every expert alone."""
    model = mixture()
    experts = {name: p for name, p in model.named_parameters() if ".experts." in name}
    assert len(experts) == 4
    alone = {name: [nn.Parameter(each.detach().clone()) for each in p] for name, p in experts.items()}
    settings: dict[str, Any] = {"lr": 0.1, "weight_decay": 0.3, "adjust_lr_fn": "match_rms_adamw"}
    muon = torch.optim.Muon([each for several in alone.values() for each in several], **settings)
    optimizers = optimizers_of(model, TrainingTable(optimizer="muon", rate=0.1, weight_decay=0.3))
    generator = torch.Generator().manual_seed(1)
    for _ in range(2):
        for name, several in alone.items():
            experts[name].grad = gradient = torch.randn(experts[name].shape, generator=generator)
            for each, grad in zip(several, gradient, strict=True):
                each.grad = grad.clone()
        for optimizer in (muon, *optimizers):
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    for name, several in alone.items():
        torch.testing.assert_close(experts[name].detach(), torch.stack([each.detach() for each in several]))


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[DeviceMesh]:
    """A group of processes of which this is the only one."""
    distributed.init_process_group("gloo", f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


def test_muon_refuses_blocks_that_processes_share(alone: DeviceMesh) -> None:
    """AdamW, and plain matrices, may be shared."""
    monarch, dense = (
        fully_shard(untrained("rope", linear=each), mesh=alone) for each in ("monarch(blocks=2)", "dense")
    )
    with pytest.raises(RefusalError, match=r"leave out parallel\.shards, or use training\.optimizer"):
        optimizers_of(monarch, TrainingTable(optimizer="muon"))
    assert optimizers_of(monarch, TrainingTable())
    assert optimizers_of(dense, TrainingTable(optimizer="muon"))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_attention_as_a_mixer_is_trained_as_the_models_own(optimizer: Literal["adamw", "muon"]) -> None:
    """The same numbers in other shapes stay the same, step by step."""
    plain, mixed = untrained("rope", kv_heads=2), untrained("attention(groups=2)", kv_heads=2)
    attention = plain.model.layers[0].self_attn
    pairs = {"query": attention.q_proj, "key": attention.k_proj, "value": attention.v_proj, "out": attention.o_proj}
    with torch.no_grad():
        for name, layer in pairs.items():
            own(mixed)[name].copy_(layer.weight.view(own(mixed)[name].shape))
        for name, value in plain.named_parameters():
            if "self_attn" not in name:
                mixed.get_parameter(name).copy_(value)
    ids = torch.randint(0, 30, (4, 20), generator=torch.Generator().manual_seed(0))
    for model in (plain, mixed):
        training = TrainingTable(optimizer=optimizer, rate=1e-2, weight_decay=0.3)
        optimizers = optimizers_of(model, training)
        for _ in range(3):
            model(input_ids=ids, labels=ids).loss.backward()
            for each in optimizers:
                each.step()
                each.zero_grad(set_to_none=True)
    for name, layer in pairs.items():
        torch.testing.assert_close(own(mixed)[name].view(layer.weight.shape), layer.weight, rtol=2e-3, atol=2e-4)
    torch.testing.assert_close(mixed.lm_head.weight, plain.lm_head.weight, rtol=2e-3, atol=2e-4)
