"""Hidden tokens: which, how many, and what stands in their place."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from longspan.train.data.masked import Hiding, Masked
from longspan.train.data.rows import Rows
from longspan.train.data.texts import Texts

MASK, VOCABULARY = 7, 50


@given(seed=st.integers(0, 1000), share=st.floats(0.01, 0.9), count=st.integers(1, 60))
def test_what_is_not_chosen_stays_and_something_is_chosen(seed: int, share: float, count: int) -> None:
    ids = torch.arange(count) % VOCABULARY
    given, chosen = Hiding(MASK, VOCABULARY, share).hide(ids, np.random.default_rng(seed))
    assert chosen.any()
    assert torch.equal(given[~chosen], ids[~chosen])
    assert given.max() < VOCABULARY
    again, _ = Hiding(MASK, VOCABULARY, share).hide(ids, np.random.default_rng(seed))
    assert torch.equal(given, again)


@given(seed=st.integers(0, 99), share=st.sampled_from([0.001, 0.15, 0.9]), real=st.lists(st.booleans(), min_size=2))
def test_padding_is_never_chosen_and_changes_nothing_else(seed: int, share: float, real: list[bool]) -> None:
    ids, where = torch.arange(5, 5 + len(real)), torch.tensor([*real[:-1], True])
    hiding = Hiding(1, 200, share)
    given, chosen = hiding.hide(ids, np.random.default_rng(seed), where)
    assert chosen.any()
    assert not (chosen & ~where).any()
    assert (given[~chosen] == ids[~chosen]).all()
    everywhere, all_chosen = hiding.hide(ids, np.random.default_rng(seed))
    if (all_chosen & where).any():
        assert (chosen == all_chosen & where).all()
        assert (given[chosen] == everywhere[chosen]).all()


def test_the_shares_are_those_of_bert() -> None:
    """15 % are chosen; of these 80 % are hidden, 10 % replaced by any token, 10 % stay (arXiv:1810.04805, 3.1)."""
    ids = torch.full((400_000,), 3)
    given, chosen = Hiding(MASK, VOCABULARY).hide(ids, np.random.default_rng(0))
    count = int(chosen.sum())
    assert stats.binomtest(count, len(ids), 0.15).pvalue > 0.001
    mask, own = int((given[chosen] == MASK).sum()), int((given[chosen] == 3).sum())
    expected = np.array([0.8 + 0.1 / VOCABULARY, 0.1 + 0.1 / VOCABULARY, 0.1 * (1 - 2 / VOCABULARY)]) * count
    assert stats.chisquare([mask, own, count - mask - own], expected).pvalue > 0.001
    others = given[chosen & (given != MASK) & (given != 3)]
    assert (
        stats.chisquare(
            others.bincount(minlength=VOCABULARY)[[i for i in range(VOCABULARY) if i not in (3, MASK)]]
        ).pvalue
        > 0.001
    )


def test_a_batch_asks_for_what_it_hides_and_depends_on_seed_and_step_alone() -> None:
    texts = Texts(np.arange(200, dtype=np.uint32) % VOCABULARY, np.array([200]), ("x",))
    rows = Rows(texts, 32, seed=1)
    first, again, later = (Masked(rows, Hiding(MASK, VOCABULARY)).batch(step, 4) for step in (0, 0, 1))
    assert torch.equal(first.targets, rows.draw(0, 4).ids[:, :-1])
    assert torch.equal(first.inputs[~first.asked], first.targets[~first.asked])
    assert torch.equal(first.inputs, again.inputs)
    assert torch.equal(first.asked, again.asked)
    assert not torch.equal(first.asked, later.asked)
