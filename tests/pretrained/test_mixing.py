"""Mixers in place of attention: trained, decoded, saved and loaded as part of a model of transformers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM, StaticCache

import longspan
from longspan.compute.mix import mix
from longspan.errors import RefusalError
from longspan.mixers.retnet import RetNet
from longspan.pretrained.mixing import MixerModule
from longspan.slots import Mixer

PLANS = ["retnet", "tile('MMA', M=mamba(states=4), A=rope)", "tile('AM', A=alibi, M=mega(chunk=4))"]
IDS = torch.randint(0, 50, (2, 12), generator=torch.Generator().manual_seed(0))


def untrained() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        eos_token_id=None,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).double().eval()


@pytest.fixture(scope="module", params=PLANS)
def model(request: pytest.FixtureRequest) -> Any:
    return longspan.design(untrained(), request.param).eval()


def logits(model: Any, ids: Tensor = IDS, **given: Any) -> Tensor:
    with torch.no_grad():
        return model(ids, **given).logits


def test_the_module_is_the_mixer() -> None:
    model = longspan.design(untrained(), RetNet(expand=1), seed=3)
    found = model.model.layers[1].self_attn
    assert isinstance(found, MixerModule)
    x = torch.randn(2, 5, 32).double()
    weights = {name.rpartition(".")[2]: value for name, value in found.named_parameters()}
    torch.testing.assert_close(found(x)[0], mix(x, RetNet(expand=1), weights)[0])
    plain = RetNet(expand=1).initial_weights(4, 8, torch.Generator().manual_seed(3))  # of the first layer
    first = model.model.layers[0].self_attn.get_parameter("longspan.mixer.query")
    torch.testing.assert_close(first.float(), plain["query"])


def test_steps_with_a_cache_are_one_pass(model: Any) -> None:
    with torch.no_grad():
        out = model(IDS[:, :7], use_cache=True)
        found = [out.logits]
        for t in range(7, 12):
            out = model(IDS[:, t : t + 1], past_key_values=out.past_key_values, use_cache=True)
            found.append(out.logits)
    torch.testing.assert_close(torch.cat(found, 1), logits(model))


def test_padding_and_packed_documents_are_texts_alone(model: Any) -> None:
    mask = torch.ones_like(IDS)
    mask[1, :4] = 0
    torch.testing.assert_close(logits(model, attention_mask=mask)[1, 4:], logits(model, IDS[1:, 4:])[0])
    packed = logits(model, position_ids=torch.tensor([[*range(5), *range(7)]] * 2), use_cache=False)
    alone = torch.cat([logits(model, IDS[:, :5]), logits(model, IDS[:, 5:])], 1)
    torch.testing.assert_close(packed, alone)


@pytest.mark.parametrize("beams", [1, 3])
def test_generation_needs_no_cache(model: Any, beams: int) -> None:
    mask = torch.ones_like(IDS[:, :6])
    mask[1, :2] = 0
    wanted: dict[str, Any] = {"max_new_tokens": 5, "num_beams": beams, "do_sample": False, "pad_token_id": 0}
    with_cache, without = (
        model.generate(IDS[:, :6], attention_mask=mask, use_cache=cached, **wanted) for cached in (True, False)
    )
    assert torch.equal(with_cache, without)


def test_all_numbers_are_trained(model: Any) -> None:
    model.zero_grad()
    model(IDS, labels=IDS).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_gradient_checkpointing_changes_nothing() -> None:
    gradients = []
    for checkpointing in (False, True):
        model = longspan.design(untrained(), PLANS[1]).train()
        if checkpointing:
            model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        model(IDS, labels=IDS, use_cache=False).loss.backward()
        gradients.append(model.model.layers[0].self_attn.get_parameter("longspan.mixer.in").grad)
    torch.testing.assert_close(*gradients)


def test_a_folder_returns_the_model(model: Any, tmp_path: Path) -> None:
    longspan.save(model, tmp_path / "m")
    again: Any = longspan.load(tmp_path / "m")
    assert torch.equal(logits(again), logits(model))
    longspan.save(again, tmp_path / "n")
    for name in ("model.safetensors", "learned.safetensors"):
        first, second = (load_file(tmp_path / folder / name) for folder in "mn")
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    longspan.save(longspan.design(untrained(), PLANS[1]), tmp_path / "m")
    path = tmp_path / "m" / "model.safetensors"
    whole, missing = load_file(path), "model.layers.2.self_attn.q_proj.weight"
    save_file({name: value for name, value in whole.items() if name != missing}, path, {"format": "pt"})
    with pytest.raises(RefusalError, match=f"lacks weights .* {missing}"):
        longspan.load(tmp_path / "m")
    save_file(whole | {"model.layers.0.self_attn.q_proj.weight": whole[missing].clone()}, path, {"format": "pt"})
    with pytest.raises(RefusalError, match="has weights that the model of its config does not use"):
        longspan.load(tmp_path / "m")
    save_file(whole | {missing: whole[missing][:3].clone()}, path, {"format": "pt"})
    with pytest.raises(RefusalError, match=r"is \(3, 32\), not \(32, 32\)"):
        longspan.load(tmp_path / "m")


def test_extensions_are_refused_in_one_line(model: Any) -> None:
    for wanted, on in (("rerope(8)", model), ("rope", model), ("retnet", untrained()), (PLANS[1], untrained())):
        with pytest.raises(RefusalError, match="takes the place of attention") as refused:
            longspan.extend(on, wanted, length=64)
        assert "\n" not in str(refused.value)
    longspan.detach(model)
    assert logits(model).isfinite().all()


def test_what_holds_no_state_is_refused() -> None:
    model = longspan.design(untrained(), "retnet")
    with pytest.raises(RefusalError, match="a mixer's state lies in a DynamicCache, not in a StaticCache"):
        logits(model, past_key_values=StaticCache(config=model.config, max_cache_len=16))
    with pytest.raises(RefusalError, match="has no pairs of tokens"):
        logits(model, attention_mask=torch.zeros(2, 1, 12, 12).double())


def test_heads_that_do_not_divide_the_channels_are_refused() -> None:
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 1,
    }
    config = Qwen3Config(vocab_size=50, num_attention_heads=3, num_key_value_heads=1, head_dim=8, **sizes)
    with pytest.raises(RefusalError, match="3 heads do not divide 32"):
        longspan.design(Qwen3ForCausalLM(config), "retnet")


def test_positions_added_to_embeddings_are_refused() -> None:
    with pytest.raises(RefusalError, match="retnet knows the order of tokens without positions"):
        longspan.design(untrained(), "retnet", absolute="sinusoidal")


def test_a_mixer_is_public_in_a_plan() -> None:
    plan = longspan.Plan.tile("MA", M=RetNet(), A=longspan.parse("rope"))
    model = longspan.design(untrained(), plan)
    assert [type(layer.self_attn).__name__ for layer in model.model.layers] == [
        "MixerModule", "LlamaAttention", "MixerModule",
    ]  # fmt: skip
    assert issubclass(RetNet, Mixer)
