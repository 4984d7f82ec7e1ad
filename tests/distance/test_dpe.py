"""DPE is the attention of the authors' decoding code, rebuilt from its equations, and Self-Extend where sizes agree.

Outside source: github.com/LuLuLuyi/DPE, dpe_for_llama.py (the branch for one query) and config/dpe_config.yaml.
"""

import numpy as np
import pytest
import torch

from by_hand import BACKENDS, drawn, output, tensors
from longspan import Cache, Geometry, attend, parse
from longspan.compute.decoding.frame import UNROTATED, layer_frame, shared_frame
from longspan.distance.dpe import DPE
from longspan.distance.self_extend import SelfExtend
from longspan.errors import SchemeError
from longspan.notation import format_scheme
from longspan.position_map import Floor, Identity
from longspan.slots import EVERYWHERE, Branch

PLACES = 40
GEOMETRY = Geometry(8, 8, 16, trained_length=4096)


def decoded(q: np.ndarray, k: np.ndarray, window: int, groups: tuple[int, ...], theta: float = 10000.0) -> np.ndarray:
    """Scores as the released code has them: the query is left alone and keys are rotated back by their distance.

    Angles of each section's scale are computed for all channels first; each half of the channels then takes its
    sections' own.
    """
    count, width = q.shape
    half = width // 2
    inverse = theta ** -(np.arange(0, width, 2) / width)
    ranges = [round(half * s / len(groups)) for s in range(len(groups) + 1)]
    scores = np.full((count, count), -np.inf)
    for i in range(count):
        j = np.arange(i + 1)
        cos, sin = np.empty((i + 1, width)), np.empty((i + 1, width))
        for section, group in enumerate(groups):
            far = i // group - j // group + window - window // group
            angle = np.where(i - j < window, i - j, far)[:, None] * np.concatenate([inverse, inverse])
            for first in (0, half):
                some = slice(first + ranges[section], first + ranges[section + 1])
                cos[:, some], sin[:, some] = np.cos(angle)[:, some], -np.sin(angle)[:, some]
        keys = k[: i + 1]
        rotated = np.concatenate([-keys[:, half:], keys[:, :half]], 1)
        scores[i, : i + 1] = (keys * cos + rotated * sin) @ q[i] / width**0.5
    return scores


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("window", "groups"),
    [(8, (2, 4)), (9, (4, 1)), (0, (5, 2, 3, 1)), (5, (2, 8, 2, 8)), (39, (1, 2)), (7, (3,))],
)
def test_attention_is_that_of_the_released_decoding_code(backend: str, window: int, groups: tuple[int, ...]) -> None:
    q, k, v = drawn(PLACES)
    assert q.shape[1] // 2 % len(groups) == 0, "the authors' sections are of one size"
    wanted = output(decoded(q, k, window, groups), v)
    out = attend(*tensors(q, k, v), parse(f"dpe({window}, {groups})"), backend=backend)[0, 0].numpy()
    np.testing.assert_allclose(out, wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("window", "group"), [(8, 4), (9, 4), (0, 5)])
def test_equal_sizes_are_self_extend_to_the_bit(backend: str, window: int, group: int) -> None:
    inputs = tensors(*drawn(PLACES))
    ours = attend(*inputs, parse(f"dpe({window}, {(group,) * 8})"), backend=backend)
    assert torch.equal(ours, attend(*inputs, parse(f"self_extend({window}, {group})"), backend=backend))


def test_distances_in_each_section() -> None:
    """Llama 3.1 8B at the end of its 131072 tokens: what is far for the slowest pairs is near for the second eighth."""
    method = DPE(1024, (2, 32, 32, 2, 2, 2, 2, 1))
    far = method(torch.tensor(131071), torch.tensor(0)).tolist()
    assert far == [66047, 5087, 5087, 66047, 66047, 66047, 66047, 131071]
    assert method(torch.tensor(1023), torch.tensor(0)).tolist() == [1023] * 8


def test_pairs_are_divided_evenly_fastest_first() -> None:
    """Eight sections of eight pairs at head_dim 128; three pairs in two sections are two and one."""
    spectrum = parse("rope").rotation.spectrum(128).in_sections(8)
    assert spectrum.axis.tolist() == [pair // 8 for pair in range(64)]
    assert parse("rope").rotation.spectrum(6).in_sections(2).axis.tolist() == [0, 0, 1]
    assert parse("rope").rotation.spectrum(4).in_sections(8).axis.tolist() == [0, 4]


@pytest.mark.parametrize("steps", [1, 3])
def test_a_cache_reads_token_by_token_what_a_call_reads_at_once(steps: int) -> None:
    scheme = parse("dpe(5, (2, 4, 1, 3))")
    query, key, value = torch.randn(3, 2, 4, PLACES, 16, dtype=torch.float64)
    cache = Cache(scheme)
    parts = [
        cache.attend(query[:, :, at : at + steps], key[:, :, at : at + steps], value[:, :, at : at + steps])
        for at in range(0, PLACES, steps)
    ]
    torch.testing.assert_close(torch.cat(parts, 2), attend(query, key, value, scheme), rtol=0, atol=1e-13)


def test_cached_keys_are_not_rotated() -> None:
    """A model's rotary module takes one position for all channel pairs."""
    scheme = parse("dpe(5, (2, 4))")
    assert shared_frame([scheme]) == UNROTATED
    assert layer_frame(scheme, 16, torch.float32) is None


def test_neutral_settings() -> None:
    inputs = tensors(*drawn(PLACES))
    plain = attend(*inputs, "rope")
    for text in ("dpe(5, (1, 1))", f"dpe({PLACES}, (2, 4))"):
        torch.testing.assert_close(attend(*inputs, text), plain, rtol=0, atol=1e-14)
        assert parse(text).distance.changes_nothing(PLACES)
    assert not DPE(5, (1, 2)).changes_nothing(PLACES)
    assert not DPE(PLACES - 1, (1, 2)).changes_nothing(PLACES)
    assert not DPE(groups=(1, 2)).changes_nothing(PLACES)


def test_only_shifts_by_whole_groups_of_all_sections_are_free() -> None:
    assert DPE(5, (4, 6, 1)).shift_period == 12
    assert DPE(5).shift_period is None


def test_left_open_it_starts_as_self_extend() -> None:
    assert SelfExtend().fill(GEOMETRY, 16384) == SelfExtend(1024, 16)
    assert DPE().fill(GEOMETRY, 16384) == DPE(1024, (16,) * 8)
    assert DPE().fill(Geometry(8, 8, 16, trained_length=131072), 262144).window == 1024
    assert DPE(groups=(3, 1)).fill(GEOMETRY, 8192) == DPE(1024, (3, 1))
    with pytest.raises(SchemeError, match=r"dpe: no group size .* give groups, or a window below 2048"):
        DPE(3000).fill(GEOMETRY, 8192)


def test_text_form() -> None:
    text = "dpe(window=1024, groups=(2, 32, 32, 2, 2, 2, 2, 1))"
    assert format_scheme(parse(text)) == text
    assert parse("dpe(4, [2.0, 1e1])").distance == DPE(4, (2, 10))


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(SchemeError, match="dpe: window must be at least 0, got -1"):
        DPE(-1)
    for groups in ((), (2, 0)):
        with pytest.raises(SchemeError, match="dpe: groups must be one size or more, all at least 1"):
            DPE(4, groups)
    with pytest.raises(SchemeError, match=r"groups must be a list of whole numbers, got \(1.5, 2\)"):
        parse("dpe(4, (1.5, 2))")


def test_what_has_no_distance_by_section_is_refused() -> None:
    with pytest.raises(SchemeError, match="dpe is causal only"):
        parse("dpe(4, (2, 1)) + bidirectional")
    with pytest.raises(SchemeError, match="dpe maps one axis, axial has 2"):
        parse("axial + dpe(4, (2, 1))")
    with pytest.raises(SchemeError, match="xpos decays with one distance, dpe has one for each section"):
        parse("xpos + dpe(4, (2, 1))")
    assert parse("xpos(gamma=inf) + dpe(4, (2, 1))").distance == DPE(4, (2, 1))


def test_a_branch_maps_queries_and_keys_in_the_same_sections() -> None:
    ahead = DPE(4, (2, 1)).branches()[1].query
    with pytest.raises(SchemeError, match=r"queries are mapped in 2 sections .* keys in 1: give both as many"):
        Branch(ahead, Floor(2), EVERYWHERE)
    assert Branch(Identity(), Floor(2), EVERYWHERE).sections == 1
