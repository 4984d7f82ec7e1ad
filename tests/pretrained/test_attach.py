import contextlib
import copy
import itertools

import pytest
import torch
from torch import nn
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, StaticCache

import longspan
from longspan.compute.decoding import prepare
from longspan.errors import InputError, NotationError, RefusalError, SchemeError
from longspan.memo import forget
from longspan.pretrained.attach import check_arguments
from pretrained.models import TRAINED, in_parts, logits, tiny_llama, tokens

LENGTH = 2 * TRAINED + 6
SCHEMES = (
    "rerope(window=8)",
    "leaky_rerope(window=8, k=4)",
    "self_extend(window=8, group=4)",
    "dual_chunk(chunk=24, local=4)",
    "dpe(window=8, groups=(2, 4, 1, 3))",
    "window(size=12)",
    "window(size=12, sinks=2)",
    "log_length",
    "rope(theta=1e6)",
    "rope(theta=1e6) + log_length",
    "rerope(window=8) + log_length + window(size=40, sinks=2)",
    "linear(factor=3)",
    "ntk(factor=3)",
    "yarn(factor=4)",
    "ntk_mixed(factor=4) + log_length",
    "dynamic_ntk",
    "dynamic_ntk + log_length",
    "longrope(factor=4, long=(1, 1, 2, 2, 3, 3, 4, 4), short=(1, 1, 1, 1, 1, 1, 1, 2))",
    "yarn(factor=2) + rerope(window=8)",
    "streaming_llm(sinks=2, size=16)",
    "lm_infinite(window=12, sinks=2)",
    "tile('AB', A=rope + window(12), B=rerope(8) + log_length)",
    "tile('AB', A=yarn(factor=2), B=rope)",
)


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    return tiny_llama()


@pytest.fixture(scope="module")
def words() -> torch.Tensor:
    return tokens(2, LENGTH)


def test_positions_matter_in_the_tiny_model(model, words):
    plain = logits(model, words)
    still = logits(model, words, position_ids=torch.zeros_like(words), attention_mask=torch.ones_like(words))
    assert (plain - still).std() > 0.2 * plain.std()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_token_by_token_and_in_chunks_is_at_once(model, words, scheme):
    with longspan.attached(model, scheme):
        at_once = logits(model, words)
        for sizes in ([58, *[1] * (LENGTH - 58)], [7, 1, 50, LENGTH - 58]):
            torch.testing.assert_close(in_parts(model, words, sizes), at_once, rtol=0, atol=2e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_left_padding_changes_nothing(model, words, scheme):
    padding = 11
    padded = torch.cat([torch.zeros_like(words[:, :padding]), words], 1)
    padded[0] = torch.cat([words[0], tokens(1, padding, seed=5)[0]])
    mask = torch.ones_like(padded)
    mask[1, :padding] = 0
    with longspan.attached(model, scheme):
        alone, long = logits(model, words[1:]), logits(model, padded[:1])
        batch = logits(model, padded, attention_mask=mask)
        parts = in_parts(model, padded, [70, *[1] * (padded.shape[1] - 70)], mask=mask)
    for found in (batch, parts):
        torch.testing.assert_close(found[1:, padding:], alone, rtol=0, atol=5e-5)
        torch.testing.assert_close(found[:1], long, rtol=0, atol=5e-5)


@pytest.mark.parametrize("positions", [False, True])
@pytest.mark.parametrize("scheme", ["rope", *SCHEMES])
def test_padding_anywhere_changes_nothing(model, scheme, positions):
    """A prompt padded on the right, with a hole, behind padding, in many places; and the tokens that follow it."""
    words, prompt = tokens(4, 60), 54
    mask = torch.ones_like(words)
    mask[0, 20:prompt] = 0
    mask[1, 13:30] = 0
    mask[2, :9] = mask[2, 30:35] = 0
    mask[3, :prompt] = torch.rand(prompt, generator=torch.Generator().manual_seed(0)) < 0.6
    given = {"position_ids": (mask.cumsum(1) - 1).clamp(min=0)} if positions else {}
    with longspan.attached(model, scheme), torch.no_grad():
        at_once = logits(model, words, attention_mask=mask, **given)
        cache, parts = DynamicCache(), []
        for start, stop in itertools.pairwise([0, prompt, *range(prompt + 1, 61)]):
            now = {name: each[:, start:stop] for name, each in given.items()}
            known = mask[:, :stop]
            out = model(input_ids=words[:, start:stop], attention_mask=known, past_key_values=cache, **now)
            parts.append(out.logits)
        for row in range(4):
            real = mask[row].bool()
            alone = logits(model, words[row : row + 1, real])[0]
            for found in (at_once, torch.cat(parts, 1)):
                torch.testing.assert_close(found[row, real], alone, rtol=0, atol=5e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_static_cache_is_dynamic_cache(model, words, scheme):
    with longspan.attached(model, scheme):
        at_once = logits(model, words)
        static = StaticCache(config=model.config, max_cache_len=LENGTH + 5)
        sizes = [40, *[1] * 3, LENGTH - 43]
        torch.testing.assert_close(in_parts(model, words, sizes, cache=static), at_once, rtol=0, atol=2e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_method_does_something(model, words, scheme):
    plain = logits(model, words)
    with longspan.attached(model, scheme):
        assert (logits(model, words) - plain).std() > 0.05 * plain.std()


def test_neutral_settings_are_the_model_itself(model, words):
    plain = logits(model, words)
    for scheme in ("rope", "rerope(window=1000)", "window(size=1000)", "log_length(trained_length=1000)"):
        with longspan.attached(model, scheme):
            torch.testing.assert_close(logits(model, words), plain, rtol=0, atol=2e-5)


def test_detach_restores_every_bit(model, words):
    plain, state = logits(model, words), {name: value.clone() for name, value in model.state_dict().items()}
    attributes = {module: dict(module.__dict__) for module in model.modules()}
    for scheme in SCHEMES:
        with contextlib.suppress(ZeroDivisionError), longspan.attached(model, scheme):
            assert list(model.state_dict()) == list(state)
            assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
            logits(model, words)
            raise ZeroDivisionError
        assert torch.equal(logits(model, words), plain)
        for module, before in attributes.items():
            assert module.__dict__.keys() == before.keys()
            assert all(module.__dict__[name] is value for name, value in before.items() if name == "config")
            assert not module._forward_pre_hooks
            assert not module._forward_hooks


def test_attach_twice_is_attach_once(words):
    model = tiny_llama()
    plain = logits(model, words)
    once = logits(longspan.extend(model, "rerope(8)"), words)
    assert longspan.extend(model, "rerope(window=8)") is model
    assert torch.equal(logits(model, words), once)
    longspan.detach(model)
    assert torch.equal(logits(model, words), plain)
    assert longspan.detach(model) is model


def test_a_rotation_in_place_of_another_starts_from_the_model_itself(words):
    """The first leaves its frequencies in the model's buffers until it is taken off."""
    alone = logits(longspan.extend(tiny_llama(), "dynamic_ntk"), words)
    model = longspan.extend(tiny_llama(), "yarn(factor=4)")
    assert torch.equal(logits(longspan.extend(model, "dynamic_ntk"), words), alone)


def test_a_block_inside_an_extended_model_gives_it_back(words):
    model = longspan.extend(tiny_llama(), "rerope(8)")
    extended = logits(model, words)
    with longspan.attached(model, "window(12)"):
        assert not torch.equal(logits(model, words), extended)
    assert torch.equal(logits(model, words), extended)
    with longspan.attached(model, "rerope(8)"):
        assert torch.equal(logits(model, words), extended)
    assert torch.equal(logits(model, words), extended)
    with pytest.raises(RefusalError):
        longspan.extend(model, "alibi")
    assert torch.equal(logits(model, words), extended)


def test_models_side_by_side_even_with_one_config(words):
    config = tiny_llama().config
    torch.manual_seed(0)
    first, second, third = (LlamaForCausalLM(config).eval() for _ in range(3))
    alone = [logits(m, words) for m in (first, second, third)]
    with longspan.attached(first, "rerope(4)"):
        extended = logits(first, words)
    longspan.extend(first, "rerope(4)")
    longspan.extend(second, "rope(theta=1e6) + log_length")
    assert torch.equal(logits(third, words), alone[2])
    assert torch.equal(logits(first, words), extended)
    longspan.detach(first)
    assert torch.equal(logits(first, words), alone[0])
    assert not torch.equal(logits(second, words), alone[1])


def test_a_copy_of_an_extended_model_stands_alone(words):
    model = longspan.extend(tiny_llama(), "rerope(8)")
    extended = logits(model, words)
    twin = copy.deepcopy(model)
    longspan.detach(model)
    plain = logits(model, words)
    assert torch.equal(logits(twin, words), extended)
    longspan.detach(twin)
    assert torch.equal(logits(twin, words), plain)


# --- positions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
def test_gapped_positions_are_kept_in_the_cache(model, scheme):
    words, mask = tokens(1, 60), torch.ones(1, 60, dtype=torch.long)
    positions = torch.arange(60)[None] + 5 * (torch.arange(60)[None] // 20)
    with longspan.attached(model, scheme), torch.no_grad():
        at_once = logits(model, words, position_ids=positions, attention_mask=mask)
        cache, parts = DynamicCache(), []
        for start, stop in ((0, 30), (30, 31), (31, 60)):
            out = model(
                input_ids=words[:, start:stop],
                position_ids=positions[:, start:stop],
                attention_mask=mask[:, :stop],
                past_key_values=cache,
            )
            parts.append(out.logits)
    torch.testing.assert_close(torch.cat(parts, 1), at_once, rtol=0, atol=2e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_packed_documents_never_meet(model, scheme):
    first, second = tokens(1, 40, seed=2), tokens(1, 50, seed=3)
    packed = torch.cat([first, second], 1)
    positions = torch.cat([torch.arange(40), torch.arange(50)])[None]
    with longspan.attached(model, scheme):
        together = logits(model, packed, position_ids=positions)
        torch.testing.assert_close(together[:, :40], logits(model, first), rtol=0, atol=2e-5)
        torch.testing.assert_close(together[:, 40:], logits(model, second), rtol=0, atol=2e-5)


def test_plain_rope_through_frame_zero_keeps_packing_gaps_and_padding(model):
    """A distance that is never reached forces frame 0 and must be the model itself in every path."""
    words = tokens(2, 60)
    mask = torch.ones_like(words)
    mask[1, :9] = 0
    gapped = (torch.arange(60) + 5 * (torch.arange(60) // 20)).expand(2, -1)
    packed = torch.cat([torch.arange(25), torch.arange(35)]).expand(2, -1)
    calls = (
        {"attention_mask": mask},
        {"attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)},
        {"attention_mask": torch.ones_like(mask), "position_ids": gapped},
        {"position_ids": packed},
    )
    plain = [logits(model, words, **call) for call in calls]
    with longspan.attached(model, "rerope(window=1000)"):
        for call, expected in zip(calls, plain, strict=True):
            real = call.get("attention_mask", torch.ones_like(mask)).bool()
            torch.testing.assert_close(logits(model, words, **call)[real], expected[real], rtol=0, atol=2e-5)


# --- generation -------------------------------------------------------------------------------------------------------

GENERATIONS = {
    "greedy": {},
    "sampling": {"do_sample": True, "top_k": 20},
    "beam": {"num_beams": 3},
    "sequences": {"do_sample": True, "num_return_sequences": 3},
    "static": {"cache_implementation": "static"},
    "chunked": {"prefill_chunk_size": 16},
    "no cache": {"use_cache": False},
}


def generate(model, words, mask, **how):
    torch.manual_seed(7)
    how = {"do_sample": False, "max_new_tokens": 12} | how
    return model.generate(words, attention_mask=mask, **how)


@pytest.mark.parametrize("how", GENERATIONS)
def test_generation_through_frame_zero_gives_the_models_own_tokens(model, how):
    words, mask = tokens(2, 40), torch.ones(2, 40, dtype=torch.long)
    mask[1, :9] = 0
    expected = generate(model, words, mask, **GENERATIONS[how])
    with longspan.attached(model, "rerope(window=1000)"):
        assert torch.equal(generate(model, words, mask, **GENERATIONS[how]), expected)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("how", ["static", "chunked", "no cache", "prompt lookup", "assistant"])
def test_generation_does_not_depend_on_the_cache(model, scheme, how):
    words, mask = tokens(1, 40).repeat(1, 2), torch.ones(1, 80, dtype=torch.long)
    ways = GENERATIONS | {"prompt lookup": {"prompt_lookup_num_tokens": 3}, "assistant": {"assistant_model": model}}
    with longspan.attached(model, scheme):
        expected = generate(model, words, mask)
        if how == "assistant":
            ways["assistant"] = {"assistant_model": longspan.extend(tiny_llama(seed=3), "window(8)")}
        assert torch.equal(generate(model, words, mask, **ways[how]), expected)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "error", "message"),
    [
        ("alibi", RefusalError, "alibi needs training"),
        ("nope", RefusalError, "nope needs training"),
        ("nope + window(8)", RefusalError, "nope needs training"),
        ("hwfa", RefusalError, "nope needs training"),
        ("xpos", RefusalError, "xpos lets pairs shrink"),
        ("axial", RefusalError, "axial needs 2 coordinates"),
        ("yarn", SchemeError, "yarn leaves factor open"),
        ("yarn(factor=0.5)", SchemeError, "factor must be at least 1"),
        ("linear(0.5)", SchemeError, "factor must be at least 1"),
        ("self_extend", SchemeError, "group open"),
        ("softmax_plus_one", RefusalError, "softmax_plus_one needs training"),
        ("key_norm", RefusalError, "key_norm needs training"),
        ("unscaled", RefusalError, "unscaled replaces the scale"),
        ("rerop", NotationError, "did you mean 'rerope'"),
        ("rerope(window=-1)", SchemeError, "window must be at least 0"),
    ],
)
def test_bad_schemes_are_one_clear_line(model, scheme, error, message):
    with pytest.raises(error, match=message) as raised:
        longspan.extend(model, scheme)
    assert "\n" not in str(raised.value)


def test_a_name_is_no_model_and_the_error_says_how_to_load_one():
    with pytest.raises(RefusalError, match=r"got 'bundled': load and extend in one step with longspan\.load"):
        check_arguments("bundled", 64)


@pytest.mark.parametrize("length", [-5, 0, 1.5, "32k"])
def test_a_length_that_is_none_is_one_line(model, length):
    with pytest.raises(InputError, match="length must be a whole number of tokens, at least 1, got"):
        check_arguments(model, length)
    if isinstance(length, int):
        with pytest.raises(InputError, match="length must be"):
            longspan.extend(model, "rerope(8)", length=length)


def test_a_model_without_rope_is_refused():
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=97, n_embd=32, n_layer=1, n_head=2))
    with pytest.raises(RefusalError, match="no rotary position embedding"):
        longspan.extend(model, "rerope(8)")


def test_a_ready_mask_tensor_is_refused(model):
    words = tokens(1, 8)
    mask = torch.ones(1, 1, 8, 8, dtype=torch.bool).tril()
    with longspan.attached(model, "rerope(4)"), pytest.raises(RefusalError, match="2-D attention_mask"):
        logits(model, words, attention_mask=mask)


def test_attention_dropout_is_refused_in_training(words):
    model = longspan.extend(tiny_llama(attention_dropout=0.1), "rerope(8)")
    model.train()
    with pytest.raises(RefusalError, match="attention dropout"):
        model(input_ids=words)


def test_continuous_batching_is_refused(model, words):
    from transformers import GenerationConfig

    config = GenerationConfig(max_new_tokens=2, do_sample=False, eos_token_id=-1)
    with longspan.attached(model, "rerope(8)"), pytest.raises(ValueError, match="longspan is not supported"):
        model.generate_batch(inputs=[words[0, :9].tolist()], generation_config=config)


def test_compiled_is_eager(model, words):
    for scheme in ("rerope(8)", "rope(theta=1e6)"):
        with longspan.attached(model, scheme), torch.no_grad():
            compiled = torch.compile(model, backend="eager")
            found = compiled(input_ids=words, use_cache=False).logits
            torch.testing.assert_close(found, logits(model, words), rtol=0, atol=1e-5)
        torch.compiler.reset()


def test_low_rank_adapters_train_under_an_extension(words):
    import peft

    config = peft.LoraConfig(target_modules=["q_proj", "v_proj"], r=4, lora_dropout=0.0)
    model = peft.get_peft_model(tiny_llama(), config)
    with longspan.attached(model, "rerope(8)"):
        torch.testing.assert_close(logits(model.eval(), words), extended_logits(words, "rerope(8)"), rtol=0, atol=1e-5)
        model.train()(input_ids=words, labels=words).loss.backward()
    grads = [p.grad for name, p in model.named_parameters() if "lora_B" in name]
    assert all(grad is not None and grad.abs().max() > 0 for grad in grads)


def extended_logits(words, scheme) -> torch.Tensor:
    return logits(longspan.extend(tiny_llama(), scheme), words)


def test_gradients_flow(words):
    model = tiny_llama()
    plain = model(input_ids=words, labels=words, use_cache=False)
    plain.loss.backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    with longspan.attached(model, "rerope(window=1000)"):
        model(input_ids=words, labels=words, use_cache=False).loss.backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.grad, expected[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("length", [LENGTH, 6])
def test_gradient_checkpointing_recomputes_in_its_own_step(words, length, reentrant):
    """Few tokens too: what was found without a graph does not serve the recomputation, which makes one."""

    def gradients(checkpointing: bool) -> list[torch.Tensor]:
        model = longspan.extend(tiny_llama().train(), "rerope(4)")
        model.enable_input_require_grads()
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": reentrant})
        short = model(input_ids=words[:, : length // 2], labels=words[:, : length // 2], use_cache=False).loss
        long = model(input_ids=words[:, :length], labels=words[:, :length], use_cache=False).loss
        (short + long).backward()
        return [p.grad for p in model.parameters() if p.grad is not None]

    for found, expected in zip(gradients(True), gradients(False), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("scheme", "kinds"), [("rerope(8)", 1), ("log_length", 1), ("tile('AB', A=rope + window(12), B=rerope(8))", 2)]
)
def test_what_a_step_has_to_do_is_found_once_for_all_layers_that_do_it(words, monkeypatch, scheme, kinds):
    model = longspan.extend(tiny_llama(num_hidden_layers=4), scheme)
    built, builder = [], prepare.StepBuilder
    monkeypatch.setattr(prepare, "StepBuilder", lambda **given: built.append(given) or builder(**given))
    forget()
    in_parts(model, words, [LENGTH - 1, 1])
    assert len(built) == kinds
    in_parts(longspan.extend(tiny_llama(num_hidden_layers=2), scheme), words, [LENGTH - 1, 1])
    assert len(built) == kinds  # another model with equal tensors shares them


class Wrapper(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, **inputs):
        return self.model(**inputs)

    def get_input_embeddings(self):
        return self.model.get_input_embeddings()


def test_a_wrapped_model_is_extended_through_its_wrapper(words):
    model = tiny_llama()
    with longspan.attached(model, "rerope(8)"):
        expected = logits(model, words)
    with longspan.attached(Wrapper(model), "rerope(8)") as wrapped:
        assert torch.equal(logits(wrapped, words), expected)


def test_config_says_what_is_missing():
    config = LlamaConfig(max_position_embeddings=0, num_hidden_layers=1, hidden_size=32, num_attention_heads=2)
    with pytest.raises(RefusalError, match="no max_position_embeddings"):
        longspan.extend(LlamaForCausalLM(config), "rerope(8)")
