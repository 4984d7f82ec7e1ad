import torch

from longspan.audit.watching.trail import Trail, mark, marks


def test_marks_follow_operations_views_and_copies() -> None:
    with Trail():
        marked, other = torch.ones(4, device="meta"), torch.ones(4, device="meta")
        mark(marked, frozenset({"rotary"}))
        assert marks(other * 2) == frozenset()
        for result in (marked + other, marked.view(2, 2), torch.cat([other, marked]), marked.to(torch.bfloat16)):
            assert marks(result) == {"rotary"}


def test_marks_of_several_inputs_join() -> None:
    with Trail():
        one, two = torch.ones(4, device="meta"), torch.ones(4, device="meta")
        mark([one], frozenset({1}))
        mark({"two": two}, frozenset({2}))
        assert marks(one @ two) == {1, 2}


def test_results_in_place_are_marked() -> None:
    with Trail():
        marked, target = torch.ones(4, device="meta"), torch.zeros(4, device="meta")
        mark(marked, frozenset({1}))
        target.copy_(marked)
        assert marks(target) == {1}


def test_outside_nothing_follows() -> None:
    marked = torch.ones(4)
    mark(marked, frozenset({1}))
    assert marks(marked + 1) == frozenset()
