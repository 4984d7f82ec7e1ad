"""Codes by their definition, written out token by token, and what the part is as a value."""

import pytest
import torch

from longspan.compute.attend import attend
from longspan.errors import SchemeError
from longspan.geometry import Geometry
from longspan.measure.models.method import filled
from longspan.memory.compressed import Compressed
from longspan.notation import format_scheme, parse


def test_codes_are_softmax_over_keys_that_are_their_codes() -> None:
    """Written out: every far key replaced by the mean of its cluster, every far value by the mean of theirs."""
    window, codes, tokens = 5, 3, 40
    query, key, value = torch.randn(3, 1, 1, tokens, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = attend(query, key, value, f"rerope(window={window}) + compressed(codes={codes})")[0, 0, -1]
    far = key[0, 0, : (tokens - 1) // window * window - window]
    clusters: list[list[int]] = [[0], [1], [2]]
    for start in range(0, len(far), window):
        means = torch.stack([far[some].mean(0) for some in clusters])
        for token in range(max(codes, start), start + window):
            clusters[int((means - far[token]).norm(dim=-1).argmin())].append(token)
    key, value = key.clone(), value.clone()
    for some in clusters:
        key[0, 0, some] = key[0, 0, some].mean(0)
        value[0, 0, some] = value[0, 0, some].mean(0)
    wanted = attend(query, key, value, f"rerope(window={window})")[0, 0, -1]
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_its_text_returns_and_brings_rerope() -> None:
    scheme = parse("rerope(window=4) + compressed(codes=2)")
    assert parse(format_scheme(scheme)) == scheme
    geometry = Geometry(4, 2, 8, trained_length=16)
    for text in ("compressed", "rerope + compressed"):
        assert filled(text, geometry, 64) == "rerope(window=4) + compressed(codes=2)"
    assert filled("yarn + compressed(codes=8)", geometry, 64).endswith("rerope(window=4) + compressed(codes=8)")


def test_neutral_is_a_code_for_every_key() -> None:
    assert Compressed(codes=64).changes_nothing(64)
    assert not Compressed(codes=63).changes_nothing(64)
    assert not Compressed().changes_nothing(1)


def test_open_codes_need_a_model() -> None:
    x = torch.randn(1, 1, 9, 8)
    with pytest.raises(SchemeError, match="compressed needs codes"):
        attend(x, x, x, "rerope(window=2) + compressed")
