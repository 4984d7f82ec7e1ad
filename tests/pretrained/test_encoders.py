"""Encoders read in both directions: designs and extensions of them keep that, padding and packed documents included."""

import copy
from math import log
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoModelForMaskedLM, PreTrainedModel

import longspan
from longspan.errors import LongspanError, RefusalError
from longspan.measure.models.model import LoadedModel
from longspan.train.head import head_of, text_model
from pretrained.families import matter, small_config
from tiny import llama

TOKENS = 40
WORDS = torch.randint(3, 119, (2, TOKENS), generator=torch.Generator().manual_seed(0))
ARCHITECTURES = ("modernbert", "eurobert", "nomic_bert", "ultrabert")
"""The first and the last have layers that see a window; the others see everything."""
WINDOWED = {"modernbert": "AS", "ultrabert": "SA"}
"""Their layers in order, S for those that see a window."""
WINDOW = 3
"""Tokens on either side that those layers see, so that their long texts need no mask of queries × keys."""
ROUNDING = 1e-5
"""What another order of sums may make, in standard deviations."""


def untrained(architecture: str) -> PreTrainedModel:
    config = small_config(architecture)
    if hasattr(config, "sliding_window"):
        config.sliding_window = WINDOW
    if hasattr(config, "local_attention"):
        config.local_attention = 2 * WINDOW
    torch.manual_seed(0)
    return matter(AutoModelForMaskedLM.from_config(config, dtype=torch.float64).eval())


PLAIN = {architecture: untrained(architecture) for architecture in ARCHITECTURES}
OWN = "rope + bidirectional"
SEEN = f"rope + bidirectional + window({TOKENS})"
"""The same as `OWN` on these texts, but computed by `attend`."""


def designed(architecture: str, plan: str) -> PreTrainedModel:
    return longspan.design(copy.deepcopy(PLAIN[architecture]), plan)


DESIGNED = {(name, plan): designed(name, plan) for name in ARCHITECTURES for plan in (OWN, SEEN)}


@torch.no_grad()
def logits(model: Any, **given: Tensor) -> Tensor:
    return model(**{"input_ids": WORDS, **given}).logits


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=ROUNDING * float(wanted.std()))


@pytest.fixture(scope="module")
def modernbert() -> PreTrainedModel:
    return PLAIN["modernbert"]


@pytest.mark.parametrize("plan", [OWN, SEEN])
@pytest.mark.parametrize("architecture", ["modernbert", "eurobert"])
@settings(max_examples=12)
@given(padding=st.tuples(st.integers(-20, 20), st.integers(-20, 20)))
def test_a_plain_plan_is_the_architecture_itself(architecture: str, plan: str, padding: tuple[int, int]) -> None:
    """Whatever the padding: a number above 0 is on the left of a row, one below on its right."""
    real = torch.ones_like(WORDS, dtype=torch.bool)
    for row, count in enumerate(padding):
        real[row, : max(count, 0)] = False
        real[row, TOKENS + min(count, 0) :] = False
    given = {"attention_mask": real.long()}
    close(logits(DESIGNED[architecture, plan], **given)[real], logits(PLAIN[architecture], **given)[real])


@pytest.mark.parametrize("plan", [OWN, SEEN, "alibi + bidirectional"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_packed_documents_are_read_as_if_each_were_alone(architecture: str, plan: str) -> None:
    if plan not in (OWN, SEEN) and architecture in WINDOWED:  # layers that see a window keep what they do
        plan = f"tile('{WINDOWED[architecture]}', A={plan}, S={OWN})"
    model = DESIGNED.get((architecture, plan)) or designed(architecture, plan)
    lengths = (1, 7, 20, 12)
    positions = torch.cat([torch.arange(count) for count in lengths])[None]
    together = logits(model, position_ids=positions)
    alone = [logits(model, input_ids=part) for part in WORDS.split(lengths, dim=1)]
    close(together, torch.cat(alone, 1))
    assert (together - logits(model)).std() > 0.1 * together.std()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_head_makes_logits_of_hidden_states(architecture: str) -> None:
    model = PLAIN[architecture]
    with torch.no_grad():
        hidden = text_model(model)(input_ids=WORDS).last_hidden_state
        close(head_of(model)(hidden[:, ::3]), logits(model)[:, ::3])


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        ("rope", r"sees later tokens, as encoders do: add ' \+ bidirectional' to the plan"),
        ("gau", "gau reads from left to right, and ModernBertModel sees later tokens"),
    ],
)
def test_a_design_that_sees_less_than_its_architecture_is_refused(plan: str, why: str) -> None:
    with pytest.raises(RefusalError, match=why):
        designed("modernbert", plan)


def test_fixed_frequencies_are_what_transformers_makes_of_them(modernbert) -> None:
    """Its sliding layers have a rope of their own, which stays."""
    plain = logits(modernbert)
    config = copy.deepcopy(modernbert.config)
    config.rope_parameters["full_attention"] |= {"rope_type": "linear", "factor": 2.0}
    theirs = AutoModelForMaskedLM.from_config(config, dtype=torch.float64).eval()
    theirs.load_state_dict(modernbert.state_dict())
    with longspan.attached(modernbert, "linear(factor=2)"):
        found = logits(modernbert)
    torch.testing.assert_close(found, logits(theirs), rtol=0, atol=2e-5 * float(plain.std()))
    assert (found - plain).std() > 0.2 * plain.std()
    assert torch.equal(logits(modernbert), plain)


def test_a_window_is_that_of_a_mask_of_pairs() -> None:
    """transformers hands a mask of queries × keys to every layer as it is."""
    model = PLAIN["eurobert"]
    order = torch.arange(TOKENS)
    near = ((order[:, None] - order).abs() <= 8).expand(2, 1, -1, -1)
    with longspan.attached(model, "window(size=8)"):
        found = logits(model)
    close(found, logits(model, attention_mask=near))
    assert (found - logits(model)).std() > 0.1 * found.std()


def test_log_length_counts_all_tokens() -> None:
    """Every query of an encoder sees the whole text, so that its queries grow by one factor."""
    model = PLAIN["eurobert"]
    larger = copy.deepcopy(model)
    with torch.no_grad():
        for layer in larger.model.layers:
            layer.self_attn.q_proj.weight *= log(TOKENS) / log(8)
    with longspan.attached(model, "log_length(trained_length=8)"):
        close(logits(model), logits(larger))


@pytest.mark.parametrize("scheme", ["rerope(window=6)", "leaky_rerope(window=6, k=4)"])
def test_a_distance_is_the_same_to_either_side(modernbert, scheme: str) -> None:
    """A text read backwards: what changes its order alone changes nothing but the order of its results."""
    backwards = {"input_ids": WORDS.flip(1), "position_ids": torch.arange(TOKENS).flip(0)[None]}
    with longspan.attached(modernbert, scheme):
        found = logits(modernbert)
        mask = torch.ones_like(WORDS)  # without it, positions that do not grow begin documents
        close(logits(modernbert, attention_mask=mask, **backwards).flip(1), found)
    assert (found - logits(modernbert)).std() > 0.1 * found.std()


def test_a_call_in_another_direction_than_before_is_refused() -> None:
    """Some configs say at any time whether masks are causal."""
    model = copy.deepcopy(llama(120)).eval()
    longspan.extend(model, "window(8)")
    logits(model)
    model.config.is_causal = model.model.config.is_causal = False
    with pytest.raises(RefusalError, match="lets tokens see later ones, which the model did not when it was extended"):
        logits(model)


def test_what_looks_back_alone_is_refused(modernbert) -> None:
    with pytest.raises(RefusalError, match="self_extend is causal only, and this model sees later tokens"):
        longspan.extend(modernbert, "self_extend(group=2, window=4)")


def test_a_folder_of_an_encoder_is_loaded_and_extended_and_not_measured(modernbert, tmp_path: Path) -> None:
    modernbert.save_pretrained(tmp_path)
    loaded = longspan.load(tmp_path)
    assert torch.equal(logits(loaded), logits(modernbert))
    with longspan.attached(modernbert, "rerope(window=6)"):
        close(logits(longspan.load(tmp_path, "rerope(window=6)")), logits(modernbert))
    with pytest.raises(LongspanError, match="sees the tokens that it would have to predict"):
        LoadedModel.load(str(tmp_path), "float32")
