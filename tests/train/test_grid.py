"""A grid of designs: its cells, what the table says, and several processes at once."""

import json
from pathlib import Path

import pytest

from longspan.errors import InputError
from longspan.report.designs import means, narrow, page, seeds
from longspan.train.comparison import CONTEXT, MEASURED, Row, compare
from longspan.train.exams.exam import RESULTS, SUMMARY
from longspan.train.findings import findings
from longspan.train.grid import Cell, held, read_grid
from longspan.train.relations import Verdict, verdicts
from small_runs import MODEL, texts


def grid(folder: Path, more: str = "") -> Path:
    """A file with two designs and two seeds."""
    texts(folder / "texts")
    numbers = "\n".join(f"{name} = {value}" for name, value in MODEL.items())
    path = folder / "grid.toml"
    path.write_text(
        f"[model]\n{numbers}\n[data]\ntrain = ['texts']\ntest = ['held']\n[training]\nlength = 32\nsteps = 3\n"
        f"[test]\nlengths = [64]\nmethods = ['window(8)']\n[grid]\nseeds = [0, 1]\n"
        f"[grid.designs.baseline]\nplan = 'rope'\nmethods = ['ntk(factor=2)']\n"
        f"[grid.designs.'a b']\nplan = 'alibi'\n{more}"
    )
    return path


def test_cells_come_seed_by_seed_and_differ_in_what_the_grid_names(tmp_path: Path) -> None:
    cells = read_grid(grid(tmp_path))
    assert [(cell.name, cell.seed, cell.folder) for cell in cells] == [
        ("baseline", 0, "baseline-seed-0"), ("a b", 0, "a-b-seed-0"),
        ("baseline", 1, "baseline-seed-1"), ("a b", 1, "a-b-seed-1"),
    ]  # fmt: skip
    first, second = cells[0].settings, cells[1].settings
    assert (first.test.methods, second.test.methods) == (("ntk(factor=2)",), ("window(8)",))
    assert first.lengths == (8, 32, 64)  # a quarter of the trained length shows whether the model learned
    assert first.data == second.data
    assert first.training == second.training
    assert cells[2].settings.training.seed == 1


def test_a_design_may_have_a_model_that_differs_from_the_others(tmp_path: Path) -> None:
    """A layer of a gated unit has half the numbers, so that a fair comparison gives it twice as many layers."""
    more = (
        "[grid.designs.gau]\nplan = 'gau(feed_forward=False)'\nmodel = { num_hidden_layers = 4, linear = 'monarch' }\n"
    )
    *_, alibi, gau = read_grid(grid(tmp_path, more))
    assert dict(gau.settings.model.config) == MODEL | {"num_hidden_layers": 4}
    assert (gau.settings.model.architecture, gau.settings.model.linear) == ("llama", "monarch")
    assert dict(alibi.settings.model.config) == MODEL
    assert alibi.settings.model.linear == "dense"


def test_cells_of_a_task_say_where_their_positions_come_from(tmp_path: Path) -> None:
    path = tmp_path / "lengths.toml"
    path.write_text(
        "[data]\ntask = 'reverse'\nlongest = 40\n[test]\nlengths = [100]\n[grid.designs.random]\n"
        "positions = 'random(span=600)'\npositions_at_test = 'grid(span=600)'\nabsolute = 'sinusoidal'\nplan = 'nope'\n"
    )
    (cell,) = read_grid(path)
    assert cell.settings.lengths == (40, 100)  # at 40 it shows whether the model learned
    assert cell.settings.design.positions == "random(span=600)"
    assert cell.settings.design.absolute == "sinusoidal"
    assert cell.settings.test.positions == "grid(span=600)"


def test_a_file_without_a_grid_has_no_cells(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("[data]\ntrain = ['x']\n")
    assert read_grid(tmp_path / "run.toml") == ()


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("[grid.designs.'a-b']\nplan = 'nope'\n", "would share the folder a-b-seed-0"),
        ("[grid.designs.c]\nplans = 'nope'\n", "did you mean 'plan'"),
        ("[grid.designs.c]\nabsolute = 3\n", r"grid\.designs\.c\.absolute must be str"),
        ("[grid.designs.c]\nplan = 3\n", r"grid\.designs\.c\.plan must be str"),
        ("[grid.designs.c]\nmodel = 3\n", r"grid\.designs\.c\.model must be a table"),
    ],
)
def test_a_grid_that_cannot_be_made_is_one_line(tmp_path: Path, more: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        read_grid(grid(tmp_path, more))


def test_a_cell_belongs_to_one_process_at_a_time(tmp_path: Path) -> None:
    with held(tmp_path / "cell") as mine, held(tmp_path / "cell") as also:
        assert (mine, also) == (True, False)
    with held(tmp_path / "cell") as again:
        assert again


def measured(folder: Path, cell: Cell, *, losses: dict[int, list[float]], share: float, failed: bool = False) -> None:
    """Write what a run and the surveys of a cell would."""
    methods, longest, own = ("plain", "window(size=8)"), max(losses), folder / cell.folder
    count = len(losses[longest])
    records = []
    for index in range(count):
        document = {"path": f"/{index}.txt", "start": 0, "length": longest, "digest": ""}
        for method in methods:
            asked = {"method": method, "index": index, "document": document}
            for length, values in losses.items():
                result = None if failed and method != "plain" else {"value": values[index]}
                arguments = {**asked, "length": length, "loss": "last_k"}
                records.append({"arguments": arguments, "result": result, "failed": "refused: x"})
            shares = {name: {"all": share} for name in ("short", "repeated", "not_repeated")}
            arguments = {**asked, "length": longest, "loss": "repetition"}
            records.append({"arguments": arguments, "result": shares, "failed": "refused: x"})
    rows = [{"loss": loss, "method": method} for loss in ("last_k", "repetition") for method in methods]
    setting = {"lengths": sorted(losses), "documents": [f"{index}.txt" for index in range(count)]}
    for name in (MEASURED, CONTEXT):
        (own / name).mkdir(parents=True)
        (own / name / SUMMARY).write_text(json.dumps({"losses": rows, "setting": setting}))
    (own / MEASURED / RESULTS).write_text("".join(json.dumps(record) + "\n" for record in records))
    made = {"settings": cell.settings.json(), "hardware": "h", "versions": {"torch": "t"}}
    (own / "run.json").write_text(json.dumps(made))


def test_a_grid_is_written_again_from_its_findings(tmp_path: Path) -> None:
    """Pages need no models: the file holds all that a table, its curves and its relations are made of."""
    cells = read_grid(grid(tmp_path))
    measured(tmp_path, cells[0], losses={8: [3.0, 3.1], 32: [2.0, 2.1], 64: [2.5, 2.7]}, share=0.5)
    rows = compare(cells, tmp_path)
    found = json.loads(json.dumps(findings(cells, rows, tmp_path, "longspan train grid.toml")))
    assert tuple(Row.of(row) for row in found["rows"]) == rows
    assert [Verdict(**each) for each in found["relations"]] == list(verdicts(cells, rows))
    assert (tuple(found["lengths"]), found["trained_length"]) == (cells[0].settings.lengths, 32)
    assert (found["cells"], found["measured"]) == (4, 1)
    assert page(found).startswith(means(rows, found["lengths"]))


def test_the_table_shows_every_seed_and_who_did_not_learn(tmp_path: Path) -> None:
    cells = read_grid(grid(tmp_path))
    learned = {8: [3.0, 3.1, 3.2], 32: [2.0, 2.1, 2.2], 64: [2.5, 2.6, 2.7]}
    flat = {8: [3.0, 3.1, 3.2], 32: [3.0, 3.1, 3.2], 64: [3.0, 3.1, 3.2]}
    measured(tmp_path, cells[0], losses=learned, share=0.5)
    measured(tmp_path, cells[2], losses={n: [v + 0.2 for v in values] for n, values in learned.items()}, share=0.7)
    measured(tmp_path, cells[1], losses=flat, share=0.1, failed=True)
    rows = {(row.design, row.method): row for row in compare(cells, tmp_path)}
    own = rows["baseline", "plain"]
    assert own.learned
    loss, share = own.loss(64), own.accuracy("repeated")
    assert loss is not None
    assert share is not None
    assert (loss.value, loss.documents) == (pytest.approx(2.7), 2)  # documents are seeds here
    assert share.value == pytest.approx(0.6)
    assert not rows["a b", "plain"].learned
    assert rows["a b", "window(size=8)"].outcomes[0].failed == "refused: x"
    shown = tuple(rows.values())
    text = seeds(shown, (8, 32, 64))
    assert "2.700 ± 1.271 (2.600, 2.800)" in text  # t of one degree of freedom: 12.706 · 0.1 / √2 · √2 / 2 …
    assert "| `a b` | `plain` | no: +0.000 (at most +0.000) | 3.100 |" in text
    assert "| `baseline` | `plain` | yes: -1.000 (at most -1.000), -1.000 (at most -1.000) |" in text
    assert [line[2] for line in narrow(shown, (8, 32, 64))] == ["trained", "yes", "yes", "no", ""]
    table = means(shown, (8, 32, 64))
    assert "| 2.700 ± 1.271 |" in table
    assert "| 60.0% [50.0%, 70.0%] |" in table  # of three shares no interval is sure to stay within 0 to 1
    assert "| 60.0% (50.0%, 70.0%) |" in text
    assert "| `a b` | `plain` | no | 3.100 |" in table
