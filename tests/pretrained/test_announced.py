"""While a model is extended, everything that names a length names the longer one; afterwards it is what it was."""

import copy
import logging
import warnings
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedConfig

import longspan
from longspan.pretrained.attachment import attachment_of
from pretrained.families import small_model
from pretrained.models import TRAINED, logits, tiny_llama, tokens
from pretrained.test_families import FAMILIES
from tiny import words_tokenizer

LONG = 4 * TRAINED
SCHEMES = ("rerope(window=8)", "linear(factor=3)", "log_length", "window(size=12, sinks=2)")


def everything_said(model) -> dict[str, object]:
    """What configs and generation configs of a model hold, and which objects they are."""
    said: dict[str, object] = {}
    for name, module in model.named_modules():
        for attribute in ("config", "generation_config"):
            if (found := module.__dict__.get(attribute)) is not None:
                said[f"{name}.{attribute}"] = id(found)
                said[f"{name}.{attribute}: "] = copy.deepcopy(found.to_dict())
    return said


def length_said(model) -> int:
    return model.config.get_text_config(decoder=True).max_position_embeddings


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return small_model(request.param)


def schemes_of(model) -> list[str]:
    taken = []
    for scheme in SCHEMES:
        try:
            with longspan.attached(model, scheme):
                taken.append(scheme)
        except longspan.errors.RefusalError:
            continue
    return taken


@given(st.data())
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_of_attaching_and_detaching_ends_where_it_began(family, data):
    before, own = everything_said(family), length_said(family)
    schemes = schemes_of(family)
    assert schemes
    for _ in range(data.draw(st.integers(1, 4))):
        if data.draw(st.booleans()):
            longspan.detach(family)
            assert length_said(family) == own
        else:
            length = data.draw(st.sampled_from([None, own // 2, own, 3 * own, 4 * own]))
            longspan.extend(family, data.draw(st.sampled_from(schemes)), length=length)
            assert length_said(family) == max(own, length or 0)
            inner = data.draw(st.sampled_from([5 * own, own]))
            with longspan.attached(family, data.draw(st.sampled_from(schemes)), length=inner):
                assert length_said(family) == inner
            assert length_said(family) == max(own, length or 0)
    longspan.detach(family)
    assert everything_said(family) == before


def test_frequencies_do_not_follow_the_length_that_is_named(family):
    """With and without a length, a scheme with all numbers written out is the same model."""
    words = tokens(1, 40)
    for scheme in schemes_of(family)[:2]:
        with longspan.attached(family, scheme if scheme != "log_length" else "log_length(trained_length=8)"):
            expected = logits(family, words)
        with longspan.attached(
            family, scheme if scheme != "log_length" else "log_length(trained_length=8)", length=4 * length_said(family)
        ):
            assert (logits(family, words) == expected).all()


@pytest.mark.parametrize("limit", [None, TRAINED], ids=["no limit", "a limit in the generation config"])
@pytest.mark.parametrize("how", [{"max_new_tokens": 3}, {}], ids=["max_new_tokens", "defaults"])
def test_a_prompt_beyond_the_trained_length_is_generated_from(caplog, limit, how):
    model: Any = tiny_llama()
    words = tokens(1, 2 * TRAINED)
    model.generation_config.max_length = limit
    both = "Both `max_new_tokens`"  # what transformers says about such a config without us as well
    own = "model-agnostic default"
    with longspan.attached(model, "rerope(window=8)", length=LONG), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with caplog.at_level(logging.WARNING, "transformers"):
            found = model.generate(words, do_sample=False, **how)
    assert found.shape[1] > words.shape[1]
    assert found.shape[1] <= LONG
    assert [str(each.message) for each in caught if own not in str(each.message)] == []
    assert [record.message for record in caplog.records if both not in record.message] == []
    assert model.generation_config.max_length == limit


def test_a_limit_below_the_models_own_is_the_users():
    model = tiny_llama()
    model.generation_config.max_length = TRAINED - 5
    with longspan.attached(model, "rerope(window=8)", length=LONG):
        assert model.generation_config.max_length == TRAINED - 5


def test_a_limit_that_is_set_meanwhile_stays():
    model = tiny_llama()
    model.generation_config.max_length = TRAINED
    with longspan.attached(model, "rerope(window=8)", length=LONG):
        model.generation_config.max_length = 7
    assert model.generation_config.max_length == 7


def test_the_tokenizer_that_is_given_names_the_length(caplog):
    tokenizer, model = words_tokenizer(), tiny_llama()
    tokenizer.model_max_length = TRAINED
    text = "the sun rose . " * TRAINED
    with longspan.attached(model, "rerope(window=8)", length=5 * TRAINED, tokenizer=tokenizer):
        assert tokenizer.model_max_length == 5 * TRAINED
        with caplog.at_level(logging.WARNING, "transformers"):
            tokenizer(text)
        with longspan.attached(model, "rerope(window=8)", length=6 * TRAINED):
            assert tokenizer.model_max_length == 6 * TRAINED
        assert tokenizer.model_max_length == 5 * TRAINED
    assert tokenizer.model_max_length == TRAINED
    assert caplog.records == []


def test_the_same_scheme_at_another_length_names_that_length():
    model = longspan.extend(tiny_llama(), "rerope(window=8)", length=LONG)
    assert length_said(longspan.extend(model, "rerope(window=8)", length=2 * LONG)) == 2 * LONG
    present = attachment_of(model)
    assert attachment_of(longspan.extend(model, "rerope(window=8)", length=2 * LONG)) is present


def test_two_models_of_one_config_do_not_hear_of_each_other():
    first = tiny_llama()
    second = type(first)(first.config)
    with longspan.attached(first, "rerope(window=8)", length=LONG):
        assert length_said(second) == TRAINED
    assert isinstance(second.config, PreTrainedConfig)


def test_rotary_modules_keep_the_length_they_compute_from():
    """A module that recomputes its frequencies may read it in every call."""
    model = tiny_llama()
    with longspan.attached(model, "log_length", length=LONG):
        assert length_said(model) == LONG
        assert model.get_submodule("model.rotary_emb").__dict__["config"].max_position_embeddings == TRAINED
