"""StreamingLLM: a real cache gives the same attention, and nothing but the cache matters."""

import pytest
import torch

from by_hand import drawn, tensors
from longspan import Geometry, attend, parse
from longspan.errors import SchemeError
from mask.by_pairs import counts


def test_parts() -> None:
    assert parse("streaming_llm(4, 64)") == parse("cache_relative(4, 64) + window(60, sinks=4)")


def test_the_cache_is_full_and_never_fuller() -> None:
    assert counts(parse("streaming_llm(2, 8)").mask, 12, causal=True) == [1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 8, 8]


def test_a_stream_of_any_length_reads_like_its_cache() -> None:
    """The last query over thousands of tokens, and over the eight that the cache holds."""
    q, k, v = tensors(*drawn(3000))
    scheme = parse("streaming_llm(2, 8)")
    held = torch.tensor([0, 1, *range(2994, 3000)])
    long = attend(q[:, :, -1:], k, v, scheme)
    short = attend(q[:, :, -1:], k[:, :, held], v[:, :, held], "rope")
    torch.testing.assert_close(long, short, rtol=0, atol=1e-12)


def test_size_is_the_trained_length_where_left_open() -> None:
    geometry = Geometry(8, 8, 16, trained_length=64)
    assert parse("streaming_llm", geometry, 1024) == parse("streaming_llm(4, 64)", geometry, 1024)
    assert parse("streaming_llm(size=32)", geometry, 1024).mask.sinks == 4
    with pytest.raises(SchemeError, match=r"streaming_llm needs size"):
        parse("streaming_llm")
    with pytest.raises(SchemeError, match="size must be above sinks = 4, got 3"):
        parse("streaming_llm(4, 3)")
