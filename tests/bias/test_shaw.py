"""Outside source: transformers' Wav2Vec2-BERT for the keys; closed forms for the values."""

import pytest
import torch
from transformers import Wav2Vec2BertConfig
from transformers.models.wav2vec2_bert.modeling_wav2vec2_bert import Wav2Vec2BertSelfAttention

from longspan import attend
from longspan.bias.shaw import Shaw
from longspan.errors import SchemeError

HEADS, HEAD_DIM, KEYS = 4, 8, 12


def tables(clip: int) -> dict[str, torch.Tensor]:
    key, value = torch.randn(2, 2 * clip + 1, HEAD_DIM, dtype=torch.float64)
    return {"bias.key": key, "bias.value": value}


@pytest.mark.parametrize("clip", [0, 3, 20])
def test_key_term_is_that_of_wav2vec2_bert(clip: int) -> None:
    config = Wav2Vec2BertConfig(
        hidden_size=HEADS * HEAD_DIM,
        num_attention_heads=HEADS,
        attention_dropout=0.0,
        position_embeddings_type="relative_key",
        left_max_position_embeddings=clip,
        right_max_position_embeddings=clip,
    )
    config._attn_implementation = "eager"
    theirs = Wav2Vec2BertSelfAttention(config).double().eval()
    hidden = torch.randn(2, KEYS, HEADS * HEAD_DIM, dtype=torch.float64)
    query, key, value = (
        project(hidden).view(2, KEYS, HEADS, HEAD_DIM).transpose(1, 2)
        for project in (theirs.linear_q, theirs.linear_k, theirs.linear_v)
    )
    weights = {
        "bias.key": theirs.distance_embedding.weight,
        "bias.value": torch.zeros(2 * clip + 1, HEAD_DIM, dtype=torch.float64),
    }
    ours = attend(query, key, value, f"shaw({clip}) + bidirectional", weights=weights)
    torch.testing.assert_close(theirs.linear_out(ours.transpose(1, 2).flatten(2)), theirs(hidden)[0])


def test_value_term_is_the_mean_of_the_rows_that_are_seen() -> None:
    """With equal scores and no values, row i holds the mean of value[c] over j ≤ i; c counts j − i from −clip."""
    clip, weights = 3, tables(3)
    weights["bias.key"].zero_()
    nothing = torch.zeros(1, 1, 6, HEAD_DIM, dtype=torch.float64)
    out = attend(nothing, nothing, nothing, f"shaw({clip})", weights=weights)[0, 0]
    row = weights["bias.value"]
    torch.testing.assert_close(out[0], row[3])
    torch.testing.assert_close(out[1], (row[2] + row[3]) / 2)
    torch.testing.assert_close(out[5], (3 * row[0] + row[1] + row[2] + row[3]) / 6)


def test_the_same_row_everywhere_moves_the_output_by_it() -> None:
    query, key, value = torch.randn(3, 2, HEADS, KEYS, HEAD_DIM, dtype=torch.float64)
    row = torch.randn(2, HEAD_DIM, dtype=torch.float64)
    weights = {"bias.key": row[0].expand(33, -1), "bias.value": row[1].expand(33, -1)}
    torch.testing.assert_close(
        attend(query, key, value, "shaw", weights=weights), attend(query, key, value, "nope") + row[1]
    )


def test_tables_of_zeros_are_attention_without_positions() -> None:
    query, key, value = torch.randn(3, 2, HEADS, KEYS, HEAD_DIM, dtype=torch.float64)
    weights = {f"bias.{name}": table for name, table in Shaw().initial_weights(HEADS, HEAD_DIM).items()}
    torch.testing.assert_close(attend(query, key, value, "shaw", weights=weights), attend(query, key, value, "nope"))


def test_a_clip_that_no_distance_reaches_does_not_clip() -> None:
    query, key, value = torch.randn(3, 2, HEADS, KEYS, HEAD_DIM, dtype=torch.float64)
    wide = tables(40)
    narrow = {name: table[40 - (KEYS - 1) : 40 + KEYS] for name, table in wide.items()}
    wanted = attend(query, key, value, f"shaw({KEYS - 1}) + bidirectional", weights=narrow)
    torch.testing.assert_close(attend(query, key, value, "shaw(40) + bidirectional", weights=wide), wanted)


def test_a_place_between_two_counts_as_the_one_nearer_to_zero() -> None:
    between = torch.tensor([0.5, -0.5, 1.9, -1.9, 5.5], dtype=torch.float64)
    assert Shaw(2).row(between).tolist() == [2, 2, 1, 3, 0]


def test_is_constant_from_the_clip_on() -> None:
    rows = Shaw(5).row(torch.arange(50))
    assert (rows[Shaw(5).constant_beyond :] == rows[-1]).all()
    assert rows[Shaw(5).constant_beyond - 1] != rows[-1]


def test_refuses_a_negative_clip() -> None:
    with pytest.raises(SchemeError, match="at least 0"):
        Shaw(-1)
