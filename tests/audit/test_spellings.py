"""A law: spellings of one config that transformers computes the same frequencies from give one audit and one export."""

from dataclasses import asdict, replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from longspan.audit.audit import audit_of
from longspan.audit.checkpoint import Checkpoint, of_raw
from longspan.pretrained.anatomy.config import geometry
from longspan.pretrained.storing.runtimes import runtime_flags

ORIGINAL = 512
SIZES = {
    "hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 64, "sliding_window": None,
}  # fmt: skip
FAMILIES = ("llama", "qwen3", "mistral", "olmo2")
LISTS = {"short_factor": [1.0 + 0.1 * i for i in range(8)], "long_factor": [1.0 + 0.5 * i for i in range(8)]}
KINDS: dict[str, dict[str, Any]] = {
    "yarn": {"factor": 4},
    "longrope": {"factor": 4, **LISTS},
    "llama3": {"factor": 4, "low_freq_factor": 1, "high_freq_factor": 4},
}


def spelt(
    family: str, kind: str, promised: int, *, name: str, key: str, beside: bool, base_beside: bool, real: bool
) -> dict[str, Any]:
    """One way to write the same numbers.

    Arguments:
        name: of the dict, "rope_scaling" or "rope_parameters".
        key: of the kind, "type" or "rope_type"; "both" for both.
        beside: whether the original length is beside the dict, and not in it.
        base_beside: whether the base is.
        real: whether whole numbers are written as floats.
    """
    numbers = {each: float(value) if real and isinstance(value, int) else value for each, value in KINDS[kind].items()}
    inside = numbers | dict.fromkeys(("type", "rope_type") if key == "both" else (key,), kind)
    outside: dict[str, Any] = {"model_type": family, "max_position_embeddings": promised} | SIZES
    (outside if beside else inside)["original_max_position_embeddings"] = ORIGINAL
    (outside if base_beside else inside)["rope_theta"] = 5e5
    return outside | {name: inside}


@cache
def audited(checkpoint: Checkpoint) -> dict[str, Any]:
    """All that an audit says but for the names of fields."""
    found = audit_of(checkpoint)
    without = [{key: value for key, value in each.numbers.items() if key != "type"} for each in found.rotations]
    rotations = tuple(replace(each, numbers=numbers) for each, numbers in zip(found.rotations, without, strict=True))
    said = asdict(replace(found, fields=(), findings=(), rotations=rotations))
    return said | {"findings": [(each.check, each.severity) for each in found.findings]}


spellings = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["rope_scaling", "rope_parameters"]),
        "key": st.sampled_from(["type", "rope_type", "both"]),
        "beside": st.booleans(),
        "base_beside": st.booleans(),
        "real": st.booleans(),
    }
)
AS_TODAY: dict[str, Any] = {
    "name": "rope_parameters",
    "key": "rope_type",
    "beside": False,
    "base_beside": False,
    "real": True,
}


@given(st.sampled_from(FAMILIES), st.sampled_from(sorted(KINDS)), st.sampled_from([ORIGINAL, 4 * ORIGINAL]), spellings)
@settings(max_examples=12)
def test_spellings_of_one_config_are_one(family: str, kind: str, promised: int, spelling: dict[str, Any]) -> None:
    one, other = (of_raw("given", spelt(family, kind, promised, **each)) for each in (AS_TODAY, spelling))
    first, second = (AutoModelForCausalLM.from_config(each.reread(each.raw)) for each in (one, other))
    assert first.model.rotary_emb.inv_freq.equal(second.model.rotary_emb.inv_freq)  # the premise
    assert geometry(one.config) == geometry(other.config)
    for scheme in ("yarn", "rope", "linear(factor=2)"):
        assert runtime_flags(one.config, scheme, 4096) == runtime_flags(other.config, scheme, 4096)
    assert audited(one) == audited(other)


@pytest.mark.parametrize("kind", KINDS)
def test_an_original_length_that_another_one_overrules_is_found(kind: str) -> None:
    """transformers takes the one beside the rotation parameters."""
    spelling: dict[str, Any] = {**AS_TODAY, "beside": True}
    raw = spelt("llama", kind, 4 * ORIGINAL, **spelling)
    raw["rope_parameters"]["original_max_position_embeddings"] = 2 * ORIGINAL
    found = audit_of(of_raw("given", raw))
    assert found.rotations[0].numbers["original_max_position_embeddings"] == ORIGINAL
    (wrong,) = (each for each in found.findings if each.severity == "failure" and each.check == "no_effect")
    assert wrong.where == "rope_parameters.original_max_position_embeddings"
    assert "wins over it" in wrong.what
