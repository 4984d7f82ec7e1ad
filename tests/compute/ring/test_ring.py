"""Ring attention: what several processes compute together is what one computes alone."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from contract.drawing import documents_of, paddings
from longspan.compute.attend import attend
from longspan.compute.places import Places, places
from longspan.compute.ring.ring import Ring
from longspan.compute.ring.sequence import Shared
from longspan.compute.ring.zigzag import Zigzag
from longspan.errors import RefusalError, ShapeError
from longspan.notation import parse

SCHEMES = (
    "nope", "rope", "alibi", "kerple_log", "t5", "rerope(window=7)", "leaky_rerope(window=5, k=4)",
    "self_extend(window=6, group=3)", "rope + window(9)", "rope + window(9, sinks=2)",
    "rope + key_norm + log_length(8)",
    "rope + log_length(8, form='training')", "xpos", "rope + bidirectional", "alibi + bidirectional + window(9)",
    "rope + softmax_plus_one", "dual_chunk(chunk=12, local=4)", "dynamic_ntk(trained_length=16)",
)  # fmt: skip
PACKED = (
    "rope", "alibi", "rope + window(5, sinks=2)", "rerope(window=4)", "rope + log_length(8)",
    "rope + bidirectional", "alibi + bidirectional + window(9)", "rope + softmax_plus_one",
    "rope + bidirectional + log_length(8)",
)  # fmt: skip
"""Schemes of rows that hold several documents."""
CASES = [*((text, False) for text in SCHEMES), *((text, True) for text in PACKED)]
IDS = [f"{text}{', packed' if packed else ''}" for text, packed in CASES]
LENGTH, HEADS, KV_HEADS, DIM = 48, 4, 2, 16


def drawn_case() -> dict:
    generator = torch.Generator().manual_seed(0)

    def drawn(heads: int) -> Tensor:
        return torch.randn(2, heads, LENGTH, DIM, generator=generator, dtype=torch.float64)

    tensors = {"query": drawn(HEADS), "key": drawn(KV_HEADS), "value": drawn(KV_HEADS), "gradient": drawn(HEADS)}
    weights = []
    starts = torch.zeros(2, LENGTH, dtype=torch.long)
    starts[0, [5, 6, 17, 40]] = starts[1, [23, 31]] = 1
    for text, _ in CASES:
        made = parse(text).initial_weights(HEADS, DIM, generator)
        if "softmax_plus_one" in text:
            made = {"normalizer.logit": torch.randn(HEADS, generator=generator)}
        weights.append({name: value.double() for name, value in made.items()})
    texts, packed = zip(*CASES, strict=True)
    more = {"schemes": texts, "packed": packed, "documents": starts.cumsum(1)}
    return {**tensors, "weights": weights, "scale": DIM**-0.5, **more}


RUN = """
import sys, torch
sys.path[:] = {path!r}
from ring_processes import work
work(int(sys.argv[1]), {ranks}, {folder!r}, torch.load({data!r}, weights_only=True))
"""


@pytest.fixture(scope="module", params=[2, 4])
def together(request, tmp_path_factory) -> tuple[int, dict, list[list[dict]]]:
    """What each process makes of each scheme."""
    ranks, folder, data = request.param, tmp_path_factory.mktemp("ring"), drawn_case()
    torch.save(data, folder / "given")
    path = sys.path
    text = RUN.format(path=path, data=str(folder / "given"), ranks=ranks, folder=str(folder))
    processes = [subprocess.Popen([sys.executable, "-c", text, str(rank)]) for rank in range(ranks)]
    assert [process.wait(timeout=300) for process in processes] == [0] * ranks
    made = [
        [torch.load(folder / f"{number}-{rank}.pt", weights_only=True) for rank in range(ranks)]
        for number in range(len(CASES))
    ]
    return ranks, data, made


@pytest.mark.parametrize("number", range(len(CASES)), ids=IDS)
def test_several_processes_compute_what_one_does(together, number: int) -> None:
    ranks, data, made = together
    query, key, value = leaves = [data[name].clone().requires_grad_() for name in ("query", "key", "value")]
    weights = {name: value.clone().requires_grad_() for name, value in data["weights"][number].items()}
    text, packed = CASES[number]
    documents = data["documents"] if packed else None
    out = attend(query, key, value, text, weights=weights, documents=documents, backend="reference")
    out.backward(data["gradient"])
    zigzag = Zigzag(ranks, LENGTH)
    wanted = {"out": out.detach(), **{n: x.grad for n, x in zip(("query", "key", "value"), leaves, strict=True)}}
    for rank, found in enumerate(made[number]):
        own = zigzag.orders(rank)
        for name, whole in wanted.items():
            assert torch.allclose(found[name], whole[:, :, own], atol=1e-9), (rank, name)
    for name, leaf in weights.items():
        total = sum(found[name] for found in made[number])
        assert torch.allclose(total, leaf.grad, atol=1e-9), name  # type: ignore[arg-type]


@pytest.mark.parametrize("number", range(len(SCHEMES)), ids=SCHEMES)
def test_what_is_sent_is_what_the_formula_says(together, number: int) -> None:
    """Keys and values of needed chunks in the forward pass; these again, and their gradients, in the backward one."""
    ranks, _, made = together
    scheme, zigzag, each = parse(SCHEMES[number]), Zigzag(ranks, LENGTH), 2 * KV_HEADS * 2 * DIM * 8
    shared = Shared.contiguous(zigzag)
    sent = [shared.sent(scheme, rank) * each for rank in range(ranks)]
    returned = [
        sum(len(shared.needed(scheme, rank, source)) for source in range(ranks) if source != rank) * zigzag.size * each
        for rank in range(ranks)
    ]
    assert [found["sent"]["forward"] for found in made[number]] == [2 * bytes_ for bytes_ in sent]
    assert [found["sent"]["backward"] for found in made[number]] == returned


def test_a_causal_mask_sends_all_but_what_nobody_sees() -> None:
    """The early chunk of each process is seen by all others, the late one by those that hold a later chunk."""
    for ranks in (2, 4, 8):
        zigzag = Zigzag(ranks, 32 * ranks)
        total = sum(Shared.contiguous(zigzag).sent(parse("rope"), rank) for rank in range(ranks))
        assert total == zigzag.size * (ranks * (ranks - 1) + ranks * (ranks - 1) // 2)


@pytest.mark.parametrize("ranks", [2, 4, 8])
@pytest.mark.parametrize("text", ["rope", "rerope(window=7)", "alibi"])
def test_every_process_computes_its_share_of_the_pairs(ranks: int, text: str) -> None:
    zigzag, scheme = Zigzag(ranks, 64 * ranks), parse(text)
    chunks, shared = range(2 * ranks), Shared.contiguous(zigzag)
    each = [sum(shared.pairs(scheme, q, k) for q in zigzag.chunks(rank) for k in chunks) for rank in range(ranks)]
    assert sum(each) == zigzag.length * (zigzag.length + 1) // 2
    assert max(each) <= 1.05 * sum(each) / ranks


def test_a_window_leaves_no_more_than_neighbors() -> None:
    zigzag, scheme = Zigzag(8, 16 * 64), parse("rope + window(64)")
    shared = Shared.contiguous(zigzag)
    for query in range(16):
        seen = [key for key in range(16) if shared.pairs(scheme, query, key)]
        assert seen == [key for key in (query - 1, query) if key >= 0]
    assert max(shared.sent(scheme, rank) for rank in range(8)) == 2 * zigzag.size


@pytest.mark.parametrize(
    ("text", "why"),
    [("shaw", "shaw"), ("rope + urpe", "urpe is more than one softmax"), ("rope + sparsemax", "does not stream")],
)
def test_a_scheme_whose_parts_cannot_be_merged_is_refused(text: str, why: str) -> None:
    with pytest.raises(RefusalError, match=why):
        Ring(parse(text), Zigzag(2, 8))


def test_documents_that_a_process_does_not_see_are_not_sent() -> None:
    """Four documents of one chunk each: nobody needs a chunk of another; their first tokens are sinks of their own."""
    documents = torch.arange(4).repeat_interleave(4)[None]
    shared = Shared(Zigzag(2, 16), places(16, 16, documents=documents)[1])
    assert [shared.sent(parse("rope"), rank) for rank in range(2)] == [0, 0]
    halves = Shared(Zigzag(2, 16), places(16, 16, documents=documents // 2)[1])
    assert halves.pairs(parse("rope + window(1, sinks=1)"), 3, 2) == 4
    assert halves.pairs(parse("rope + window(1, sinks=1)"), 3, 0) == 0


def test_positions_that_jump_are_refused_where_a_scheme_depends_on_their_steps() -> None:
    order = torch.arange(8)[None]
    shared = Shared(Zigzag(2, 8), Places(order, 3 * order[..., None], torch.zeros_like(order)))
    assert shared.parts(3, 0, 1, regular=False)
    with pytest.raises(RefusalError, match="do not step by one"):
        shared.parts(3, 0, 1, regular=True)


def test_a_length_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ShapeError, match="must be a multiple of 8 tokens, got 12"):
        Zigzag(4, 12)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A group of this process alone, whose sequence has two chunks."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("text", ["rope + bidirectional + log_length(2)", "rope + log_length(2)", "alibi + window(5)"])
@given(data=st.data())
@settings(
    max_examples=max(10, settings().max_examples // 5),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_rows_of_a_batch_do_not_depend_on_each_other(text: str, alone: None, data: st.DataObject) -> None:
    """Behind any padding and in any documents, also where rows are alike in a chunk and differ beyond it."""
    padding, documents = data.draw(paddings(3, 16)), data.draw(documents_of(3, 16))
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(3, 2, 16, 8, dtype=torch.float64, generator=generator) for _ in range(3))
    zigzag = Zigzag(1, 16)
    shared = Shared(zigzag, places(16, 16, documents=documents, padding=padding)[1])
    found = Ring(parse(text), zigzag).attend(query, key, value, scale=0.5, shared=shared)
    wanted = attend(query, key, value, text, scale=0.5, documents=documents, padding=padding, backend="reference")
    assert torch.allclose(found, wanted, atol=1e-10)


def test_under_autocast_it_computes_with_lower_tensors(alone: None) -> None:
    ring, generator = Ring(parse("rerope(window=7)"), Zigzag(1, 16)), torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 2, 16, 8, generator=generator) for _ in range(3))
    with torch.autocast("cpu", torch.bfloat16):
        found = ring.attend(query, key, value.bfloat16(), scale=0.5)
    wanted = ring.attend(query.bfloat16(), key.bfloat16(), value.bfloat16(), scale=0.5)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, wanted)
