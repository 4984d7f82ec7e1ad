"""Positions added to embeddings: what a stock model computes of embeddings that hold them already."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, LlamaForCausalLM
from transformers.models.xlm.modeling_xlm import create_sinusoidal_embeddings

from longspan.errors import NotationError, RefusalError, SchemeError, ShapeError
from longspan.pretrained.attach import attached, design
from longspan.pretrained.attachment import attachment_of
from longspan.pretrained.storing.save import load, save
from tiny import TRAINED_LENGTH, llama

VOCABULARY, WIDTH = 50, 32
ENCODINGS = ("sinusoidal", "sinusoidal(layout='half')", "learned")


def made(absolute: str, plan: str = "nope") -> LlamaForCausalLM:
    """A model whose table, where it has one, is as large as its embeddings."""
    return design(llama(VOCABULARY), plan, absolute=absolute, seed=1)


def ids(rows: int, count: int) -> Tensor:
    return torch.randint(0, VOCABULARY, (rows, count), generator=torch.Generator().manual_seed(0))


def logits(model: Any, tokens: Tensor, **arguments) -> Tensor:
    with torch.no_grad():
        return model(input_ids=tokens, use_cache=False, **arguments).logits


def stock(added: Tensor, tokens: Tensor) -> Tensor:
    """The logits of the plain model at position 0 everywhere, which does not rotate, with vectors added by hand."""
    model: Any = llama(VOCABULARY)
    with torch.no_grad():
        embeddings = model.get_input_embeddings()(tokens) + added
        return model(inputs_embeds=embeddings, position_ids=torch.zeros(1, tokens.shape[1], dtype=torch.long)).logits


def table(model: nn.Module) -> Tensor:
    return next(value for name, value in model.named_parameters() if name.endswith("longspan.absolute.table"))


def test_sinusoidal_is_what_xlm_adds_at_the_size_of_the_embeddings() -> None:
    tokens, model = ids(2, 40), made("sinusoidal")
    wanted = create_sinusoidal_embeddings(40, WIDTH, torch.empty(40, WIDTH)) * model.config.initializer_range
    assert not torch.allclose(logits(model, tokens), stock(0 * wanted, tokens), atol=1e-3)
    assert torch.allclose(logits(model, tokens), stock(wanted, tokens), atol=2e-4)


@pytest.mark.parametrize(
    ("architecture", "own", "factor"),
    [
        ("llama", {}, 1.0),
        ("gemma", {"head_dim": 16}, WIDTH**0.5),
        ("granite", {"embedding_multiplier": 12.0}, 12.0),
        ("granite", {"embedding_multiplier": 1.0}, 1.0),
        ("gemma3_text", {"head_dim": 16, "layer_types": ["full_attention", "full_attention"]}, WIDTH**0.5),
    ],
)
@pytest.mark.parametrize("initial", [0.02, 0.5])
def test_positions_are_as_large_as_what_the_model_makes_of_its_embeddings(
    architecture: str, own: dict[str, Any], factor: float, initial: float
) -> None:
    """Gemma multiplies embeddings by the root of their width, Granite by a number of its config."""
    config = AutoConfig.for_model(
        architecture, vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, initializer_range=initial, pad_token_id=None, **own,
    )  # fmt: skip
    model = design(AutoModelForCausalLM.from_config(config), "nope", absolute="sinusoidal")
    attachment: Any = attachment_of(model)
    added = attachment.target.absolute
    assert added.spread == pytest.approx(initial * factor, rel=1e-5)
    assert factor != 1 or added.spread == initial  # to the bit


def test_learned_is_an_embedding_of_positions_and_beyond_its_end_a_mixture_of_two_rows() -> None:
    model, tokens = made("learned"), ids(2, TRAINED_LENGTH)
    rows = table(model).detach()
    assert rows.shape == (TRAINED_LENGTH, WIDTH)
    assert torch.allclose(logits(model, tokens), stock(rows, tokens), atol=2e-4)
    u = (rows - 0.4 * rows[0]) / 0.6
    beyond = torch.stack([0.4 * u[p // TRAINED_LENGTH] + 0.6 * u[p % TRAINED_LENGTH] for p in range(150)])
    assert torch.allclose(logits(model, ids(1, 150)), stock(beyond, ids(1, 150)), atol=2e-4)


@settings(max_examples=15)
@given(data=st.data(), absolute=st.sampled_from(ENCODINGS))
def test_padding_anywhere_changes_nothing(data, absolute: str) -> None:
    model, count = made(absolute), data.draw(st.integers(3, 30))
    tokens, length = ids(1, count), count + data.draw(st.integers(1, 9))
    where = torch.tensor(sorted(data.draw(st.permutations(range(length)))[:count]))
    padded, real = torch.zeros(1, length, dtype=torch.long), torch.zeros(1, length, dtype=torch.long)
    padded[0, where], real[0, where] = tokens[0], 1
    beside = logits(model, padded, attention_mask=real)
    assert torch.allclose(beside[:, where], logits(model, tokens), atol=2e-4)


@settings(max_examples=15)
@given(data=st.data(), absolute=st.sampled_from(ENCODINGS))
def test_reading_in_any_pieces_with_a_cache_changes_nothing(data, absolute: str) -> None:
    model, tokens = made(absolute, "alibi"), ids(2, 24)
    cuts = sorted({0, 24, *data.draw(st.lists(st.integers(1, 23), max_size=4))})
    cache, found = None, []
    with torch.no_grad():
        for start, stop in pairwise(cuts):
            output = model(input_ids=tokens[:, start:stop], past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            found.append(output.logits)
    assert torch.allclose(torch.cat(found, 1), logits(model, tokens), atol=2e-4)


@pytest.mark.parametrize("absolute", ENCODINGS)
def test_positions_are_what_the_caller_gives(absolute: str) -> None:
    model, tokens = made(absolute), ids(1, 20)
    real = torch.ones_like(tokens)
    moved = logits(model, tokens, position_ids=torch.arange(20)[None] + 7, attention_mask=real)
    added = table(model)[7:27] if absolute == "learned" else None
    assert not torch.allclose(moved, logits(model, tokens), atol=1e-4)
    if added is not None:
        assert torch.allclose(moved, stock(added.detach(), tokens), atol=2e-4)


@pytest.mark.parametrize("absolute", ENCODINGS)
def test_it_is_saved_and_loads_back_to_the_bit(absolute: str, tmp_path: Path) -> None:
    model, tokens = made(absolute, "kerple_log"), ids(1, 90)
    save(model, tmp_path / "model")
    found = load(tmp_path / "model")
    assert torch.equal(logits(found, tokens), logits(model, tokens))
    with attached(found, "log_length", length=90):
        assert not torch.equal(logits(found, tokens), logits(model, tokens))
    assert torch.equal(logits(found, tokens), logits(model, tokens))
    assert "sinusoidal" in (page := (tmp_path / "model" / "README.md").read_text()) or "learned" in page


def test_what_a_folder_says_wrongly_is_refused(tmp_path: Path) -> None:
    save(made("learned"), tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    written = config.read_text()
    assert '"version": 2' in written  # a longspan that knows of no absolute positions must not load it without them
    config.write_text(written.replace('"absolute": "learned(', '"absolut": "learned('))
    with pytest.raises(RefusalError, match="must have a version from 1 to 3 and a plan"):
        load(tmp_path / "model")


def test_activations_that_are_computed_again_give_the_same_gradients() -> None:
    found = []
    for again in (False, True):
        model: Any = made("learned").train()
        if again:
            model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        model(input_ids=ids(2, 20), labels=ids(2, 20), use_cache=False).loss.backward()
        found.append(table(model).grad)
    assert found[0][:19].any(1).all()  # what is predicted for the last token is not compared with anything
    assert not found[0][19:].any()
    assert torch.allclose(*found, atol=1e-6)


def test_a_rotation_beside_it_stays() -> None:
    tokens, model = ids(1, 30), made("learned", "rope")
    with torch.no_grad():
        plain: Any = llama(VOCABULARY)
        embeddings = plain.get_input_embeddings()(tokens) + table(model)[:30]
        assert torch.allclose(logits(model, tokens), plain(inputs_embeds=embeddings).logits, atol=2e-4)


def test_in_training_every_position_has_a_row_of_its_own() -> None:
    model: Any = made("learned").train()
    with pytest.raises(ShapeError, match="end at 63, got 64; give the table more rows"):
        model(input_ids=ids(1, 70), use_cache=False)


@pytest.mark.parametrize(
    ("text", "error", "why"),
    [
        ("sinusoid", NotationError, "did you mean 'sinusoidal'"),
        ("learned(rows=3)", NotationError, "no argument 'rows'"),
        ("learned(alpha=0.5)", SchemeError, "not 0.5"),
    ],
)
def test_what_means_nothing_is_refused(text: str, error: type, why: str) -> None:
    model = llama(VOCABULARY)
    with pytest.raises(error, match=why):
        design(model, "nope", absolute=text)
    design(model, "nope", absolute="sinusoidal")  # it was left as it was
