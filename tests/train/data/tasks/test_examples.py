"""Examples of tasks: as long as asked, and never in training and test at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longspan.errors import InputError
from longspan.prompts.task import PromptTask
from longspan.task import task_of
from longspan.train.data.tasks.examples import Examples, draft_of, is_held_out
from longspan.train.data.tokenizers import byte_tokenizer, symbol_tokenizer

TASKS = ("reverse", "copy", "addition", "parity", "sort", "bucket_sort", "even_pairs", "first_token", "listops")
BYTES = byte_tokenizer()


def task(text: str) -> PromptTask:
    found = task_of(text)
    assert isinstance(found, PromptTask)
    return found


@given(name=st.sampled_from(TASKS), symbols=st.integers(3, 60), seed=st.integers(0, 100))
def test_a_list_has_as_many_symbols_as_asked(name: str, symbols: int, seed: int) -> None:
    symbols += 1 if name == "listops" else 0  # an operation and its bracket have at least two digits between them
    draft = draft_of(task(name), f"x/{seed}", symbols)
    shown = "".join(draft.prompt.context).split()
    assert len(shown) == symbols
    if name == "reverse":
        assert draft.answers == (" ".join(shown[::-1]),)
    if name == "addition":
        left, right = "".join(shown).split("+")
        assert int("".join(draft.answers[0].split())) == int(left) + int(right)


@pytest.mark.parametrize("symbols", [2000, 8000])
def test_expressions_grow_beyond_those_of_long_range_arena(symbols: int) -> None:
    """Its longest have 2000 symbols and ten levels."""
    shown = "".join(draft_of(task("listops"), "x", symbols).prompt.context).split()
    assert len(shown) == symbols
    level = deepest = 0
    for symbol in shown:
        level += symbol.startswith("[") - (symbol == "]")
        deepest = max(deepest, level)
    assert level == 0
    assert deepest == 10


@pytest.mark.parametrize("name", ["parity", "even_pairs", "reverse"])
def test_no_prompt_is_trained_and_tested(name: str) -> None:
    """Lists of up to six bits repeat all the time."""
    examples = Examples(task(name), BYTES)
    trained = {examples.training(f"t/{i}", 2, 6) for i in range(400)}
    asked = {examples.test(length, index) for length in (5, 6) for index in range(30)}
    assert len(trained) > 20
    assert not {each.prompt for each in trained} & {each.prompt for each in asked}


def test_an_eighth_of_all_prompts_is_tested() -> None:
    share = sum(is_held_out(draft_of(task("reverse"), f"{i}", 9).prompt.text) for i in range(4000)) / 4000
    assert share == pytest.approx(1 / 8, abs=0.015)


def test_all_lengths_come_equally_often() -> None:
    examples = Examples(task("reverse"), BYTES)
    lengths = [len(examples.training(f"t/{i}", 1, 4).answer) // 2 for i in range(2000)]
    assert [lengths.count(n) / 2000 for n in range(1, 5)] == pytest.approx([0.25] * 4, abs=0.04)


def test_what_a_task_cannot_make_is_one_line() -> None:
    for name, symbols, shortest in (("even_pairs", 1, 2), ("listops", 3, 4)):
        with pytest.raises(InputError, match=f"{name} has no list of {symbols} symbols; its shortest has {shortest}"):
            draft_of(task(name), "x", symbols)
    held = [is_held_out(draft_of(task("parity"), f"{i}", 1).prompt.text) for i in range(20)]
    assert not any(held)  # there are two prompts, and neither belongs to the tests
    with pytest.raises(InputError, match="parity has too few prompts of 1 symbols to test on"):
        Examples(task("parity"), BYTES).test(1, 0)


def test_a_length_below_all_is_refused_after_a_few_drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, pathfinder = [], task("pathfinder")
    monkeypatch.setattr(type(pathfinder), "draft", lambda *given: asked.append(given))
    with pytest.raises(InputError, match="pathfinder has no list of 5 symbols"):
        draft_of(pathfinder, "x", 5)
    assert len(asked) <= 30


def test_a_symbol_without_a_token_is_refused() -> None:
    with pytest.raises(InputError, match="the tokenizer has no token for a part of"):
        Examples(task("reverse"), symbol_tokenizer(["a b c"])).test(9, 0)
