"""Encoders read in both directions: they take other fixed frequencies and nothing else."""

import copy

import pytest
import torch
from transformers import AutoModelForMaskedLM, PreTrainedModel

import longspan
from longspan.errors import RefusalError
from pretrained.families import matter, small_config

WORDS = torch.randint(3, 119, (2, 40), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def modernbert() -> PreTrainedModel:
    return matter(AutoModelForMaskedLM.from_config(small_config("modernbert"), dtype=torch.float32).eval())


@torch.no_grad()
def logits(model: PreTrainedModel) -> torch.Tensor:
    return model(input_ids=WORDS).logits


def test_fixed_frequencies_are_what_transformers_makes_of_them(modernbert):
    """Its sliding layers have a rope of their own, which stays."""
    plain = logits(modernbert)
    config = copy.deepcopy(modernbert.config)
    config.rope_parameters["full_attention"] |= {"rope_type": "linear", "factor": 2.0}
    theirs = AutoModelForMaskedLM.from_config(config, dtype=torch.float32).eval()
    theirs.load_state_dict(modernbert.state_dict())
    with longspan.attached(modernbert, "linear(factor=2)"):
        found = logits(modernbert)
    torch.testing.assert_close(found, logits(theirs), rtol=0, atol=2e-5 * float(plain.std()))
    assert (found - plain).std() > 0.2 * plain.std()
    assert torch.equal(logits(modernbert), plain)


@pytest.mark.parametrize("scheme", ["rerope(window=6)", "window(size=8)", "log_length(trained_length=8)"])
def test_the_rest_is_refused(modernbert, scheme):
    with pytest.raises(RefusalError, match="sees later tokens"):
        longspan.extend(modernbert, scheme)
