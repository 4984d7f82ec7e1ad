"""Two laws over every causal model type of transformers: no false alarm, and no planted mistake missed."""

import copy
from functools import cache

import pytest
from huggingface_hub.errors import StrictDataclassError
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from audit.planted import MISTAKES, Mistake
from audit.published import PUBLISHED
from longspan.audit.checkpoint import Checkpoint, of_raw
from longspan.audit.checks import checks, findings
from longspan.audit.finding import Finding
from longspan.audit.subject import Subject
from longspan.errors import RefusalError
from pretrained.families import model_types, small_config


@cache
def shipped(model_type: str) -> Checkpoint | None:
    """The family's own config, its sizes made small; None where transformers itself builds no model of it here."""
    try:
        config = small_config(model_type)
        checkpoint = Checkpoint(model_type, config.to_dict(), type(config))
        checkpoint.observation  # noqa: B018
    except (RefusalError, ValueError, StrictDataclassError):
        return None
    return checkpoint


def failures(checkpoint: Checkpoint, check: str | None = None) -> list[Finding]:
    subject = Subject(checkpoint)
    found = findings(subject) if check is None else checks()[check](subject)
    return [finding for finding in found if finding.severity == "failure"]


@pytest.mark.parametrize("model_type", model_types())
def test_a_config_as_shipped_is_no_mistake(model_type: str) -> None:
    checkpoint = shipped(model_type)
    if checkpoint is None:
        pytest.skip("transformers builds no such model here")
    assert failures(checkpoint) == []


def test_few_families_are_skipped() -> None:
    """Guards the law above: what cannot be built is a handful of wrappers."""
    assert sum(shipped(model_type) is None for model_type in model_types()) <= 8


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_config_is_no_mistake(name: str) -> None:
    """In full width, six layers deep, and in the spelling of its day."""
    raw = copy.deepcopy(PUBLISHED[name])
    raw.get("text_config", raw)["num_hidden_layers"] = 6
    assert failures(of_raw(name, raw)) == []


@given(st.sampled_from(model_types()), st.sampled_from(MISTAKES))
@settings(max_examples=60)
def test_a_planted_mistake_is_found(model_type: str, mistake: Mistake) -> None:
    checkpoint = shipped(model_type)
    assume(checkpoint is not None)
    assert checkpoint is not None
    planted = mistake.planted(checkpoint)
    assume(planted is not None)
    assert planted is not None
    refused = failures(planted, "builds")  # the family itself does not take it
    assert refused or failures(planted, mistake.check), f"{model_type}: {mistake.name}"


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_every_mistake_can_happen_and_is_found(mistake: Mistake) -> None:
    """Guards the law above: each mistake fits one of these families at least, and is found in all that it fits."""
    families = ("llama", "gemma3", "gemma3_text", "deepseek_v3", "cohere2_moe")
    found = [
        failures(planted, mistake.check)
        for model_type in families
        if (checkpoint := shipped(model_type)) is not None and (planted := mistake.planted(checkpoint)) is not None
    ]
    assert found
    assert all(found)


def test_every_check_is_planted_or_tested_by_itself() -> None:
    """A new check needs a mistake that it finds."""
    assert set(checks()) == {mistake.check for mistake in MISTAKES} | {"dropped", "window"}
