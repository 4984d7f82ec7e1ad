"""The grids of experiments/arena: that they can be read, and that their baselines see no more than they should."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from longspan.train.data.choosing import task_rows_of, tokenizer_of
from longspan.train.data.tokenizers import byte_tokenizer
from longspan.train.grid import read_grid
from longspan.train.model import untrained

FOLDER = Path(__file__).parents[2] / "experiments" / "arena"
TASKS = ("listops", "pathfinder", "opinions", "namesakes", "shapes")
FILES = (*TASKS, *(f"{task}-pretrained" for task in TASKS))
BASELINES = ("bag_of_tokens", "bag_of_windows")
MIXERS = ("gau", "mega", "lru", "mamba", "retnet", "transformer_vq")


@pytest.mark.parametrize("name", FILES)
def test_every_design_is_trained_with_three_seeds(name: str) -> None:
    cells = read_grid(FOLDER / f"{name}.toml")
    pretrained = name.endswith("pretrained")
    wanted = ("rope", *MIXERS) if pretrained else (*BASELINES, "rope", "rope_bidirectional", *MIXERS)
    assert [(cell.seed, cell.name) for cell in cells] == [(seed, each) for seed in range(3) for each in wanted]
    assert {cell.settings.pretraining.steps for cell in cells} == ({4000} if pretrained else {0})


def change(baseline: str, ids: Tensor, other: Tensor) -> float:
    """How much the logits of the last token differ between two texts, in their deviations."""
    settings = next(c.settings for c in read_grid(FOLDER / "pathfinder.toml") if c.name == baseline)
    model = untrained(settings, byte_tokenizer()).double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(3)  # small weights attend evenly, whatever the order
        first, second = (model(each).logits[0, -1] for each in (ids, other))
    return float((first - second).abs().max() / first.std())


def test_grids_compare_the_same_designs_on_all_tasks() -> None:
    for ending in ("", "-pretrained"):
        grids = [read_grid(FOLDER / f"{task}{ending}.toml") for task in TASKS]
        designs = [[(cell.settings.design, cell.settings.model) for cell in cells] for cells in grids]
        assert all(each == designs[0] for each in designs)


@pytest.mark.parametrize("name", ["opinions", "namesakes", "shapes"])
def test_rows_hold_the_examples_of_a_task(name: str) -> None:
    settings = read_grid(FOLDER / f"{name}.toml")[0].settings
    tokenizer = tokenizer_of(settings)
    task_rows_of(settings, tokenizer, both=False).check()
    assert task_rows_of(settings, tokenizer, both=True).batch(0, 2).asked.any()


def test_gated_units_have_about_the_numbers_of_attention() -> None:
    """The embeddings are counted out: what is compared is what layers learn."""
    cells = {cell.name: cell.settings for cell in read_grid(FOLDER / "shapes.toml") if cell.seed == 0}
    layers = {name: untrained(cells[name], byte_tokenizer()).model.layers for name in ("rope", "gau", "transformer_vq")}
    numbers = {name: sum(parameter.numel() for parameter in each.parameters()) for name, each in layers.items()}
    assert numbers["gau"] == pytest.approx(numbers["rope"], rel=0.1)
    assert numbers["transformer_vq"] == pytest.approx(numbers["rope"], rel=0.2)


def test_a_bag_of_tokens_has_no_order_and_attention_has() -> None:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(200, (1, 201), generator=generator)
    other = ids[:, [*torch.randperm(200, generator=generator).tolist(), 200]]
    assert change("bag_of_tokens", ids, other) < 1e-4
    assert change("bag_of_tokens", ids, torch.cat([ids[:, :100] + 1, ids[:, 100:]], 1)) > 0.01  # tokens do matter
    assert change("bag_of_windows", ids, other) > 0.01
    assert change("rope_bidirectional", ids, other) > 0.01


def test_a_bag_of_windows_does_not_know_where_a_pattern_is() -> None:
    """Two patterns change places; 48 equal tokens keep each out of the windows of the other and of the answer."""
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randint(1, 200, (20,), generator=generator) for _ in range(2))
    apart = torch.zeros(48, dtype=torch.long)
    ids, other = (
        torch.cat([apart, a, apart, b, apart, apart[:1]])[None] for a, b in ((first, second), (second, first))
    )
    assert change("bag_of_windows", ids, other) < 1e-4  # angles are float32
    assert change("rope_bidirectional", ids, other) > 0.01
    turned = torch.cat([apart, first.flip(0), apart, second, apart, apart[:1]])[None]
    assert change("bag_of_windows", ids, turned) > 0.01  # what is inside a window has an order
