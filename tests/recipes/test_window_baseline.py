"""The baseline is the window, over RoPE where no rotation is named."""

from longspan import Geometry, parse

GEOMETRY = Geometry(8, 8, 16, trained_length=64)


def test_parts() -> None:
    assert parse("window_baseline(64)") == parse("rope + window(64)")
    assert parse("rope(500.0) + window_baseline(64)") == parse("rope(500.0) + window(64)")


def test_size_is_the_trained_length_where_left_open() -> None:
    assert parse("window_baseline", GEOMETRY, 1024) == parse("rope + window(64)", GEOMETRY, 1024)
