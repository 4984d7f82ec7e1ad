"""Designs: any plan of the catalogue on an untrained model, and what later extensions make of it."""

from itertools import pairwise
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from longspan.errors import RefusalError
from longspan.pretrained.attach import attached, check_untrained, design, detach, extend
from longspan.pretrained.attachment import attachment_of
from pretrained.families import small_model
from tiny import llama

VOCABULARY = 50
DESIGNS = (
    "rope", "nope", "alibi", "kerple_log", "kerple_power", "sandwich", "t5", "shaw", "xpos", "hwfa", "hwfa2",
    "rope + key_norm", "rope + query_norm", "rope + cosine", "rope + urpe", "rope + window(16)",
    "rope + log_length(form='training')", "leaky_rerope(window=16, k=0.25)", "alibi + window(16)",
    "nope + softmax_plus_one", "rope + bidirectional", "alibi + bidirectional",
)  # fmt: skip


def made(text: str, *, seed: int = 0, backend: str = "auto") -> LlamaForCausalLM:
    """A model of random numbers with a design whose learned numbers are not those of the start."""
    model = design(llama(VOCABULARY, seed), text, backend=backend)
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if ".longspan." in name:
            parameter.data += 0.3 * torch.rand_like(parameter)
    return model


def ids(rows: int, count: int, seed: int = 0) -> Tensor:
    return torch.randint(0, VOCABULARY, (rows, count), generator=torch.Generator().manual_seed(seed))


def logits(model: LlamaForCausalLM, tokens: Tensor, **arguments) -> Tensor:
    with torch.no_grad():
        return model(input_ids=tokens, use_cache=False, **arguments).logits


@pytest.mark.parametrize("text", DESIGNS)
def test_every_backend_computes_the_same_losses_and_gradients(text: str) -> None:
    tokens = ids(2, 40)
    found = {}
    for backend in ("auto", "reference"):
        model = made(text, backend=backend)
        loss = model(input_ids=tokens, labels=tokens, use_cache=False).loss
        loss.backward()
        gradients = {name: p.grad for name, p in model.named_parameters()}
        assert all(gradient is not None for gradient in gradients.values())
        found[backend] = loss.detach(), gradients
    (loss, own), (wanted, theirs) = found["auto"], found["reference"]
    assert torch.allclose(loss, wanted, rtol=1e-5)
    for name, gradient in own.items():
        scale = float(theirs[name].abs().max()) or 1.0
        assert torch.allclose(gradient, theirs[name], atol=2e-4 * scale), name


@pytest.mark.parametrize("text", ["alibi", "kerple_log", "t5", "nope", "alibi + window(16)"])
def test_a_bias_is_what_stock_attention_adds_to_its_scores(text: str) -> None:
    """Stock attention at position 0 everywhere does not rotate; a mask of floats adds any number to each score."""
    model, tokens = made(text), ids(1, 30)
    scheme: Any = attachment_of(model).plan.schemes[0]  # type: ignore[union-attr]
    distance = torch.arange(30)[:, None] - torch.arange(30)
    heads = torch.arange(2)[:, None, None]
    state = {name: value for name, value in model.state_dict().items() if ".longspan." not in name}
    stock: Any = llama(VOCABULARY)
    stock.load_state_dict(state)
    masks = []
    for layer in (layer.self_attn for layer in cast(Any, model.model.layers)):
        held = layer._modules.get("longspan")
        weights = {name.partition(".")[2]: value for name, value in held.named_parameters()} if held is not None else {}
        added = torch.zeros(2, 30, 30)
        if scheme.bias is not None:
            added = scheme.bias(distance[None].expand(2, -1, -1), heads, 2, weights).detach()
        width = getattr(scheme.mask, "size", 30)
        masks.append(added.float().masked_fill((distance < 0) | (distance >= width), float("-inf"))[None])
    for layer, mask in zip(stock.model.layers, masks, strict=True):
        layer.self_attn.register_forward_pre_hook(
            lambda _, args, kwargs, mask=mask: (args, {**kwargs, "attention_mask": mask}), with_kwargs=True
        )
    if text == "t5":
        for layer in stock.model.layers:
            layer.self_attn.scaling = 1.0  # T5 does not scale its scores
    wanted = logits(stock, tokens, position_ids=torch.zeros(1, 30, dtype=torch.long))
    assert torch.allclose(logits(model, tokens), wanted, atol=2e-4)


@settings(max_examples=40)
@given(data=st.data())
def test_padding_anywhere_changes_nothing(data) -> None:
    text = data.draw(st.sampled_from(DESIGNS))
    model, count = made(text), data.draw(st.integers(3, 30))
    tokens, length = ids(1, count), count + data.draw(st.integers(1, 9))
    where = torch.tensor(sorted(data.draw(st.permutations(range(length)))[:count]))
    padded, real = torch.zeros(1, length, dtype=torch.long), torch.zeros(1, length, dtype=torch.long)
    padded[0, where], real[0, where] = tokens[0], 1
    alone, beside = logits(model, tokens), logits(model, padded, attention_mask=real)
    assert torch.allclose(beside[:, where], alone, atol=2e-4)


@settings(max_examples=40)
@given(data=st.data())
def test_reading_in_any_pieces_with_a_cache_changes_nothing(data) -> None:
    text = data.draw(st.sampled_from([text for text in DESIGNS if "bidirectional" not in text]))
    model, tokens = made(text), ids(2, 24)
    cuts = sorted({0, 24, *data.draw(st.lists(st.integers(1, 23), max_size=4))})
    cache, found = None, []
    with torch.no_grad():
        for start, stop in pairwise(cuts):
            output = model(input_ids=tokens[:, start:stop], past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            found.append(output.logits)
    assert torch.allclose(torch.cat(found, 1), logits(model, tokens), atol=2e-4)


@settings(max_examples=30)
@given(text=st.sampled_from(DESIGNS), shift=st.integers(1, 40))
def test_positions_are_what_the_caller_gives(text: str, shift: int) -> None:
    """Shifted by one number they change nothing; stretched they change whatever depends on positions.

    Without a mask, transformers takes positions that jump for documents packed into one row.
    """
    model, tokens = made(text), ids(1, 20)
    positions, real = torch.arange(20)[None], torch.ones(1, 20, dtype=torch.long)
    plain = logits(model, tokens)
    assert torch.allclose(logits(model, tokens, position_ids=positions + shift), plain, atol=2e-3)
    scheme = attachment_of(model).plan.schemes[0]  # type: ignore[union-attr]
    depends = scheme.rotation.name != "nope" or scheme.bias is not None
    stretched = logits(model, tokens, position_ids=3 * positions, attention_mask=real)
    assert depends != torch.allclose(stretched, plain, atol=1e-5)


@pytest.mark.parametrize("text", [text for text in DESIGNS if "window" not in text or "leaky" in text])
def test_an_extension_comes_off_a_design_again(text: str) -> None:
    model, tokens = made(text), ids(1, 100)
    plain, before = logits(model, tokens), attachment_of(model).text  # type: ignore[union-attr]
    with attached(model, "log_length(8)", length=100):
        assert not torch.allclose(logits(model, tokens), plain, atol=1e-4)
    assert torch.equal(logits(model, tokens), plain)
    extend(model, "log_length(8)", length=100)
    detach(model)
    assert torch.equal(logits(model, tokens), plain)
    assert attachment_of(model).text == before  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "extension", "wanted"),
    [
        ("rope", "rerope(16) + log_length", "rerope(window=16) + log_length(trained_length=64)"),
        ("rope + key_norm", "yarn", "yarn(factor=2.0, trained_length=64, theta=10000.0) + key_norm"),
        ("alibi", "window(32)", "alibi + window(size=32)"),
        ("rope + log_length(8)", "rerope(16)", "rerope(window=16) + log_length(trained_length=8)"),
    ],
)  # fmt: skip
def test_an_extension_replaces_the_answers_that_it_names(text: str, extension: str, wanted: str) -> None:
    model = extend(made(text), extension, length=128)
    assert attachment_of(model).text == wanted  # type: ignore[union-attr]


def test_an_extension_reaches_only_the_layers_that_see_everything() -> None:
    model = extend(made("hwfa2"), "rerope(8)", length=128)
    plan = attachment_of(model).plan  # type: ignore[union-attr]
    assert [plan.layer(i, 2).distance.name for i in range(2)] == ["true", "rerope"]


@pytest.mark.parametrize(
    ("text", "extension", "why"),
    [
        ("alibi", "rerope(16)", "nothing to act on"),
        ("hwfa", "yarn", "nothing to act on"),
        ("rope + window(16)", "log_length", "nothing to extend"),
        ("rope", "alibi", "needs training"),
        ("alibi", "kerple_log", "needs training"),
        ("rope", "key_norm", "needs training"),
        ("rope + key_norm", "query_norm", "needs training"),
        ("rope", "bidirectional", "needs training"),
    ],
)
def test_what_was_not_trained_is_refused_and_the_design_stays(text: str, extension: str, why: str) -> None:
    model, tokens = made(text), ids(1, 20)
    plain = logits(model, tokens)
    with pytest.raises(RefusalError, match=why):
        extend(model, extension, length=128)
    assert torch.equal(logits(model, tokens), plain)


@pytest.mark.parametrize(
    ("family", "text", "why"),
    [
        (
            "gemma2",
            "nope",
            "layer 0 of Gemma2Model sees a window of 16 tokens .* nope would not reach it: give .* rope",
        ),
        ("gemma2", "rope + window(8)", r"rope \+ window\(size=8\) would not reach it"),
        (
            "gemma2",
            "tile('SA', S=rope, A=rope + softcap(5))",
            "layer 1 .* has a cap of its own, .* the place of softcap",
        ),
        (
            "gpt_oss",
            "tile('SA', S=rope, A=rope + sparsemax)",
            "layer 1 .* attention sinks of its own.* place of sparsemax",
        ),
        ("smollm3", "rerope(window=4)", "does not rotate, so that rerope.* would not reach it"),
    ],
)
def test_what_an_architecture_answers_itself_is_refused(family: str, text: str, why: str) -> None:
    model = small_model(family)
    names = [name for name, _ in model.named_parameters()]
    with pytest.raises(RefusalError, match=why):
        design(model, text)
    assert [name for name, _ in model.named_parameters()] == names


@pytest.mark.parametrize("family", ["gemma2", "gpt_oss"])
def test_a_design_beside_what_an_architecture_answers_learns_every_number(family: str) -> None:
    """The plan says of each layer what it does; sinks and caps of the architecture stay, and learn as ever."""
    model = design(small_model(family), "tile('SA', S=rope, A=kerple_log)").train()
    tokens = torch.randint(3, 119, (1, 24), generator=torch.Generator().manual_seed(0))
    model(input_ids=tokens, use_cache=False).logits.square().mean().backward()
    found = {n: p.grad for n, p in model.named_parameters() if ".longspan." in n or "sinks" in n}
    assert len(found) == {"gemma2": 4, "gpt_oss": 8}[family]
    assert all(gradient is not None and gradient.any() for gradient in found.values())


@pytest.mark.parametrize("family", ["gemma2", "gpt_oss", "smollm3"])
def test_the_plan_of_an_architecture_is_the_architecture(family: str) -> None:
    model = small_model(family)
    tokens = torch.randint(3, 119, (1, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = model(input_ids=tokens, use_cache=False).logits
        found = design(model, "rope")(input_ids=tokens, use_cache=False).logits
    torch.testing.assert_close(found, wanted, rtol=0, atol=5e-5 * float(wanted.std()))


def test_a_second_design_is_refused() -> None:
    with pytest.raises(RefusalError, match="carries a plan already"):
        design(made("alibi"), "rope")


def test_a_name_is_no_untrained_model() -> None:
    with pytest.raises(RefusalError, match=r"got 'bundled': make one with AutoModelForCausalLM\.from_config"):
        check_untrained("bundled")


def test_learned_numbers_follow_their_seed_and_are_different_in_each_layer() -> None:
    def numbers(seed: int) -> list[Tensor]:
        model = design(LlamaForCausalLM(LlamaConfig(**llama(VOCABULARY).config.to_dict())), "kerple_log", seed=seed)
        return [p.detach() for name, p in model.named_parameters() if ".longspan." in name]

    first, again, other = numbers(0), numbers(0), numbers(1)
    assert all(map(torch.equal, first, again))
    assert not any(map(torch.equal, first, other))
    assert len({float(value[0]) for value in first}) == len(first)
