"""The whole audit: numbers that can be checked by hand, and what it says when something is missing."""

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from audit.published import DEEPSEEK_V3, GEMMA_3_1B, LLAMA_31_8B, MISTRAL_7B_V01, PHI_3_MINI_128K, QWEN_25_7B
from longspan.audit.audit import LONGEST, audit, audit_of
from longspan.audit.checkpoint import of_raw
from longspan.audit.report import Audit
from longspan.errors import InputError, RefusalError


def audited(raw: dict[str, Any], length: int | None = None, **changes: Any) -> Audit:
    """In full width, and six layers deep unless said otherwise."""
    changes = {"num_hidden_layers": 6, **changes}
    return audit_of(of_raw("given", copy.deepcopy(raw) | changes), length)


def test_llama_31() -> None:
    """Eight key-value heads of 128 in 32 layers are 128 KiB per token, in six 24; its rescaling divides by 1 … 8."""
    found = audited(LLAMA_31_8B)
    (group,), (rotation,) = found.layers, found.rotations
    assert (group.attention, group.count, group.cache_bytes_per_token) == ("GQA", 6, 24576)
    assert found.cache_bytes == 24576 * 131072
    assert found.cache_bytes_fp8 == 12288 * 131072
    assert (rotation.rescaling, rotation.channels, rotation.theta) == ("llama3", 128, 5e5)
    assert rotation.rescaled_by == pytest.approx((1, 8))
    assert (found.trained_length, found.original_length) == (131072, 8192)
    assert "count from 8192" in found.assumed
    assert rotation.from_original is not None
    assert rotation.from_original.unseen_pairs > 0
    assert rotation.turns.unseen_pairs == 0


def test_deepseek_v3_caches_latents() -> None:
    """512 channels of latent and 64 of rotated key per layer, in bfloat16."""
    (group,) = audited(DEEPSEEK_V3).layers
    assert (group.attention, group.cache_bytes_per_token) == ("MLA", 6 * 576 * 2)


def test_gemma_3_caches_windows() -> None:
    found = audited(GEMMA_3_1B)
    sliding, full = found.layers
    assert (sliding.window, sliding.seen, sliding.attention) == (512, 512, "MQA")
    assert sliding.cache_bytes == 5 * 2 * 256 * 2 * 511
    assert full.cache_bytes == 1 * 2 * 256 * 2 * 32768
    by_kind = {rotation.kinds: rotation for rotation in found.rotations}
    assert by_kind["sliding_attention",].theta == 1e4
    assert by_kind["sliding_attention",].base.length == 512
    assert by_kind["full_attention",].theta == 1e6


def test_an_unused_window_is_said_to_do_nothing() -> None:
    """Qwen 2.5 names a window and does not use it."""
    fields = {field.where: field for field in audited(QWEN_25_7B).fields}
    assert fields["rope_theta"].effect == "has effect"
    assert (fields["sliding_window"].effect, fields["sliding_window"].reason) == (
        "no effect",
        "it changes no layer's window",
    )
    assert fields["max_position_embeddings"].effect == "no effect"


def test_a_window_that_is_used_has_an_effect() -> None:
    fields = {field.where: field.effect for field in audited(MISTRAL_7B_V01).fields}
    assert fields["sliding_window"] == "has effect"


def test_a_longer_text_shows_unseen_angles() -> None:
    """18 of 64 pairs of base 10000 complete no turn in 4096 tokens, and reach new angles in 8192."""
    found = audited(MISTRAL_7B_V01, 8192, sliding_window=None, max_position_embeddings=4096)
    (rotation,) = found.rotations
    assert (rotation.turns.incomplete, rotation.turns.unseen_pairs) == (18, 18)
    assert not rotation.base.satisfied
    assert rotation.base.first_negative == 1707


def test_no_length_in_the_config_is_assumed_and_said() -> None:
    raw = {"model_type": "bloom", "hidden_size": 64, "n_layer": 2, "n_head": 4, "vocab_size": 100}
    with pytest.raises(InputError, match="--to N"):
        audited(raw)
    found = audited(raw, 2048)
    assert found.trained_length == 2048
    assert "names no length" in found.assumed


@pytest.mark.parametrize("length", [0, -5, LONGEST + 1])
def test_a_length_out_of_range_is_refused(length: int) -> None:
    with pytest.raises(InputError, match="--to must be 1"):
        audited(LLAMA_31_8B, length)


def test_a_config_that_makes_no_model_is_still_audited() -> None:
    found = audited(LLAMA_31_8B, rope_scaling={"rope_type": "yarrn", "factor": 2.0})
    assert found.failed
    assert found.layers == ()
    (finding,) = (each for each in found.findings if each.check == "builds")
    assert "did you mean 'yarn'?" in finding.do


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(RefusalError, match=r"does not know; did you mean 'llama'\?"):
        of_raw("given", {"model_type": "lama"})


def test_the_bundled_model_has_no_mistake() -> None:
    found = audit("bundled", 4096)
    assert found.findings == ()
    assert not found.failed


def test_json_holds_the_same() -> None:
    found = audited(GEMMA_3_1B)
    again = json.loads(json.dumps(found.as_json()))
    assert again["layers"][0]["cache_bytes"] == found.layers[0].cache_bytes
    assert again["rotations"][0]["frequencies"] == list(found.rotations[0].frequencies)
    assert again["failed"] is False


@pytest.mark.parametrize(("length", "failed"), [(None, False), (4096, False), (4097, True), (6000, True)])
def test_dynamic_scaling_counts_from_the_first_token_beyond(length: int | None, failed: bool) -> None:
    """Leaving the length out is asking for the promised one."""
    rope = {"rope_type": "dynamic", "factor": 2.0}
    found = audited(QWEN_25_7B, length, num_hidden_layers=1, max_position_embeddings=4096, rope_scaling=rope)
    assert found.failed == failed
    assert found.rotations[0].changes_at[0] == 4097


@pytest.mark.parametrize("length", [4096, 4097, 6000, 12000])
def test_longrope_is_counted_with_the_list_of_the_length(length: int) -> None:
    """Phi-3 has two lists, and 6000 tokens are read with the long one, whose factors are 1 + pair / 2 here."""
    (rotation,) = audited(PHI_3_MINI_128K, length, num_hidden_layers=1).rotations
    slowest = 1e4 ** (-94 / 96) / (1.94 if length <= 4096 else 24.5)
    assert rotation.frequencies[-1] == pytest.approx(slowest, rel=1e-6)


@pytest.mark.parametrize("promised", [32768, 40960, 131072])
def test_a_yarn_as_its_card_says_is_counted_from_what_it_reaches(promised: int) -> None:
    """Qwen's cards leave max_position_embeddings as it was: the rotation is the same, and so is what it shows."""
    rope = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    found = audited(QWEN_25_7B, 131072, num_hidden_layers=1, max_position_embeddings=promised, rope_scaling=rope)
    (rotation,) = found.rotations
    assert (found.trained_length, found.original_length) == (131072, 32768)
    assert rotation.turns.unseen_pairs == 0
    assert rotation.from_original is not None


def test_a_window_wider_than_the_text_is_none() -> None:
    """Phi-3 names a window of 262144 tokens for texts of 131072."""
    wide, none = (audited(PHI_3_MINI_128K, num_hidden_layers=1, sliding_window=window) for window in (262144, None))
    (with_window,), (without,) = wide.rotations, none.rotations
    assert replace(with_window, kinds=without.kinds) == without
    assert wide.rotations[0].from_original is not None
    assert wide.cost == none.cost
    assert wide.cost is not None
    assert wide.cost.crossing


def test_a_step_of_llama_3_is_known() -> None:
    """Llama 4 Scout: both ends of the ramp are 1."""
    ends = {"low_freq_factor": 1.0, "high_freq_factor": 1.0}
    rope = LLAMA_31_8B["rope_scaling"] | ends | {"factor": 16.0}
    found = audited(LLAMA_31_8B, num_hidden_layers=1, rope_scaling=rope)
    assert (found.original_length, found.rotations[0].theta) == (8192, 5e5)
    assert not found.failed


@pytest.mark.parametrize("theta", [float("nan"), -1.0])
def test_a_base_that_gives_no_numbers_is_a_failure(theta: float) -> None:
    found = audited(LLAMA_31_8B, 512, num_hidden_layers=1, rope_scaling=None, rope_theta=theta)
    (finding,) = (each for each in found.findings if each.check == "builds")
    assert found.failed
    assert "not finite" in finding.what
