"""Closed forms of the diagnostics, and the weights that a model of transformers gives itself."""

from math import log, tau
from typing import Any

import numpy as np
import pytest
import torch

from longspan.errors import NotationError, RefusalError
from longspan.measure.diagnostic import Diagnostic, Subject, diagnostic_of, diagnostics
from longspan.measure.diagnostics.attention_concentration import AttentionConcentration
from longspan.measure.diagnostics.attention_entropy import AttentionEntropy
from longspan.measure.diagnostics.cache_size import CacheSize
from longspan.measure.diagnostics.concentration_measure import ConcentrationMeasure
from longspan.measure.diagnostics.effective_rank import EffectiveRank, effective_rank
from longspan.measure.diagnostics.largest_logit import LargestLogit
from longspan.measure.diagnostics.memory_distortion import MemoryDistortion
from longspan.measure.diagnostics.outside_arc import OutsideArc
from longspan.measure.diagnostics.receptive_field import ReceptiveField
from longspan.measure.diagnostics.sink_mass import SinkMass
from longspan.measure.reading.reader import Reader
from longspan.pretrained.attach import attached
from reading import scaled
from tiny import TRAINED_LENGTH, gemma2, llama

IDS = torch.randint(2, 60, (200,), generator=torch.Generator().manual_seed(0)).tolist()
LAST = range(175, 200)
"""The last eighth of the queries."""
OF_QUERIES = (AttentionEntropy(), AttentionConcentration(), SinkMass(), LargestLogit(), OutsideArc())


def look(diagnostic: Diagnostic, model: Any, method: str = "rope", ids: list[int] = IDS) -> dict[str, Any]:
    return diagnostic.look(Subject(Reader(model), method, ids, TRAINED_LENGTH))


def uniform() -> Any:
    """A model whose scores are all 0."""
    model = llama(60)
    with torch.no_grad():
        for layer in range(2):
            model.get_submodule(f"model.layers.{layer}.self_attn.q_proj").get_parameter("weight").zero_()
    return model


def mean(values: Any) -> float:
    found = list(values)
    return sum(found) / len(found)


@pytest.mark.parametrize(
    ("diagnostic", "wanted"),
    [
        (AttentionEntropy(), lambda n: log(n)),
        (AttentionConcentration(), lambda n: 1 / n),
        (SinkMass(), lambda n: min(1, 4 / n)),
        (SinkMass(sinks=1), lambda n: 1 / n),
        (LargestLogit(), lambda n: 0.0),
    ],
    ids=["entropy", "concentration", "four sinks", "one sink", "logit"],
)
@pytest.mark.parametrize("method", ["rope", "ntk(factor=4)", "self_extend(window=16, group=8)"])
def test_uniform_attention(diagnostic: Diagnostic, wanted: Any, method: str) -> None:
    """Query i sees i + 1 keys and gives each the same."""
    found = look(diagnostic, uniform(), method)
    assert found["value"] == pytest.approx(mean(wanted(i + 1) for i in LAST), abs=1e-6)
    assert list(found["layers"]) == ["0", "1"]
    assert list(found["layers"].values()) == pytest.approx([found["value"]] * 2, abs=1e-6)
    for part in found["bins"]:
        assert part["value"] == pytest.approx(mean(wanted(i + 1) for i in range(part["start"], part["stop"])), abs=1e-6)
    assert [part["start"] for part in found["bins"]] == [1, 2, 4, 8, 16, 32, 64, 128]


def test_a_window_bounds_entropy_and_hides_sinks() -> None:
    model = uniform()
    assert look(AttentionEntropy(), model, "window(size=16)")["value"] == pytest.approx(log(16), abs=1e-6)
    assert look(SinkMass(), model, "window(size=16)")["value"] == 0
    assert look(SinkMass(), model, "window(size=16, sinks=4)")["value"] == pytest.approx(4 / 20, abs=1e-6)


def test_the_weights_are_those_of_transformers() -> None:
    """The eager attention of the model itself, which knows nothing of schemes."""
    model = llama(60)
    found = {each.name: look(each, model) for each in OF_QUERIES[:3]}
    model.set_attn_implementation("eager")
    with torch.no_grad():
        layers = model(input_ids=torch.tensor([IDS]), output_attentions=True).attentions
    weights = torch.stack(layers)[:, 0].double()  # layers, heads, queries, keys
    wanted = {
        "attention_entropy": torch.special.entr(weights).sum(-1),
        "attention_concentration": weights.square().sum(-1),
        "sink_mass": weights[..., :4].sum(-1),
    }
    for name, of_queries in wanted.items():
        assert found[name]["value"] == pytest.approx(float(of_queries[..., LAST].mean()), abs=1e-5)
        by_layer = of_queries[..., LAST].mean((1, 2)).tolist()
        assert list(found[name]["layers"].values()) == pytest.approx(by_layer, abs=1e-5)


@pytest.mark.parametrize("diagnostic", OF_QUERIES, ids=lambda each: each.name)
def test_blocks_of_rows_change_nothing(diagnostic: Diagnostic, monkeypatch: pytest.MonkeyPatch) -> None:
    method = "window(size=50, sinks=2)"
    whole = look(diagnostic, llama(60), method)
    monkeypatch.setattr("longspan.compute.dense.blocks.PAIRS", 200 * 7)
    part = look(diagnostic, llama(60), method)
    assert part["value"] == pytest.approx(whole["value"], abs=1e-6)
    for ours, theirs in zip(part["bins"], whole["bins"], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)


def outside(length_of_arc: Any) -> float:
    """By counting: pairs p with frequency θ^(−p/8), trained on distances 0 … 63, read under 1 / factor of it."""
    angles = [1e4 ** (-p / 8) for p in range(8)]
    unfinished = [f for f in angles if f * (TRAINED_LENGTH - 1) < tau]
    return mean(
        sum(d * length_of_arc(f) > f * (TRAINED_LENGTH - 1) + 1e-9 for f in unfinished for d in range(i + 1))
        / (len(angles) * (i + 1))
        for i in LAST
    )


def test_angles_outside_the_trained_arc() -> None:
    """Plain RoPE leaves it at the trained length, interpolation by 4 does not, by 2 half as soon."""
    model = llama(60)
    assert look(OutsideArc(), model)["value"] == pytest.approx(outside(lambda f: f))
    assert outside(lambda f: f) > 0.3
    assert look(OutsideArc(), model, "linear(factor=4)")["value"] == 0
    halved = look(OutsideArc(), model, "linear(factor=2)")["value"]
    assert halved == pytest.approx(outside(lambda f: f / 2))
    assert 0 < halved < outside(lambda f: f)
    assert look(OutsideArc(), model, "rerope(window=16)")["value"] == 0
    assert look(OutsideArc(), model, "window(size=64)")["value"] == 0
    assert look(OutsideArc(), model, "rope", IDS[:64])["value"] == 0
    assert list(look(OutsideArc(), model)["layers"]) == ["0", "1"]


@pytest.mark.parametrize(("method", "field"), [("window(size=16)", 31), ("window(size=5)", 9), ("rope", 200)])
def test_receptive_field_of_stacked_windows(method: str, field: int) -> None:
    """(w − 1) · layers + 1."""
    assert look(ReceptiveField(), llama(60), method) == {"value": field, "share": field / 200}


def test_a_sink_is_always_in_the_field() -> None:
    assert look(ReceptiveField(), llama(60), "window(size=16, sinks=1)")["value"] == 200


def test_layers_with_a_window_of_their_own_are_left_out() -> None:
    found = look(AttentionEntropy(), gemma2(60))
    assert list(found["layers"]) == ["1"]


@pytest.mark.parametrize("name", diagnostics())
def test_a_model_that_was_looked_at_is_what_it_was(name: str) -> None:
    model = llama(60)
    before = model(input_ids=torch.tensor([IDS])).logits
    found = look(diagnostic_of(name), model, "self_extend(window=16, group=8)")
    assert {"value"} <= set(found)
    assert torch.equal(model(input_ids=torch.tensor([IDS])).logits, before)


def test_a_checkpoint_that_follows_the_length_is_refused_and_its_methods_are_not() -> None:
    with pytest.raises(RefusalError, match="changes its own frequencies with the length of the call"):
        look(SinkMass(), scaled("dynamic"))
    assert look(SinkMass(), scaled("dynamic"), "dynamic_ntk")["value"] > 0


def test_settings_are_those_of_the_text() -> None:
    assert diagnostic_of("sink_mass(sinks=1)") == SinkMass(1)
    with pytest.raises(NotationError, match="unknown diagnostic 'entropy'"):
        diagnostic_of("entropy")


def test_the_concentration_measure_is_one_where_weights_are_equal_and_a_root_where_one_key_has_all() -> None:
    assert look(ConcentrationMeasure(), uniform())["value"] == pytest.approx(1.0, abs=1e-6)
    sharp = llama(60)
    with torch.no_grad():
        for layer in range(2):
            sharp.get_submodule(f"model.layers.{layer}.self_attn.q_proj").get_parameter("weight").mul_(1e6)
    found = look(ConcentrationMeasure(), sharp)
    assert found["value"] == pytest.approx(mean((i + 1) ** -0.5 for i in LAST), rel=0.05)


def test_the_effective_rank_of_equal_rows_is_one() -> None:
    """The last queries of a uniform model differ in how many keys they see, and in nothing else."""
    n, last = 200, 8
    matrix = torch.tril(torch.ones(n, n, dtype=torch.float64))[-last:]
    matrix /= matrix.sum(-1, keepdim=True)
    values = np.linalg.svd(matrix.numpy(), compute_uv=False)
    shares = values / values.sum()
    wanted = float(np.exp(-(shares * np.log(shares)).sum()))
    found = look(EffectiveRank(queries=last), uniform())
    assert found["value"] == pytest.approx(wanted, rel=1e-5)
    assert 1 < wanted < last / 2
    assert list(found["layers"]) == ["0", "1"]


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_the_effective_rank_counts_directions(rank: int) -> None:
    orthogonal, _ = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64))
    assert float(effective_rank(orthogonal[:, :rank] @ orthogonal[:rank])) == pytest.approx(rank, rel=1e-9)


def test_every_query_counts_where_fewer_are_there_than_asked() -> None:
    assert look(EffectiveRank(queries=10**6), llama(60)) == look(EffectiveRank(queries=len(IDS)), llama(60))


def compressed(codes: int) -> str:
    return f"rerope(window=16) + compressed(codes={codes})"


@pytest.mark.parametrize("method", ["rope", "rerope(window=16)"])
def test_the_cache_holds_a_key_and_a_value_of_every_token(method: str) -> None:
    model = llama(60)
    layers, heads = model.config.num_hidden_layers, model.config.num_key_value_heads
    assert heads is not None
    wanted = layers * 2 * heads * 16 * len(IDS) * 4
    assert look(CacheSize(), model, method) == {"value": wanted / 2**20, "cache_bytes": wanted}
    halved = look(CacheSize(), llama(60).bfloat16(), method)["cache_bytes"]
    assert halved == wanted / 2


def test_what_a_memory_saves_and_what_it_costs() -> None:
    """Its cache stops growing, fewer codes hold less and distort more, and a code for every key distorts nothing."""
    model = llama(60)
    sizes = [look(CacheSize(), model, compressed(codes))["cache_bytes"] for codes in (4, 32, 64)]
    assert sizes == sorted(set(sizes))
    assert sizes[0] < look(CacheSize(), model)["cache_bytes"] / 4
    assert look(CacheSize(), model, compressed(4), IDS[:120])["cache_bytes"] == sizes[0]  # five blocks of 16 less
    found = [look(MemoryDistortion(last=50), model, compressed(codes))["value"] for codes in (4, 32, 64, 400)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.5
    assert found[-1] < 1e-5
    assert look(MemoryDistortion(), model, "rerope(window=16)") == {"value": 0.0, "tokens": 200}


def test_the_distortion_is_of_the_last_tokens_against_the_method_without_memory() -> None:
    model, reader = llama(60), Reader(llama(60))
    with attached(model, compressed(8)):
        codes = Reader(model).hidden(reader.ids(IDS))[:, -7:]
    with attached(model, "rerope(window=16)"):
        exact = Reader(model).hidden(reader.ids(IDS))[:, -7:]
    wanted = float(((codes - exact).square().sum() / exact.square().sum()).sqrt())
    assert look(MemoryDistortion(last=7), model, compressed(8)) == {
        "value": pytest.approx(wanted, rel=1e-5),
        "tokens": 7,
    }
