"""Models whose weights are four bits wide: an extension touches positions and scores, never weights."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM, PreTrainedModel

import longspan
from longspan.errors import RefusalError

METHOD = "rerope(window=16) + log_length"
TRAINED_LENGTH, LENGTH = 64, 150


@pytest.fixture(scope="module")
def nf4(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedModel:
    folder = tmp_path_factory.mktemp("model")
    config = LlamaConfig(
        hidden_size=128,  # bitsandbytes packs blocks of 64
        intermediate_size=128,
        num_hidden_layers=2,
        vocab_size=60,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=TRAINED_LENGTH,
        initializer_range=0.2,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=settings, device_map="cpu")
    assert model.model.layers[0].self_attn.q_proj.weight.dtype == torch.uint8
    return model.eval()


@pytest.fixture(scope="module")
def words() -> torch.Tensor:
    return torch.randint(2, 60, (1, LENGTH), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_plain_is_the_model_and_it_comes_back_bit_for_bit(nf4: PreTrainedModel, words: torch.Tensor) -> None:
    before = nf4(words).logits
    with longspan.attached(nf4, "rope"):
        assert torch.allclose(nf4(words).logits, before, atol=1e-5 * float(before.std()))
    with longspan.attached(nf4, METHOD, length=LENGTH):
        assert not torch.allclose(nf4(words).logits, before, atol=0.1 * float(before.std()))
    assert torch.equal(nf4(words).logits, before)


@torch.no_grad()
def test_decoding_is_reading_at_once(nf4: PreTrainedModel, words: torch.Tensor) -> None:
    with longspan.attached(nf4, METHOD, length=LENGTH):
        whole = nf4(words).logits
        cache = nf4(words[:, : 2 * TRAINED_LENGTH], use_cache=True).past_key_values
        rest = nf4(words[:, 2 * TRAINED_LENGTH :], past_key_values=cache).logits
    assert torch.allclose(rest, whole[:, 2 * TRAINED_LENGTH :], atol=1e-4 * float(whole.std()))


def test_weights_packed_for_a_processor_are_not_saved(nf4: PreTrainedModel, tmp_path: Path) -> None:
    """What `save_pretrained` of bitsandbytes 0.50 writes after one call on a CPU is another model."""
    with (
        longspan.attached(nf4, METHOD, length=LENGTH),
        pytest.raises(RefusalError, match="extend and save the checkpoint"),
    ):
        longspan.save(nf4, tmp_path / "saved")
    assert not list(tmp_path.iterdir())


@torch.no_grad()
def test_packing_does_spoil_what_is_written(nf4: PreTrainedModel, words: torch.Tensor, tmp_path: Path) -> None:
    """Once this fails, saving need not be refused."""
    before = nf4(words).logits
    nf4.save_pretrained(tmp_path)
    after = AutoModelForCausalLM.from_pretrained(tmp_path, device_map="cpu").eval()(words).logits
    assert not torch.allclose(after, before, atol=0.1 * float(before.std()))
